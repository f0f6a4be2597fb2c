//! `embed`: inputs in, records out.

use std::fs;

use embedkit_testkit::{assert_close, dense_case, runtime_library};

use crate::program::{Program, arg, embedding, file, fill_cache, golden, read_npy};

const TEXTS: [&str; 3] = ["hello world", "", "the quick brown fox jumps over the lazy dog"];

fn lines() -> String {
    TEXTS.map(|text| format!("{text}\n")).concat()
}

/// The records are those of [`TEXTS`], in order.
#[track_caller]
fn assert_records(records: &[serde_json::Value]) {
    assert_eq!(records.len(), TEXTS.len());
    for (index, (record, text)) in records.iter().zip(TEXTS).enumerate() {
        let keys: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["embedding", "index"]);
        assert_eq!(record["index"], index);
        let (expected, tolerance) = golden("static", text);
        assert_close(&embedding(record), &expected, tolerance);
    }
}

#[test]
fn arguments_a_file_and_a_pipe_give_the_same() {
    let by_argument = Program::embed(TEXTS).run().silent_success();
    assert_records(&by_argument.records());
    assert!(by_argument.text().starts_with("{\"index\":0,\"embedding\":["));

    let (_dir, path) = file("texts.txt", lines());
    let by_file = Program::embed(["--input", arg(&path)]).run().silent_success();
    assert_eq!(by_file.stdout, by_argument.stdout);
    let by_pipe = Program::embed([""; 0]).stdin(lines()).run().silent_success();
    assert_eq!(by_pipe.stdout, by_argument.stdout);
    let by_dash = Program::embed(["--input", "-"]).stdin(lines()).run().silent_success();
    assert_eq!(by_dash.stdout, by_argument.stdout);
}

#[test]
fn options_come_before_or_after_the_texts() {
    let before = Program::new(["embed"]).case("static").args(TEXTS).run().silent_success();
    let after = Program::new(["embed"]).args(TEXTS).case("static").run().silent_success();
    assert_eq!(before.stdout, after.stdout);
    assert_records(&after.records());
}

#[test]
fn byte_order_marks_and_carriage_returns_belong_to_the_file() {
    let content = format!("\u{feff}{}\r\n\r\n{}", TEXTS[0], TEXTS[2]);
    let outcome = Program::embed([""; 0]).stdin(content).run().silent_success();
    assert_records(&outcome.records());
}

#[test]
fn json_lines_by_option_or_by_name() {
    let content: String = TEXTS
        .iter()
        .map(|text| serde_json::json!({"id": 7, "text": text}).to_string() + "\n")
        .collect();
    let piped = Program::embed(["--input-format", "jsonl"]).stdin(&content).run().silent_success();
    assert_records(&piped.records());
    for name in ["texts.jsonl", "texts.ndjson"] {
        let (_dir, path) = file(name, &content);
        let named = Program::embed(["--input", arg(&path)]).run().silent_success();
        assert_eq!(named.stdout, piped.stdout, "{name}");
    }
    let (_dir, path) = file("texts.jsonl", "no json\n");
    let as_lines = Program::embed(["--input", arg(&path), "--input-format", "lines"]).run();
    assert_eq!(as_lines.silent_success().records().len(), 1);
}

#[test]
fn no_inputs_are_no_records_and_open_no_model() {
    // A model that is not on this machine.
    let run = |args: &[&str]| Program::new(["embed"]).args(args).stdin("").run().silent_success();
    assert!(run(&[]).stdout.is_empty());
    assert_eq!(read_npy(&run(&["--format", "npy"]).stdout), ((0, 384), vec![]));
    let few = run(&["--format", "npy", "--dimensions", "64"]);
    assert_eq!(read_npy(&few.stdout), ((0, 64), vec![]));
    let muvera =
        ["--model", "colbert-ir/colbertv2.0", "--postprocess", "muvera:k_sim=2,dim_proj=4"];
    let muvera = run(&[&["--format", "npy"][..], &muvera].concat());
    assert_eq!(read_npy(&muvera.stdout), ((0, 20 * 4 * 4), vec![]));
    let scores = Program::new(["rerank", "--query", "q", "--format", "npy"])
        .args(["--model", "BAAI/bge-reranker-base"])
        .stdin("")
        .run()
        .silent_success();
    assert_eq!(read_npy(&scores.stdout), ((0, 1), vec![]));
    let wide = Program::new(["embed", "--format", "npy", "--dimensions", "385"]).stdin("").run();
    wide.failure(2, "--dimensions is 385", None);
    let (_dir, output) = file("old.jsonl", "old");
    run(&["--output", arg(&output)]);
    assert_eq!(fs::read(&output).unwrap(), b"");
    let (_dir, output) = file("old.npy", "old");
    run(&["--format", "npy", "--output", arg(&output)]);
    assert_eq!(read_npy(&fs::read(&output).unwrap()), ((0, 384), vec![]));
}

#[test]
fn numpy_to_a_file_and_to_a_pipe() {
    let (_dir, output) = file("out.npy", vec![1; 5000]);
    let to_file = Program::embed(["--format", "npy", "--output", arg(&output)]).stdin(lines());
    assert!(to_file.run().silent_success().stdout.is_empty());
    let bytes = fs::read(&output).unwrap();
    let to_pipe = Program::embed(["--format", "npy"]).stdin(lines()).run().silent_success();
    assert_eq!(to_pipe.stdout, bytes);
    let (shape, values) = read_npy(&bytes);
    assert_eq!(shape, (3, 8));
    for (row, text) in values.chunks(8).zip(TEXTS) {
        let (expected, tolerance) = golden("static", text);
        assert_close(row, &expected, tolerance);
    }
}

#[test]
fn bad_inputs_are_skipped_in_their_place() {
    let content = b"{\"text\":\"hello world\"}\n\xff\n\n{\"text\":3}\n{\"text\":\"a\"}\n";
    let outcome =
        Program::embed(["--input-format", "jsonl", "--on-error", "skip"]).stdin(content).run();
    assert_eq!(outcome.status, 0);
    assert_eq!(outcome.stderr, "warning: 3 of 5 inputs were skipped\n");
    let records = outcome.records();
    assert_eq!(records.len(), 5);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["index"], index);
        assert_eq!(record.get("error").is_some(), (1..4).contains(&index), "{record}");
        assert_eq!(record.get("embedding").is_some(), !(1..4).contains(&index), "{record}");
    }
    assert_eq!(records[1]["error"], "line 2 of standard input: not UTF-8 from byte 1 on");
}

#[test]
fn truncation_is_marked_and_counted() {
    let Some(library) = runtime_library() else { return };
    let run = |args: &[&str]| {
        Program::new(["embed", "a", "one two three four five six seven eight nine"])
            .case("limit-8")
            .args(args)
            .var("ORT_DYLIB_PATH", &library)
            .run()
    };
    let outcome = run(&[]);
    assert_eq!(outcome.status, 0);
    let records = outcome.records();
    assert_eq!(records[0].get("truncated"), None);
    assert_eq!(records[1]["truncated"], true);
    assert_eq!(
        outcome.stderr,
        "warning: 1 of 2 inputs was longer than the model takes and cut off\n"
    );
    run(&["-q"]).silent_success();
}

#[test]
fn the_limit_on_tokens_can_be_set() {
    let text = "one two three four five six seven eight nine";
    let cut = Program::embed([text, "--max-tokens", "3"]).run();
    assert_eq!((cut.status, &cut.records()[0]["truncated"]), (0, &true.into()), "{}", cut.stderr);
    let same = Program::embed(["one two three"]).run().silent_success().records();
    assert_eq!(cut.records()[0]["embedding"], same[0]["embedding"]);

    let none = Program::new(["embed", text, "--max-tokens", "0"]).run();
    assert_eq!(none.status, 2);
    assert!(none.stderr.contains("expected a whole number of at least 1"), "{}", none.stderr);
    for model in ["Qdrant/bm25", "Qdrant/resnet50-onnx"] {
        let outcome = Program::new(["embed", text, "--max-tokens", "9", "--model", model]).run();
        outcome.failure(2, "makes no tokens", None);
    }
}

#[test]
fn the_limit_on_tokens_is_capped_by_the_positions() {
    let Some(library) = runtime_library() else { return };
    let text = "one two three four five six seven eight nine ten eleven";
    let limited = |limit| {
        let arguments = ["embed", text, "--max-tokens", limit];
        let program = Program::new(arguments).case("limit-of-positions");
        program.var("ORT_DYLIB_PATH", &library).run()
    };
    let (capped, most) = (limited("11"), limited("10"));
    assert_eq!((capped.status, capped.records()), (0, most.records()), "{}", capped.stderr);
    let warning = "the limit on tokens is the number of positions that the model has";
    assert!(capped.stderr.contains(warning), "{}", capped.stderr);
    assert!(!most.stderr.contains(warning), "{}", most.stderr);
}

#[test]
fn verbose_output_says_where_limit_and_tokenizer_are_from() {
    for (case, said) in [
        ("limit-of-sentence-config", "taken from sentence_bert_config.json tokens=9"),
        ("limit-of-positions", "taken from config.json tokens=10"),
        ("vocabulary-alone", "there is no tokenizer.json; the tokenizer is BERT's"),
        ("vocabulary-alone", "the limit on tokens is the one asked for tokens=32"),
    ] {
        let outcome = Program::new(["embed", "a", "-v"]).case(case).run();
        assert!(outcome.stderr.contains(said), "{case}: {}", outcome.stderr);
    }
}

#[test]
fn dimensions_are_cut_and_scaled_to_unit_length() {
    let whole = Program::embed(["hello world"]).run().silent_success().records();
    let cut = Program::embed(["hello world", "--dimensions", "3"]).run().silent_success().records();
    let head = &embedding(&whole[0])[..3];
    let length = head.iter().map(|x| x * x).sum::<f32>().sqrt();
    let expected: Vec<_> = head.iter().map(|x| x / length).collect();
    assert_close(&embedding(&cut[0]), &expected, 1e-6);
}

#[test]
fn a_described_model_is_taken_from_the_cache() {
    let case = dense_case("static");
    let spec = case.dir.join("spec.toml");
    let program = Program::new(["embed", "--offline", "--model-spec", arg(&spec)]).args(TEXTS);
    program.run().failure(1, "missing model.safetensors, tokenizer.json", Some("network"));
    let files = ["model.safetensors", "tokenizer.json"];
    let files = files.map(|name| (name, fs::read(case.dir.join(name)).unwrap()));
    fill_cache(&program.cache(), "tiny/static", &files);
    assert_records(&program.run().silent_success().records());
}

#[test]
fn a_dimension_that_is_not_the_registered_one_is_a_warning() {
    let case = dense_case("static");
    let spec =
        fs::read_to_string(case.dir.join("spec.toml")).unwrap().replace("dim = 8", "dim = 9");
    let (_dir, spec) = file("spec.toml", spec);
    let program = |quiet: &[&str]| {
        let args = ["embed", "--model-dir", arg(&case.dir), "--model-spec", arg(&spec)];
        Program::new(args).args(TEXTS).args(quiet).run()
    };
    let outcome = program(&[]);
    assert_eq!(outcome.status, 0);
    let warnings: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(warnings.len(), 1, "{}", outcome.stderr);
    assert!(warnings[0].starts_with("warning: ") && warnings[0].contains("dimension"));
    assert_records(&outcome.records());
    program(&["-q"]).silent_success();
}

#[test]
fn a_graph_runs_on_onnx_runtime() {
    let Some(library) = runtime_library() else { return };
    let args = ["embed", "--onnxruntime", arg(&library), "hello world"];
    let outcome = Program::new(args).case("mean-normalized").run().silent_success();
    let (expected, tolerance) = golden("mean-normalized", "hello world");
    assert_close(&embedding(&outcome.records()[0]), &expected, tolerance);
}

#[test]
fn tasks_are_chosen_by_name() {
    let Some(library) = runtime_library() else { return };
    let run = |args: &[&str]| {
        let outcome = Program::new(["embed", "hello world"])
            .case("tasks")
            .args(args)
            .var("ORT_DYLIB_PATH", &library)
            .run()
            .silent_success();
        embedding(&outcome.records()[0])
    };
    let case = dense_case("tasks");
    let at = case.golden.texts.iter().position(|text| text == "hello world").unwrap();
    let task = |id: usize| case.golden.embed_task[&id][at].clone();
    assert_close(&run(&[]), &golden("tasks", "hello world").0, case.tolerance());
    assert_close(&run(&["--option", "task=separation"]), &task(2), case.tolerance());
    let query = &case.golden.query_embed.as_ref().unwrap()[at];
    assert_close(&run(&["--as", "query"]), query, case.tolerance());
}

#[test]
fn verbose_tells_the_steps_and_never_the_text() {
    let Some(library) = runtime_library() else { return };
    let outcome = Program::new(["embed", "-v"])
        .case("mean-normalized")
        .var("ORT_DYLIB_PATH", &library)
        .stdin("hello world\n".repeat(100))
        .run();
    assert_eq!(outcome.status, 0);
    for step in ["load", "tokenise", "run", "finish"] {
        let told = |line: &str| line.contains(step) && line.contains("time.busy=");
        assert!(outcome.stderr.lines().any(told), "{step}: {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("hello"), "{}", outcome.stderr);
    assert_eq!(outcome.records().len(), 100);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_written() {
    let outcome = Program::embed(["--format", "parquet"]).stdin(lines()).run().silent_success();
    assert!(outcome.stdout.starts_with(b"PAR1") && outcome.stdout.ends_with(b"PAR1"));
}
