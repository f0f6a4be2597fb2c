//! What the golden values do not show: broken images, odd sizes, laziness, options, damaged files.

use std::{
    cell::Cell, error::Error as _, fs, path::PathBuf, rc::Rc, thread::available_parallelism,
};

use embedkit_core::Error as Core;
use embedkit_image::{
    DecodeLimits, DecodeOptions, ImageInput, ImageOptions, RgbImage, Transparency, decode,
};
use embedkit_late_interaction::{LateInteractionError as Late, LateInteractionMultimodalEmbedding};
use embedkit_testkit::{
    FAULT_TOKENS, assert_close, fails_alone, fault, max_abs_diff, multimodal_case,
    multimodal_image, one_batch, zip_equal,
};
use embedkit_types::{
    BatchOptions, Embed, Error, LateMultimodalKind, LoadOptions, ModelFiles, ModelSpec,
    MultiVectorModel, OptionsError, Prompts, Role, Task,
};

use super::{open, open_with, options};

/// An error with its causes, as the command line prints it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A picture that is different everywhere.
fn picture(width: u32, height: u32) -> RgbImage {
    let mut state = u64::from(width) << 32 | u64::from(height);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let length = 3 * width as usize * height as usize;
    RgbImage::new(width, height, std::iter::repeat_with(next).take(length).collect()).unwrap()
}

/// Rows and columns of tiles of 16 pixels, for images whose longer side becomes 64.
fn grid(width: u32, height: u32) -> (usize, usize) {
    let (w, h) = (f64::from(width), f64::from(height));
    let even = |side: f64| (side as u32 + side as u32 % 2).max(1);
    let (w, h) = if w >= h {
        (64, even((64.0 / (w / h)).trunc()))
    } else {
        (even((64.0 * (w / h)).trunc()), 64)
    };
    let tiles = |side: u32| side.div_ceil(16);
    if w >= h {
        let width = tiles(w) * 16;
        let height = (f64::from(width) / (f64::from(w) / f64::from(h))) as u32;
        (tiles(height) as usize, tiles(w) as usize)
    } else {
        let height = tiles(h) * 16;
        let width = (f64::from(height) * (f64::from(w) / f64::from(h))) as u32;
        (tiles(h) as usize, tiles(width) as usize)
    }
}

#[test]
fn every_size_of_image_has_the_tokens_of_its_tiles() {
    let Some((_, model)) = open("colmodernvbert") else { return };
    let mut sizes = vec![(1, 1), (5000, 3), (3, 5000), (1, 5000), (64, 1), (16, 16), (2, 3)];
    let mut state = 11u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) % 300
    };
    sizes.extend((0..40).map(|_| (random(), random())));
    let images: Vec<_> = sizes.iter().map(|&(w, h)| picture(w, h)).collect();
    let together: Vec<_> = model.embed_image_detailed(images.clone()).collect();
    assert_eq!(together.len(), images.len());
    for ((image, found), (width, height)) in images.into_iter().zip(together).zip(sizes) {
        let found = found.unwrap_or_else(|error| panic!("{width} x {height}: {}", chain(&error)));
        let (rows, cols) = grid(width, height);
        // Around the tiles are 37 tokens and the whole image with its 7; a tile has 6, a row and
        // the end of the tiles a line feed.
        let expected = 37 + 6 * rows * cols + rows + 1 + 7;
        assert_eq!(found.value.len(), expected, "{width} x {height}: {rows} x {cols} tiles");
        assert_eq!((found.tokens, found.truncated), (expected, false));
        assert!(found.value.values().iter().all(|x| x.is_finite()));
        let alone = model.embed_image_batch(&[image.into()]).unwrap();
        assert_close(alone[0].values(), found.value.values(), 1e-5);
    }
}

#[test]
fn images_of_one_shape_may_share_a_batch() {
    let large = 1 << 20;
    let batch = BatchOptions {
        rows: Some(large),
        tokens: Some(large),
        window: large,
        ..BatchOptions::default()
    };
    for name in ["colpali", "colmodernvbert"] {
        let Some((_, model)) = open(name) else { return };
        let Some((_, batched)) = open_with(name, |o| LoadOptions { batch, ..o }) else { return };
        let images: Vec<ImageInput> = [(30, 40), (40, 30), (33, 44), (9, 9), (60, 80)]
            .map(|(w, h)| picture(w, h).into())
            .into();
        let together = batched.embed_image_batch(&images).unwrap();
        for (image, together) in images.iter().zip(together) {
            let alone = model.embed_image_batch(std::slice::from_ref(image)).unwrap();
            assert_close(together.values(), alone[0].values(), 1e-5);
        }
    }
}

#[test]
fn a_broken_image_is_an_error_in_its_place() {
    let Some((_, model)) = open("colmodernvbert") else { return };
    let good = multimodal_image("37x23.png");
    let mut cut = fs::read(&good).unwrap();
    cut.truncate(100);
    let images: Vec<ImageInput> = vec![
        good.clone().into(),
        PathBuf::from("no such file.png").into(),
        cut.into(),
        b"no image".to_vec().into(),
        good.clone().into(),
    ];
    let results: Vec<_> = model.embed_image(images).collect();
    assert_eq!(results.len(), 5);
    for (position, expected) in
        [(1, "image no such file.png"), (2, "the png data is damaged"), (3, "known format")]
    {
        let error = results[position].as_ref().unwrap_err();
        let text = chain(error);
        assert!(text.contains(expected), "{text}");
    }
    let (first, last) = (results[0].as_ref().unwrap(), results[4].as_ref().unwrap());
    assert_eq!(first, last);
}

#[test]
fn paths_bytes_and_pixels_are_the_same_image() {
    let Some((case, model)) = open("colpali") else { return };
    let path = multimodal_image("37x23.png");
    let pixels = decode(&path.clone().into(), &DecodeOptions::default()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let images: [ImageInput; 3] = [path.into(), bytes.into(), pixels.into()];
    for (vectors, ()) in zip_equal(model.embed_image(images), [(); 3]) {
        assert_close(vectors.unwrap().values(), &case.golden.image_values[0], 1e-4);
    }
}

#[test]
fn callers_choose_how_images_are_read() {
    let case = multimodal_case("colmodernvbert");
    let Some(options) = options() else { return };
    let opened = |decode| {
        let images = ImageOptions { decode, ..ImageOptions::default() };
        let (spec, files) = (&case.spec, case.files());
        LateInteractionMultimodalEmbedding::from_files_with(spec, &files, &options, &images)
    };
    let vectors = |decode| {
        let transparent: ImageInput = multimodal_image("64x64.png").into();
        opened(decode).unwrap().embed_image_batch(&[transparent])
    };
    let hidden = vectors(DecodeOptions::default()).unwrap();
    let white = Transparency::Composite([255; 3]);
    let shown = vectors(DecodeOptions { transparency: white, ..DecodeOptions::default() }).unwrap();
    assert!(max_abs_diff(hidden[0].values(), shown[0].values()) > 1e-3);
    let limits = DecodeLimits { max_pixels: 100, ..DecodeLimits::default() };
    let error = vectors(DecodeOptions { limits, ..DecodeOptions::default() }).unwrap_err();
    assert!(chain(&error).contains("64 x 64 pixels"), "{}", chain(&error));
}

#[test]
fn images_are_read_a_few_ahead_only() {
    let cores = available_parallelism().map_or(1, usize::from);
    for (name, ahead) in [("colmodernvbert", 4), ("colpali", 16)] {
        let Some((_, model)) = open(name) else { return };
        let read = Rc::new(Cell::new(0));
        let counter = Rc::clone(&read);
        let endless = std::iter::repeat_with(move || {
            counter.set(counter.get() + 1);
            picture(20, 30)
        });
        let mut results = model.embed_image(endless);
        assert_eq!(read.get(), 0, "nothing is read before it is asked for");
        for _ in 0..3 {
            results.next().unwrap().unwrap();
        }
        assert!(read.get() <= 2 * cores.max(ahead), "{} images were read for 3", read.get());
    }
}

#[test]
fn a_text_that_is_cut_is_reported() {
    for name in ["colpali", "colmodernvbert-text-limit"] {
        let Some((_, model)) = open(name) else { return };
        let long = "word ".repeat(20_000);
        let texts = ["", long.as_str()];
        let results: Vec<_> = model.embed_text_detailed(texts).map(Result::unwrap).collect();
        assert!(results[1].truncated, "{name}");
        assert_eq!(results[0].truncated, name.ends_with("limit") && results[0].tokens > 12);
        assert_eq!(results[1].value.len(), results[1].tokens);
    }
}

#[test]
fn no_inputs_are_no_results() {
    let Some((_, model)) = open("colpali") else { return };
    assert_eq!(model.embed_text(Vec::<String>::new()).count(), 0);
    assert_eq!(model.embed_image(Vec::<PathBuf>::new()).count(), 0);
    assert_eq!(model.token_count([""; 0], true).unwrap(), 0);
}

#[test]
fn dimensions_are_kept_and_scaled() {
    let Some((case, model)) = open_with("colpali", |o| LoadOptions { dim: Some(2), ..o }) else {
        return;
    };
    assert_eq!(model.embedding_size(), 2);
    let vectors = model.embed_text_batch(&[&case.golden.texts[1]]).unwrap().remove(0);
    for (cut, whole) in zip_equal(vectors.rows(), case.golden.text_values[1].chunks(4)) {
        let norm = whole[0].hypot(whole[1]);
        assert_close(cut, &[whole[0] / norm, whole[1] / norm], 1e-3);
    }
    let options = LoadOptions { dim: Some(5), ..options().unwrap() };
    let error = LateInteractionMultimodalEmbedding::from_files(&case.spec, &case.files(), &options);
    let error = error.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Core::DimTooLarge { wanted: 5, dim: 4, .. })));
}

#[test]
fn a_model_says_what_it_is() {
    let ids: Vec<_> =
        LateInteractionMultimodalEmbedding::supported_models().map(|spec| &*spec.id).collect();
    assert_eq!(ids, ["Qdrant/colpali-v1.3-fp16", "Qdrant/colmodernvbert"]);
    let Some((case, model)) = open("colmodernvbert") else { return };
    let model: &dyn MultiVectorModel = &model.clone();
    assert_eq!(model.embedding_size(), 4);
    let model = open("colmodernvbert").unwrap().1;
    assert!(!model.device().unwrap().is_empty());
    // Roles are without effect.
    let texts: Vec<&str> = case.golden.texts.iter().map(String::as_str).collect();
    let query = Embed::embed_batch(&model, Role::Query, &texts).unwrap();
    assert_eq!(query, model.embed_text_batch(&texts).unwrap());
}

/// What opening a case gives with a changed description.
fn open_changed(
    name: &str,
    change: impl FnOnce(&mut ModelSpec, &mut LoadOptions),
) -> Option<Result<LateInteractionMultimodalEmbedding, Error>> {
    let mut case = multimodal_case(name);
    let mut options = options()?;
    let files = case.files();
    change(&mut case.spec, &mut options);
    Some(LateInteractionMultimodalEmbedding::from_files(&case.spec, &files, &options))
}

/// With other facts of ColModernVBERT's prompts.
fn with_image_token(
    token: &'static str,
) -> Option<Result<LateInteractionMultimodalEmbedding, Error>> {
    open_changed("colmodernvbert", |spec, _| {
        let Task::LateMultimodal(task) = &mut spec.task else { unreachable!() };
        let LateMultimodalKind::ColModernVbert(facts) = &mut task.kind else { unreachable!() };
        facts.image_token = token.into();
    })
}

#[test]
fn what_cannot_be_is_refused() {
    let prompts = Prompts::Custom { query: Some("Query: ".to_owned()), document: None };
    let Some(opened) = open_changed("colpali", |_, load| load.prompts = prompts) else { return };
    let error = opened.unwrap_err();
    assert!(error.downcast_ref::<OptionsError>().is_some(), "{error}");
    let opened = open_changed("colpali", |spec, _| {
        spec.task = Task::Rerank(embedkit_types::Rerank::DEFAULT);
    });
    let error = opened.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "tiny/colpali is a model for rerank, not for late-multimodal");
    let opened = open_changed("colpali", |spec, _| {
        let Task::LateMultimodal(task) = &mut spec.task else { unreachable!() };
        let LateMultimodalKind::ColPali(facts) = &mut task.kind else { unreachable!() };
        facts.image_side = 1 << 20;
    });
    let error = opened.unwrap().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Late::ImageSide { found: 1_048_576, .. })));
    let error = with_image_token("<picture>").unwrap().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Late::NoImageToken { .. })), "{error}");
}

#[test]
fn tokens_and_tiles_have_to_agree() {
    let image = || [multimodal_image("37x23.png")];
    // A letter, which the rest of the prompt has too.
    let Some(model) = with_image_token("e") else { return };
    let error = model.unwrap().embed_image(image()).next().unwrap().unwrap_err();
    let cause = error.downcast_ref();
    assert!(matches!(cause, Some(Late::ImageTokens { expected: 52, .. })), "{error}");

    let Some((_, model)) = open("colmodernvbert-no-resize") else { return };
    let error = model.embed_image([multimodal_image("5000x3.png")]).next().unwrap().unwrap_err();
    let text = chain(&error);
    assert!(text.contains("314 tiles is longer than the 512 tokens"), "{text}");
    assert!(error.hint().is_some());
}

#[test]
fn an_image_of_the_wrong_size_is_named() {
    let Some((_, model)) = open("error-colpali-image-side") else { return };
    let error = model.embed_image([multimodal_image("1x1.png")]).next().unwrap().unwrap_err();
    let text = chain(&error);
    let expected = "takes the shape [?, 3, 448, 448], not [1, 3, 224, 224]";
    assert!(text.contains("`pixel_values`") && text.contains(expected), "{text}");
}

#[test]
fn damaged_configurations_are_named() {
    let case = multimodal_case("colmodernvbert");
    let Some(options) = options() else { return };
    for (name, content, expected) in [
        ("processor_config.json", "{", "EOF"),
        ("processor_config.json", "[]", "expected a JSON object"),
        (
            "processor_config.json",
            r#"{"image_seq_len": -4}"#,
            "`image_seq_len`: expected a whole number from 0 to 65536, got -4",
        ),
        ("processor_config.json", r#"{"image_seq_len": 1e3}"#, "got 1000.0"),
        ("processor_config.json", r#"{"image_seq_len": 99999999999}"#, "from 0 to 65536"),
        ("config.json", r#"{"vision_config": 3}"#, "`vision_config`: expected "),
        ("config.json", r#"{"vision_config": {"image_size": 0}}"#, "got 0"),
        ("config.json", r#"{"vision_config": {"image_size": 100000}}"#, "from 1 to 4096"),
        ("preprocessor_config.json", r#"{"image_processor_type": "CLIPImageProcessor"}"#, "tiles"),
    ] {
        let (_dir, files) = case.copy();
        fs::write(files.path(name), content).unwrap();
        let opened = LateInteractionMultimodalEmbedding::from_files(&case.spec, &files, &options);
        let text = chain(&opened.unwrap_err());
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_text_or_page_that_the_graph_fails_on_fails_alone() {
    let Some(options) = options() else { return };
    let mut case = multimodal_case("colpali");
    let Task::LateMultimodal(task) = &mut case.spec.task else { panic!("another task") };
    let LateMultimodalKind::ColPali(facts) = &mut task.kind else { panic!("another kind") };
    facts.image_tokens = 4;
    let files = ModelFiles { model: fault("hidden-pages"), ..case.files() };
    let options = LoadOptions { batch: one_batch(), ..options };
    let model =
        LateInteractionMultimodalEmbedding::from_files(&case.spec, &files, &options).unwrap();
    // The model puts tokens of its own around a text.
    let text = |index: usize| "fox ".repeat(if index == 5 { FAULT_TOKENS } else { index % 3 });
    let others = (0..12).filter(|index| *index != 5).map(text);
    let error = fails_alone(5, model.embed_text((0..12).map(text)), model.embed_text(others));
    assert!(matches!(error.downcast_ref(), Some(Core::Run { .. })), "{error}");
    // It fails for a bright page.
    let page = |shade| ImageInput::Decoded(RgbImage::new(2, 2, vec![shade; 12]).unwrap());
    let pages = |bad| (0..12).map(move |index| page(if index == bad { 255 } else { index }));
    let error = fails_alone(
        5,
        model.embed_image(pages(5)),
        model.embed_image((0..12).filter(|index| *index != 5).map(page)),
    );
    assert!(matches!(error.downcast_ref(), Some(Core::Run { .. })), "{error}");
}
