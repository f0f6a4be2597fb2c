//! Errors, streams and inputs of image models.

use std::{
    cell::Cell,
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use embedkit_core::Error as Core;
use embedkit_image::{
    DecodeLimits, DecodeOptions, ImageEmbedding, ImageError, ImageInput, ImageOptions,
    PreprocessError, PreprocessOptions, ResizeQuality, RgbImage,
};
use embedkit_testkit::{
    assert_close, cosine, fails_alone, fault, image_case, one_batch, picture, zip_equal,
};
use embedkit_types::{
    Embed, Error, GraphOutput, Image, LoadOptions, ModelFiles, ModelSpec, Prompts, Role, SpecError,
    Task, TaskKind,
};

use crate::options;

fn open(name: &str, options: &LoadOptions) -> Result<ImageEmbedding, Error> {
    let case = image_case(name);
    ImageEmbedding::from_files(&case.spec, &case.files(), options)
}

#[test]
fn a_broken_image_is_named_and_the_rest_goes_on() {
    let Some(options) = options() else { return };
    let model = open("clip", &options).unwrap();
    let golden = image_case("clip").golden.embed;
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.png");
    let whole = fs::read(picture("wide.png")).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let absent = dir.path().join("absent.png");
    // Few are embedded by the caller's thread, many by others.
    for repeats in [1, 9] {
        let mut images: Vec<ImageInput> = vec![
            picture("wide.png").into(),
            cut.clone().into(),
            ImageInput::Bytes(b"no image".to_vec()),
            absent.clone().into(),
        ];
        images.extend((0..repeats).map(|_| ImageInput::from(picture("tall.png"))));
        let results: Vec<_> = model.embed(images).collect();
        assert_eq!(results.len(), 4 + repeats);
        let failure = |index: usize| {
            let error = results[index].as_ref().unwrap_err();
            let ImageError { path, source } = error.downcast_ref().unwrap();
            (path.clone(), source)
        };
        assert_close(results[0].as_ref().unwrap(), &golden[0], 1e-5);
        for result in &results[4..] {
            assert_close(result.as_ref().unwrap(), &golden[1], 1e-5);
        }
        let (path, source) = failure(1);
        assert_eq!(path.as_ref(), Some(&cut));
        assert!(matches!(source, PreprocessError::Damaged { format: "png", .. }), "{source}");
        let (path, source) = failure(2);
        assert!(path.is_none() && matches!(source, PreprocessError::UnknownFormat));
        let (path, source) = failure(3);
        assert_eq!(path.as_ref(), Some(&absent));
        assert!(matches!(source, PreprocessError::Read(_)), "{source}");
        let text = results[3].as_ref().unwrap_err().to_string();
        assert_eq!(text, format!("{} cannot be read", absent.display()));
    }
}

#[test]
fn paths_bytes_and_pixels_give_the_same() {
    let Some(options) = options() else { return };
    let model = open("clip", &options).unwrap();
    let path = picture("square.png");
    let bytes = fs::read(&path).unwrap();
    let pixels = embedkit_image::decode(&path.clone().into(), &DecodeOptions::default()).unwrap();
    let inputs = [path.into(), ImageInput::Bytes(bytes), ImageInput::Decoded(pixels)];
    let vectors = model.embed_batch(&inputs).unwrap();
    assert_eq!(vectors[0], vectors[1]);
    assert_eq!(vectors[0], vectors[2]);
    let references: Vec<_> = inputs.iter().collect();
    for role in [Role::Raw, Role::Document, Role::Query] {
        assert_eq!(Embed::embed_batch(&model, role, &references).unwrap(), vectors);
    }
    let detailed: Vec<_> = model.embed_detailed(inputs).map(Result::unwrap).collect();
    assert_eq!(detailed[1].value, vectors[0]);
    assert!(!detailed[1].truncated && detailed[1].tokens == 0);
}

#[test]
fn nothing_gives_nothing_and_nothing_is_read_ahead_of_need() {
    let Some(options) = options() else { return };
    let model = open("clip", &options).unwrap();
    assert_eq!(model.embed(Vec::<PathBuf>::new()).count(), 0);

    let read = Rc::new(Cell::new(0));
    let counted = Rc::clone(&read);
    let endless = std::iter::repeat_with(move || {
        counted.set(counted.get() + 1);
        picture("one.png")
    });
    let mut stream = model.embed(endless);
    assert_eq!(read.get(), 0, "before the first is wanted");
    for _ in 0..3 {
        stream.next().unwrap().unwrap();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(read.get() <= 4 * cores.max(16), "{} were read", read.get());
}

#[test]
fn several_threads_share_a_model() {
    let Some(options) = options() else { return };
    let model = open("nomic", &options).unwrap();
    let golden = &image_case("nomic").golden.embed;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let pictures = image_case("nomic").pictures();
                for (vector, expected) in zip_equal(model.embed(pictures), golden) {
                    assert_close(&vector.unwrap(), expected, 1e-5);
                }
            });
        }
    });
}

fn facts(name: &str, change: impl FnOnce(&mut Image)) -> (ModelSpec, ModelFiles) {
    let case = image_case(name);
    let files = case.files();
    let mut spec = case.spec;
    let Task::Image(facts) = &mut spec.task else { panic!("{name} is no image model") };
    change(facts);
    (spec, files)
}

#[test]
fn a_custom_model_chooses_output_and_normalisation() {
    let Some(options) = options() else { return };
    let golden = &image_case("siglip").golden.embed;
    let pictures = || image_case("siglip").pictures();
    let (spec, files) = facts("siglip", |facts| {
        facts.output = GraphOutput::Index(1);
        facts.normalize = false;
    });
    let model = ImageEmbedding::from_files(&spec, &files, &options).unwrap();
    for (vector, expected) in zip_equal(model.embed(pictures()), golden) {
        let vector = vector.unwrap();
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() > 1e-3, "{norm}");
        let scaled: Vec<_> = vector.iter().map(|x| x / norm).collect();
        assert_close(&scaled, expected, 1e-5);
    }
    // The graph decides on the width; 512 was a wish.
    let (spec, files) = facts("siglip", |facts| facts.dim = 512);
    let model = ImageEmbedding::from_files(&spec, &files, &options).unwrap();
    assert_eq!(model.embedding_size(), 512);
    assert_eq!(model.embed(pictures()).next().unwrap().unwrap().len(), 8);
    assert_eq!(model.embedding_size(), 8);
}

#[test]
fn a_class_token_of_another_width_than_registered_is_the_graphs() {
    let Some(options) = options() else { return };
    let (spec, files) = facts("nomic", |facts| facts.dim = 768);
    let model = ImageEmbedding::from_files(&spec, &files, &options).unwrap();
    let golden = image_case("nomic").golden.embed;
    for (vector, expected) in zip_equal(model.embed(image_case("nomic").pictures()), &golden) {
        assert_close(&vector.unwrap(), expected, 1e-5);
    }
}

#[test]
fn fewer_dimensions_are_of_unit_length() {
    let Some(options) = options() else { return };
    let with = |dim| LoadOptions { dim: Some(dim), ..options.clone() };
    let model = open("clip", &with(3)).unwrap();
    assert_eq!(model.embedding_size(), 3);
    let vector = model.embed([picture("wide.png")]).next().unwrap().unwrap();
    let expected = &image_case("clip").golden.embed[0][..3];
    let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert_close(&vector, &expected.iter().map(|x| x / norm).collect::<Vec<_>>(), 1e-5);
    let model = open("clip", &with(9)).unwrap();
    let error = model.embed([picture("wide.png")]).next().unwrap().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Core::DimTooLarge { wanted: 9, dim: 8, .. })),
        "{error}"
    );
}

#[test]
fn options_of_reading_and_resizing_are_heard() {
    let Some(options) = options() else { return };
    let case = image_case("clip");
    let open = |image: ImageOptions| {
        ImageEmbedding::from_files_with(&case.spec, &case.files(), &options, &image).unwrap()
    };
    let limits = DecodeLimits { max_pixels: 100, ..DecodeLimits::default() };
    let decode = DecodeOptions { limits, ..DecodeOptions::default() };
    let model = open(ImageOptions { decode, ..ImageOptions::default() });
    let error = model.embed([picture("wide.png")]).next().unwrap().unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(source.contains("41 x 18"), "{source}");
    assert!(error.hint().is_some_and(|hint| hint.to_string().contains("limits")), "{error}");

    let preprocess =
        PreprocessOptions { quality: ResizeQuality::Fast, ..PreprocessOptions::default() };
    let fast = open(ImageOptions { preprocess, ..ImageOptions::default() });
    let exact = open(ImageOptions::default());
    let vector =
        |model: &ImageEmbedding| model.embed([picture("wide.png")]).next().unwrap().unwrap();
    let (fast, exact) = (vector(&fast), vector(&exact));
    assert!(fast != exact && cosine(&fast, &exact) > 0.999, "{fast:?} {exact:?}");
}

#[test]
fn wrong_ways_to_open_are_told_apart() {
    let Some(options) = options() else { return };
    let error = |name: &str| open(name, &options).map(|_| ()).unwrap_err();
    let missing = error("error-no-configuration");
    assert!(missing.to_string().contains("preprocessor_config.json"), "{missing}");
    assert!(
        missing.hint().is_some_and(|hint| hint.to_string().contains("incomplete")),
        "{missing:?}"
    );
    let kind = error("error-configuration-type");
    let cause = kind.downcast_ref::<PreprocessError>();
    assert!(cause.is_some() && kind.hint().is_some(), "{kind:?}");

    let second = error("error-second-input");
    let Some(Core::UnknownInput { input, known, .. }) = second.downcast_ref() else {
        panic!("{second:?}");
    };
    assert_eq!((input.as_str(), known[0].as_str()), ("input_ids", "pixel_values"));
    let output = error("error-output-name");
    assert!(matches!(output.downcast_ref(), Some(Core::MissingOutput { .. })), "{output}");

    let dense =
        embedkit_core::registry::find_task("BAAI/bge-small-en-v1.5", TaskKind::TextDense).unwrap();
    let files = ModelFiles::in_dir(Path::new("nowhere"), dense);
    let wrong = ImageEmbedding::from_files(dense, &files, &options).map(|_| ()).unwrap_err();
    assert!(
        matches!(wrong.downcast_ref(), Some(SpecError::WrongTask { found: "text-dense", .. })),
        "{wrong}"
    );
    let prompts = Prompts::Custom { query: Some("find: ".into()), document: None };
    let prompted = LoadOptions { prompts, ..options.clone() };
    let wrong = open("clip", &prompted).map(|_| ()).unwrap_err();
    assert!(wrong.to_string().ends_with("of task image, which takes no prompts"), "{wrong}");
}

#[test]
fn outputs_that_are_not_rows_are_named() {
    let Some(options) = options() else { return };
    for name in ["error-no-batch-axis", "error-row-too-many"] {
        let model = open(name, &options).unwrap();
        let error = model.embed([picture("wide.png")]).next().unwrap().unwrap_err();
        let Some(Core::OutputShape { output, expected, .. }) = error.downcast_ref() else {
            panic!("{name}: {error:?}");
        };
        assert_eq!((output.as_str(), expected.as_str()), ("image_embeds", "1 rows"), "{name}");
    }
}

#[test]
fn tiles_are_for_another_family() {
    let Some(options) = options() else { return };
    let case = image_case("clip");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(case.files().model, dir.path().join("model.onnx")).unwrap();
    let config = r#"{"image_processor_type":"Idefics3ImageProcessor","do_image_splitting":true}"#;
    fs::write(dir.path().join("preprocessor_config.json"), config).unwrap();
    let files = ModelFiles::in_dir(dir.path(), &case.spec);
    let error = ImageEmbedding::from_files(&case.spec, &files, &options).map(|_| ()).unwrap_err();
    assert!(error.source().is_some_and(|e| e.to_string().contains("tiles")), "{error:?}");
}

#[test]
fn extreme_shapes_are_embedded() {
    let Some(options) = options() else { return };
    for name in ["clip", "resnet", "jina", "siglip"] {
        let model = open(name, &options).unwrap();
        for (width, height) in [(1, 1), (1, 3000), (3000, 1), (5000, 3), (17, 16)] {
            let pixels = (0..3 * width * height).map(|i| (i % 251) as u8).collect();
            let image = RgbImage::new(width, height, pixels).unwrap();
            let vector = model.embed([image]).next().unwrap().unwrap();
            assert!(vector.len() == 8 && vector.iter().all(|x| x.is_finite()), "{width}x{height}");
        }
    }
}

#[test]
fn the_registry_has_eight_models() {
    let ids: Vec<_> = ImageEmbedding::supported_models().map(|spec| spec.id.as_ref()).collect();
    assert_eq!(ids.len(), 8, "{ids:?}");
}

#[test]
fn an_image_that_the_graph_fails_on_fails_alone() {
    let Some(options) = options() else { return };
    let case = image_case("clip");
    let files = ModelFiles { model: fault("image"), ..case.files() };
    let options = LoadOptions { batch: one_batch(), ..options };
    let model = ImageEmbedding::from_files(&case.spec, &files, &options).unwrap();
    // It fails for a bright image.
    let image = |shade| ImageInput::Decoded(RgbImage::new(16, 16, vec![shade; 768]).unwrap());
    let images = |bad| (0..41).map(move |index| image(if index == bad { 255 } else { index }));
    for bad in [0, 23, 40] {
        let others = (0..41).filter(|index| *index != bad).map(image);
        let error = fails_alone(bad.into(), model.embed(images(bad)), model.embed(others));
        assert!(matches!(error.downcast_ref(), Some(Core::Run { .. })), "{error}");
    }
}
