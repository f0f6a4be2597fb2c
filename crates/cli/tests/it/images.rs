//! Images: alone, beside texts in one space, and as pages with many vectors.

use std::{
    fs,
    path::{Path, PathBuf},
};

use embedkit::{MultiVector, scoring::max_sim};
use embedkit_testkit::{
    ImageCase, MultimodalCase, assert_close, cosine, dense_case, file_cases, image_case,
    multimodal_case, picture, runtime_library, scaled_cases, zip_equal,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, arg, embedding, file};

/// `embed` with the tiny image model, and the library that runs it.
fn embed<'a>(args: impl IntoIterator<Item = &'a str>) -> Option<(Program, ImageCase)> {
    let library = runtime_library()?;
    let case = image_case("clip");
    let program =
        Program::new(["embed"]).args(args).model_in(&case.dir).var("ORT_DYLIB_PATH", library);
    Some((program, case))
}

/// The vector of a picture.
#[track_caller]
fn assert_picture(case: &ImageCase, record: &Value, path: &Path) {
    let at = case.pictures().iter().position(|known| known.file_name() == path.file_name());
    let at = at.unwrap_or_else(|| panic!("{}", path.display()));
    assert_close(&embedding(record), &case.golden.embed[at], case.tolerance());
}

/// A folder with the pictures of a case, some other things, and how they are called, in order.
fn folder(case: &ImageCase) -> (TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for path in case.pictures() {
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    fs::write(dir.path().join("notes.txt"), "no image").unwrap();
    fs::create_dir(dir.path().join("more.png")).unwrap();
    let mut names = case.golden.pictures.clone();
    names.sort();
    (dir, names)
}

#[test]
fn arguments_of_an_image_model_are_paths() {
    let Some((program, case)) = embed([]) else { return };
    let paths = case.pictures();
    let outcome = program.args(&paths).run().silent_success();
    let records = outcome.records();
    assert_eq!(records.len(), paths.len());
    for (index, (record, path)) in records.iter().zip(&paths).enumerate() {
        assert_eq!(record["index"], index);
        assert_picture(&case, record, path);
    }
    assert!(outcome.text().starts_with("{\"index\":0,\"embedding\":["));

    let lines: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    let by_line = embed(["--image"]).unwrap().0.stdin(lines).run().silent_success();
    assert_eq!(by_line.stdout, outcome.stdout);
    let lines: String =
        paths.iter().map(|path| json!({ "image": path }).to_string() + "\n").collect();
    let (_dir, input) = file("pictures.jsonl", lines);
    let by_json = embed(["--input", arg(&input)]).unwrap().0.run().silent_success();
    assert_eq!(by_json.stdout, outcome.stdout);
}

#[test]
fn a_folder_stands_for_its_images_by_name() {
    let Some((program, case)) = embed([]) else { return };
    let (dir, names) = folder(&case);
    let outcome = program.args([dir.path()]).run().silent_success();
    let records = outcome.records();
    assert_eq!(records.len(), names.len());
    for (record, name) in records.iter().zip(&names) {
        assert_picture(&case, record, Path::new(name));
    }
    let by_input = embed(["--input", arg(dir.path())]).unwrap().0.run().silent_success();
    assert_eq!(by_input.stdout, outcome.stdout);
    // Folders and files side by side.
    let one = picture("one.png");
    let both = embed([arg(&one)]).unwrap().0.args([dir.path()]).run().silent_success().records();
    assert_eq!(both.len(), 1 + names.len());
    assert_picture(&case, &both[0], &one);

    let empty = tempfile::tempdir().unwrap();
    let outcome = embed([arg(empty.path())]).unwrap().0.run().silent_success();
    assert!(outcome.stdout.is_empty());
}

#[test]
fn a_bad_image_is_skipped_in_its_place() {
    let (_dir, bad) = file("bad.png", "no image at all");
    let none = picture("no-such.png");
    let paths = [picture("wide.png"), bad.clone(), none.clone(), picture("tall.png")];
    let Some((program, case)) = embed([]) else { return };
    let outcome = program.args(&paths).run();
    let records = outcome.records();
    assert_eq!(records.len(), 1);
    let outcome = outcome.failure(1, "input 1: ", Some("png or jpeg"));
    assert!(
        outcome.stderr.contains(&format!("input 1: {} is not", bad.display())),
        "{}",
        outcome.stderr
    );

    let outcome = embed(["--on-error", "skip"]).unwrap().0.args(&paths).run();
    assert_eq!((outcome.status, outcome.stderr.lines().count()), (0, 1), "{}", outcome.stderr);
    let records = outcome.records();
    assert_eq!(records.len(), 4);
    for (at, path) in [(1, &bad), (2, &none)] {
        assert_eq!(records[at]["index"], at);
        let why = records[at]["error"].as_str().unwrap();
        assert!(why.starts_with(&format!("input {at}: {} ", path.display())), "{why}");
    }
    for at in [0, 3] {
        assert_picture(&case, &records[at], &paths[at]);
    }
}

#[test]
fn options_change_how_files_are_decoded() {
    let vector = |name: &str, options: &[&str]| -> Option<Vec<f32>> {
        let large = scaled_cases().into_iter().map(|case| (case.name, case.path));
        let files = file_cases().into_iter().map(|case| (case.name, case.path));
        let path = files.chain(large).find(|(case, _)| case == name).unwrap().1;
        let options = options.iter().flat_map(|option| ["--option", option]);
        let outcome = embed(options)?.0.args([path]).run().silent_success();
        Some(embedding(&outcome.records()[0]))
    };
    for (name, option, default) in [
        ("exif_rot6.jpg", "orientation=apply", "orientation=ignore"),
        ("palette_trns.png", "transparency=#ffffff", "transparency=drop"),
        ("gray16.png", "gray16=high-byte", "gray16=clip"),
        ("scaled/420.jpg 41x31", "jpeg=scaled", "jpeg=full"),
    ] {
        let Some(plain) = vector(name, &[]) else { return };
        assert_eq!(vector(name, &[default]).unwrap(), plain, "{default}");
        assert_ne!(vector(name, &[option]).unwrap(), plain, "{option}");
        assert_eq!(vector(name, &[option, default]).unwrap(), plain, "the last one counts");
    }
    for (option, message, hint) in [
        ("orientation=turn", "the option orientation cannot be turn", "valid is ignore or apply"),
        ("transparency=white", "the option transparency cannot be white", "#ffffff"),
        ("gray16=8", "the option gray16 cannot be 8", "clip or high-byte"),
        ("jpeg=half", "the option jpeg cannot be half", "full or scaled"),
        ("resize=fast", "has no option \"resize\"", "orientation, transparency, gray16 and jpeg"),
    ] {
        let outcome = embed(["--option", option, "a.png"]).unwrap().0.run();
        outcome.failure(2, message, Some(hint));
    }
}

/// A folder with both encoders of an id, or one of them.
fn two_encoders(texts: bool, images: bool) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("onnx")).unwrap();
    let copy = |from: PathBuf, to: &str| fs::copy(from, dir.path().join(to)).unwrap();
    if texts {
        let case = dense_case("mean-normalized");
        copy(case.files().model, "onnx/text_model.onnx");
        for name in
            ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"]
        {
            copy(case.dir.join(name), name);
        }
    }
    if images {
        let case = image_case("jina");
        copy(case.files().model, "onnx/vision_model.onnx");
        copy(case.dir.join("preprocessor_config.json"), "preprocessor_config.json");
    }
    dir
}

/// A model with an encoder of texts and one of images, in this folder.
fn with_two(dir: &TempDir, command: &str) -> Option<Program> {
    let library = runtime_library()?;
    let args = [command, "-q", "--model", "jinaai/jina-clip-v1", "--model-dir", arg(dir.path())];
    Some(Program::new(args).var("ORT_DYLIB_PATH", library))
}

#[test]
fn the_kind_of_the_input_decides_on_the_encoder() {
    let case = image_case("jina");
    let (text, image) = ("hello world", picture("wide.png"));
    let dir = two_encoders(true, true);
    let Some(program) = with_two(&dir, "embed") else { return };
    let as_text = program.args([text]).run().silent_success().records();
    assert_eq!(embedding(&as_text[0]).len(), 8);
    let as_image = with_two(&dir, "embed").unwrap().args(["--image", arg(&image)]).run();
    let as_image = as_image.silent_success().records();
    assert_picture(&case, &as_image[0], &image);

    // Side by side, each in its place.
    let mut lines = String::new();
    for _ in 0..2 {
        lines += &format!("{}\n{}\n", json!({ "text": text }), json!({ "image": image }));
    }
    let (_dir, input) = file("both.jsonl", lines);
    let both = with_two(&dir, "embed").unwrap().args(["--input", arg(&input)]).run();
    let both = both.silent_success().records();
    for (index, record) in both.iter().enumerate() {
        assert_eq!(record["index"], index);
        let alone = if index % 2 == 0 { &as_text } else { &as_image };
        assert_eq!(record["embedding"], alone[0]["embedding"]);
    }

    // What is not needed need not be there.
    let images = two_encoders(false, true);
    let program = with_two(&images, "embed").unwrap();
    program.args(["--image", arg(&image)]).run().silent_success();
    let hint = Some("the names of the model's repository");
    with_two(&images, "embed").unwrap().args([text]).run().failure(1, "text_model.onnx", hint);
    let texts = two_encoders(true, false);
    with_two(&texts, "embed").unwrap().args([text]).run().silent_success();
}

#[test]
fn a_text_finds_images() {
    let dir = two_encoders(true, true);
    let case = image_case("jina");
    let (pictures, names) = folder(&case);
    let Some(program) = with_two(&dir, "search") else { return };
    let args = ["hello world", "--input", arg(pictures.path()), "--top-k", "3"];
    let hits = program.args(args).run().silent_success().records();
    let query = with_two(&dir, "embed").unwrap().args(["hello world", "--as", "query"]).run();
    let query = embedding(&query.silent_success().records()[0]);
    let score = |name: &String| {
        let at = case.golden.pictures.iter().position(|known| known == name).unwrap();
        cosine(&query, &case.golden.embed[at])
    };
    let mut expected: Vec<_> = names.iter().map(score).enumerate().collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!(hits.len(), 3);
    for (hit, (index, score)) in hits.iter().zip(expected) {
        assert_eq!(hit["index"], index);
        assert_eq!(hit["image"], arg(&pictures.path().join(&names[index])));
        assert!(hit.get("text").is_none());
        assert!((hit["score"].as_f64().unwrap() - score).abs() < 1e-4, "{hit}, {score}");
    }
}

/// The vectors under `embedding`.
#[track_caller]
fn vectors(record: &Value) -> MultiVector {
    let rows = record["embedding"].as_array().unwrap_or_else(|| panic!("{record}"));
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let values: Vec<_> =
        rows.iter().flat_map(|row| row.as_array().unwrap().iter().map(number)).collect();
    let width = values.len() / rows.len();
    MultiVector::new(values, width).unwrap()
}

/// A model of texts and page images.
fn pages(name: &str, command: &str) -> Option<(Program, MultimodalCase)> {
    let library = runtime_library()?;
    let case = multimodal_case(name);
    let program = Program::new([command, "-q"]).model_in(&case.dir).var("ORT_DYLIB_PATH", library);
    Some((program, case))
}

#[test]
fn pages_have_many_vectors() {
    for name in ["colpali", "colmodernvbert"] {
        let Some((program, case)) = pages(name, "embed") else { return };
        let images = case.images();
        let records = program.args(["--image"]).args(&images).run().silent_success().records();
        assert_eq!(records.len(), images.len());
        for (record, expected) in records.iter().zip(&case.golden.image_values) {
            assert_close(vectors(record).values(), expected, 1e-4);
        }
        let lines: String = case
            .golden
            .texts
            .iter()
            .map(|text| json!({ "text": text }).to_string() + "\n")
            .collect();
        let (program, _) = pages(name, "embed").unwrap();
        let outcome = program.args(["--input-format", "jsonl"]).stdin(lines).run();
        let records = outcome.silent_success().records();
        for (record, expected) in zip_equal(&records, &case.golden.text_values) {
            assert_close(vectors(record).values(), expected, 1e-4);
        }
    }
}

#[test]
fn a_question_finds_pages() {
    let Some((program, case)) = pages("colpali", "search") else { return };
    let images = case.images();
    let hits = program.args(["hello world", "--image"]).args(&images).run();
    let hits = hits.silent_success().records();
    let width = case.spec.task.dim().unwrap();
    let of = |values: &Vec<f32>| MultiVector::new(values.clone(), width).unwrap();
    let query = case.golden.texts.iter().position(|text| text == "hello world").unwrap();
    let query = of(&case.golden.text_values[query]);
    let mut expected: Vec<_> = case
        .golden
        .image_values
        .iter()
        .map(|values| max_sim(&query, &of(values)).unwrap())
        .enumerate()
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!(hits.len(), images.len());
    for (hit, (index, score)) in hits.iter().zip(expected) {
        assert_eq!((&hit["index"], &hit["image"]), (&json!(index), &json!(images[index])));
        assert!((hit["score"].as_f64().unwrap() - f64::from(score)).abs() < 1e-3, "{hit}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    Program::embed(["--image", "a.png"]).run().failure(2, "takes no images", Some("--task image"));
    let dir = tempfile::tempdir().unwrap();
    Program::embed(["--input", arg(dir.path())]).run().failure(2, "is a folder", None);
    let clip = ["--model", "Qdrant/clip-ViT-B-32-vision"];
    let search = Program::new(["search", "a", "b.png"]).args(clip).run();
    search.failure(2, "embeds images only", Some("encoder of texts"));
    let both = ["--model", "jinaai/jina-clip-v1", "--rerank", "BAAI/bge-reranker-base", "--image"];
    let rerank = Program::new(["search", "a", "b.png"]).args(both).run();
    rerank.failure(2, "only texts can be reranked", Some("--rerank"));
    let scored = Program::new(["rerank", "--image", "--query", "a", "b.png", "--model"]);
    let scored = scored.args(["BAAI/bge-reranker-base"]).run();
    scored.failure(2, "takes no images", Some("--task image"));
    let (_dir, input) = file("a.jsonl", "{\"text\":\"a\"}\n");
    let texts = Program::new(["embed", "--input", arg(&input)]).args(clip).run();
    texts.failure(1, "takes no texts", None);
}
