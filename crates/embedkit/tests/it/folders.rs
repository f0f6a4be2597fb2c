//! Folders that describe themselves: with a graph, with several, and with a checkpoint alone.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use embedkit::{
    Error, ErrorKind, Hint, InputKind, LoadOptions, Model, ModelSpec, Precision, ResolveError,
    Role, SpecError, TaskKind, TextEmbedding,
    hub::{self, Event},
    resolve,
};
use embedkit_testkit::{TINY_TEXT, TINY_VECTOR, assert_close, dense_case, sentence_folder};
use tempfile::TempDir;

/// PyTorch sums in another order.
const TOLERANCE: f32 = 1e-5;

/// Offline options with a cache of their own; the library only where something is run.
fn offline(cache: &Path) -> LoadOptions {
    LoadOptions { cache_dir: Some(cache.to_owned()), offline: true, ..LoadOptions::default() }
}

fn running(cache: &Path) -> Option<LoadOptions> {
    let options = crate::options()?;
    Some(LoadOptions { cache_dir: Some(cache.to_owned()), offline: true, ..options })
}

fn name(dir: &TempDir) -> &str {
    dir.path().to_str().unwrap()
}

fn write(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Replaces the checkpoint by the graph of a tiny model, and the tokenizer by its own.
fn with_graph(graph: &str) -> TempDir {
    let dir = sentence_folder();
    let case = dense_case("mean");
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(case.dir.join(name), dir.path().join(name)).unwrap();
    }
    write(&dir, "sentence_bert_config.json", r#"{"max_seq_length": 32}"#);
    write(&dir, graph, fs::read(case.files().model).unwrap());
    dir
}

#[track_caller]
fn resolve_error(dir: &TempDir, options: &LoadOptions) -> Error {
    resolve(name(dir), options).unwrap_err()
}

#[test]
fn a_checkpoint_is_converted_once() {
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let Some(options) = running(cache.path()) else { return };
    let converted = Arc::new(AtomicUsize::new(0));
    let load = || {
        let count = Arc::clone(&converted);
        let builder = Model::builder(name(&dir)).unwrap().options(options.clone());
        let written = Mutex::new((0, 0));
        let builder = builder.on_event(move |event| match event {
            Event::Writing { bytes, size, .. } => *written.lock().unwrap() = (bytes, size),
            Event::Converted { .. } => {
                let (bytes, size) = *written.lock().unwrap();
                assert!(bytes == size && size > 0, "{bytes} of {size} bytes");
                count.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        });
        builder.open().unwrap()
    };
    for _ in 0..2 {
        let model = load();
        let vector = model.query(TINY_TEXT).unwrap().into_dense().unwrap();
        assert_close(&vector, &TINY_VECTOR, TOLERANCE);
        assert_eq!(converted.load(Ordering::Relaxed), 1);
        assert_eq!(model.id(), name(&dir));
    }
    // The limit of the files: 12 tokens.
    let long = ["w2"; 20].join(" ");
    assert_eq!(load().token_count(Role::Raw, [long]).unwrap(), 12);

    // Other weights are another graph.
    let weights = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 0x40;
    fs::write(&weights, bytes).unwrap();
    load();
    assert_eq!(converted.load(Ordering::Relaxed), 2);
    assert!(!dir.path().join("model.onnx").exists(), "the folder stays as it is");

    let typed = TextEmbedding::load(name(&dir), options).unwrap();
    assert_eq!(typed.embedding_size(), 8);
}

#[test]
fn a_checkpoint_becomes_a_graph_of_half_precision_on_demand() {
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let Some(options) = running(cache.path()) else { return };
    let half = LoadOptions { variant: Some("fp16".parse().unwrap()), ..options.clone() };
    let vector = |options: &LoadOptions| {
        let model = Model::load(name(&dir), options.clone()).unwrap();
        model.query(TINY_TEXT).unwrap().into_dense().unwrap()
    };
    let (half, full) = (vector(&half), vector(&options));
    assert_close(&full, &TINY_VECTOR, TOLERANCE);
    assert_close(&half, &TINY_VECTOR, 2e-2);
    assert_ne!(half, full, "each has a graph of its own");
    assert_eq!(fs::read_dir(cache.path().join("converted")).unwrap().count(), 2);
}

/// A row may name a checkpoint as its file.
#[test]
fn a_description_that_names_a_checkpoint_is_converted() {
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let Some(options) = running(cache.path()) else { return };
    let found = resolve(name(&dir), &options).unwrap().specs.remove(0);
    let spec = ModelSpec { id: "me/of-a-row".into(), file: "model.safetensors".into(), ..found };
    let open = |variant: Option<&str>| {
        let variant = variant.map(|name| name.parse().unwrap());
        let options = LoadOptions { variant, ..options.clone() };
        Model::builder_for([spec.clone()]).unwrap().dir(dir.path()).options(options).open()
    };
    for variant in [None, Some("fp32"), Some("fp16")] {
        let vector = open(variant).unwrap().query(TINY_TEXT).unwrap().into_dense().unwrap();
        assert_close(&vector, &TINY_VECTOR, 2e-2);
    }
    let error = open(Some("q4")).unwrap_err();
    let Some(ResolveError::NoVariant { known, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(known, &["fp32", "fp16"]);
}

#[test]
fn a_graph_is_run_as_the_files_describe_it() {
    let cache = tempfile::tempdir().unwrap();
    let Some(options) = running(cache.path()) else { return };
    let case = dense_case("mean");
    for graph in ["model.onnx", "onnx/model.onnx"] {
        let dir = with_graph(graph);
        let model = Model::load(name(&dir), options.clone()).unwrap();
        for (text, expected) in case.golden.texts.iter().zip(case.golden.embed.as_ref().unwrap()) {
            let vector = model.query(&**text).unwrap().into_dense().unwrap();
            assert_close(&vector, expected, case.tolerance());
        }
    }
    assert!(!cache.path().join("converted").exists());
}

#[test]
fn facts_name_their_files() {
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let found = resolve(name(&dir), &offline(cache.path())).unwrap();
    let spec = &found.specs[0];
    assert_eq!((spec.task.dim(), &*spec.file), (Some(8), "model.safetensors"));
    let fact = |field: &str| {
        let fact = found.facts.iter().find(|fact| fact.field == field).unwrap();
        (fact.value.as_str(), fact.file.as_str())
    };
    assert_eq!(fact("pooling"), ("mean", "1_Pooling/config.json"));
    assert_eq!(fact("max_tokens"), ("12", "sentence_bert_config.json"));
    assert_eq!(found.dir(), Some(dir.path()));

    let builder = Model::builder(name(&dir)).unwrap().options(offline(cache.path()));
    let known = builder.capabilities().unwrap();
    assert!(known.takes(InputKind::Text) && known.dim == Some(8));
}

#[test]
fn the_variant_is_taken_that_is_wanted_and_no_other() {
    let cache = tempfile::tempdir().unwrap();
    let wanting = |variant: &str| LoadOptions {
        variant: Some(variant.parse().unwrap()),
        ..offline(cache.path())
    };
    let file = |dir: &TempDir, options: &LoadOptions| {
        resolve(name(dir), options).map(|found| found.specs[0].file.to_string())
    };
    let dir = with_graph("onnx/model_quantized.onnx");
    write(&dir, "onnx/model_fp16.onnx", "x");
    write(&dir, "onnx/model_fp16.onnx_data", "x");
    write(&dir, "onnx/model_fp16.onnx_data_1", "x");
    assert_eq!(file(&dir, &wanting("fp16")).unwrap(), "onnx/model_fp16.onnx");
    let additional = resolve(name(&dir), &wanting("fp16")).unwrap().specs[0].clone();
    for data in ["onnx/model_fp16.onnx_data", "onnx/model_fp16.onnx_data_1"] {
        assert!(additional.additional_files.contains(&data.into()), "{additional:?}");
    }
    assert_eq!(file(&dir, &wanting("int8")).unwrap(), "onnx/model_quantized.onnx");
    for options in [offline(cache.path()), wanting("q4")] {
        let error = resolve_error(&dir, &options);
        let Some(ResolveError::NoVariant { known, .. }) = error.downcast_ref() else {
            panic!("{error}")
        };
        assert_eq!(known, &["fp16", "quantized"]);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(matches!(error.hint(), Some(Hint::ChooseVariant(_))));
    }
    // The checkpoint is the exact one, and becomes one of f16 where there is no such file.
    write(&dir, "model.safetensors", "x");
    assert_eq!(file(&dir, &offline(cache.path())).unwrap(), "model.safetensors");
    fs::remove_file(dir.path().join("onnx/model_fp16.onnx")).unwrap();
    assert_eq!(file(&dir, &wanting("fp16")).unwrap(), "model.safetensors");
    let error = resolve_error(&dir, &wanting("q4"));
    let Some(ResolveError::NoVariant { known, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(known, &["fp16", "fp32", "quantized"]);

    // A built-in model has one graph.
    let error = Model::load(embedkit::DEFAULT_MODEL, wanting("fp32")).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(SpecError::UnusedOption { option: "variant", .. })),
        "{error}"
    );
    let case = dense_case("mean");
    let builder = Model::builder_for([case.spec.clone()]).unwrap().dir(&case.dir);
    let error = builder.options(wanting("fp32")).open().unwrap_err();
    assert!(error.to_string().contains("variant"), "{error}");
}

#[test]
fn what_cannot_be_opened_is_told_apart() {
    let cache = tempfile::tempdir().unwrap();
    let options = offline(cache.path());
    let remove = |dir: &TempDir, name: &str| fs::remove_file(dir.path().join(name)).unwrap();

    let dir = sentence_folder();
    remove(&dir, "model.safetensors");
    let error = resolve_error(&dir, &options);
    assert!(matches!(error.downcast_ref(), Some(ResolveError::NoWeights { .. })), "{error}");
    write(&dir, "pytorch_model.bin", "x");
    let error = resolve_error(&dir, &options);
    let Some(ResolveError::Pickled { files, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert_eq!(files, &["pytorch_model.bin"]);
    assert!(error.hint().unwrap().to_string().contains("save_pretrained"));

    let shards = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    write(&dir, "model.safetensors.index.json", shards);
    write(&dir, "model-1.safetensors", "x");
    let error = resolve_error(&dir, &options);
    let Some(ResolveError::NoShard { file, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert_eq!(file, "model-2.safetensors");
    write(&dir, "model.safetensors.index.json", "[]");
    let error = resolve_error(&dir, &options);
    assert!(matches!(error.downcast_ref(), Some(ResolveError::File { .. })), "{error}");

    // That comes before what else is wrong: nobody should complete a description in vain.
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "config.json", "{}");
    write(&dir, "pytorch_model.bin", "x");
    write(&dir, "training_args.bin", "x");
    let error = resolve_error(&dir, &options);
    let Some(ResolveError::Pickled { files, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert_eq!(files, &["pytorch_model.bin"]);
    write(&dir, "model.safetensors", "x");
    assert!(resolve_error(&dir, &options).to_string().contains("model_type"));

    let dir = sentence_folder();
    let config = fs::read_to_string(dir.path().join("config.json")).unwrap();
    write(&dir, "config.json", config.replace("\"bert\"", "\"mamba\""));
    let error = resolve_error(&dir, &options);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().to_string().contains("bert"), "{error}");

    let dir = sentence_folder();
    remove(&dir, "tokenizer.json");
    let error = Model::load(name(&dir), options.clone()).unwrap_err();
    let Some(hub::Error::Missing { missing, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert_eq!(missing, &["tokenizer.json"]);

    let dir = tempfile::tempdir().unwrap();
    for (path, kind) in [("no/such", ErrorKind::NotFound), ("file", ErrorKind::NotFound)] {
        write(&dir, "file", "x");
        let error = resolve(dir.path().join(path).to_str().unwrap(), &options).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ResolveError::NoFolder { .. })), "{error}");
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn a_name_that_may_be_a_repository_leads_to_built_in_ones_too() {
    let cache = tempfile::tempdir().unwrap();
    let error = Model::load("BAAI/bge-smal-en-v1.5", offline(cache.path())).unwrap_err();
    let Some(ResolveError::NoRepository { id, similar, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(id, "BAAI/bge-smal-en-v1.5");
    assert!(similar.contains(&"BAAI/bge-small-en-v1.5".to_owned()));
    assert_eq!(error.kind(), ErrorKind::Offline);
    // A folder is given for a model that is known by its id.
    let error = Model::from_dir("me/other", cache.path(), offline(cache.path())).unwrap_err();
    assert!(error.to_string().contains("unknown model"), "{error}");
}

#[test]
#[cfg(feature = "rerank")]
fn a_folder_of_another_task_is_refused() {
    let (dir, cache) = (sentence_folder(), tempfile::tempdir().unwrap());
    let error = embedkit::TextCrossEncoder::load(name(&dir), offline(cache.path())).unwrap_err();
    let Some(SpecError::WrongTask { expected, found, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!((*expected, *found), ("rerank", "text-dense"));
}

/// Options with products of bf16.
fn in_bf16(options: LoadOptions) -> LoadOptions {
    LoadOptions { precision: Precision::Bf16, ..options }
}

/// True where the processor has the instructions; else the right error.
fn has_bf16(error: Option<&Error>) -> bool {
    if embedkit::runtime::bf16_kernel().is_some() {
        return true;
    }
    let error = error.expect("there is no other code instead");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("no instructions for bf16"), "{error}");
    assert!(error.hint().unwrap().to_string().contains("f32"));
    false
}

/// Matrices of the tiny models have fewer than 16 columns.
#[test]
fn a_graph_without_wide_matrices_is_refused_in_bf16() {
    for dir in [sentence_folder(), with_graph("onnx/model.onnx")] {
        let cache = tempfile::tempdir().unwrap();
        let Some(options) = running(cache.path()) else { return };
        let error = TextEmbedding::load(name(&dir), in_bf16(options)).unwrap_err();
        if !has_bf16(Some(&error)) {
            return;
        }
        assert!(error.to_string().contains("cannot multiply bf16"), "{error}");
        assert!(error.hint().unwrap().to_string().contains("f32"));
    }
}

/// A graph that cannot be in bf16 runs as it is where the precision is left to embedkit.
#[test]
fn any_graph_runs_with_the_fastest_precision() {
    let dir = sentence_folder();
    let cache = tempfile::tempdir().unwrap();
    let Some(options) = running(cache.path()) else { return };
    let [plain, fastest] = [Precision::F32, Precision::AutoFast].map(|precision| {
        let options = LoadOptions { precision, ..options.clone() };
        TextEmbedding::load(name(&dir), options).unwrap().query_embed_one(TINY_TEXT).unwrap()
    });
    assert_eq!(plain, fastest);
}

/// A real graph, whose matrices are wide enough, is rewritten once for each precision and lies in the cache.
#[test]
fn a_real_graph_is_rewritten_once() {
    let (cache, dir) = (tempfile::tempdir().unwrap(), embedkit_testkit::asset("minilm"));
    let (Some(dir), Some(options)) = (dir, running(cache.path())) else { return };
    let id = "sentence-transformers/all-MiniLM-L6-v2";
    let spec = embedkit::registry::find_task(id, TaskKind::TextDense).unwrap();
    let spec = ModelSpec { file: "model.onnx".into(), ..spec.clone() };
    let vector = |precision| {
        let builder = Model::builder_for([spec.clone()]).unwrap().dir(&dir);
        let model = builder.options(LoadOptions { precision, ..options.clone() }).open().unwrap();
        let embedded = model.embed_one(Role::Raw, "a text to be found").unwrap();
        embedded.value.into_dense().unwrap()
    };
    // The cache has one folder, that of the repository.
    let made = |precision: Precision| {
        let mut repositories =
            fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
        let graphs = repositories.next().unwrap().join("embedkit/converted");
        let names = fs::read_dir(graphs).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(precision.name())).count()
    };
    let expected = vector(Precision::F32);
    for (precision, least) in [(Precision::Int8, 0.99), (Precision::Bf16, 0.9999)] {
        if precision == Precision::Bf16 && embedkit::runtime::bf16_kernel().is_none() {
            println!("skipped: this processor has no instructions for bf16");
            continue;
        }
        let found = vector(precision);
        assert!(least < embedkit_testkit::cosine(&expected, &found), "{precision}");
        assert_ne!(expected, found, "it was not f32");
        assert_eq!(made(precision), 1);
        assert_eq!(vector(precision), found);
        assert_eq!(made(precision), 1);
    }
    let fastest = match embedkit::runtime::bf16_kernel() {
        Some("amx") => vector(Precision::Bf16),
        _ => expected,
    };
    assert_eq!(vector(Precision::AutoFast), fastest);
}

#[test]
fn a_precision_that_cannot_be_is_an_error() {
    let cache = tempfile::tempdir().unwrap();
    let dir = sentence_folder();
    let device = LoadOptions { device: "cuda:0".parse().unwrap(), ..offline(cache.path()) };
    let error = TextEmbedding::load(name(&dir), in_bf16(device)).unwrap_err();
    if has_bf16(Some(&error)) {
        assert!(error.to_string().contains("bf16 is a precision of the CPU"), "{error}");
    }
    // A file that is no graph.
    let case = dense_case("mean");
    let damaged = tempfile::tempdir().unwrap();
    write(&damaged, "model.onnx", "not a graph");
    let files = embedkit::ModelFiles::new(damaged.path(), damaged.path().join("model.onnx"));
    let options = in_bf16(offline(cache.path()));
    let error = TextEmbedding::from_files(&case.spec, &files, &options).unwrap_err();
    if has_bf16(Some(&error)) {
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("not a valid ONNX model"), "{error}");
        // A table, which has no graph.
        let files = embedkit::ModelFiles::new(damaged.path(), damaged.path().join("t.safetensors"));
        let error = TextEmbedding::from_files(&case.spec, &files, &options).unwrap_err();
        let unused =
            Some(SpecError::UnusedOption { id: case.spec.id.to_string(), option: "precision" });
        assert_eq!(error.downcast_ref::<SpecError>(), unused.as_ref(), "{error}");
    }
}
