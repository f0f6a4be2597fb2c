//! What the original does not have, or does wrong: options, errors, streaming, concurrency.

use std::{cell::Cell, path::PathBuf, sync::Arc, thread, time::Duration};

use embedkit_core::Error as Core;
use embedkit_testkit::{
    FAULT_TOKENS, assert_close, dense_case, fails_alone, fault, load_options, one_batch,
    runtime_library, texts_with_a_long_one, zip_equal,
};
use embedkit_text_dense::{DenseOptions, TextEmbedding, WrongBuffer};
use embedkit_types::{
    BatchOptions, Device, Embed, Error, ErrorKind, LoadOptions, ModelFiles, ModelPrompts,
    OptionsError, Prompts, Role, SpecError, Task,
};

/// The model of a case with options changed; `None` without a runtime.
fn model(name: &str, change: impl FnOnce(&mut LoadOptions)) -> Option<TextEmbedding> {
    let case = dense_case(name);
    let mut options = LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() };
    change(&mut options);
    Some(TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap())
}

fn refused(name: &str, change: impl FnOnce(&mut LoadOptions)) -> Option<Error> {
    let case = dense_case(name);
    let mut options = LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() };
    change(&mut options);
    Some(TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap_err())
}

#[test]
fn one_query_is_one_call() {
    let Some(model) = model("tasks", |_| {}) else { return };
    let text = "the quick brown fox";
    let one = model.query_embed_one(text).unwrap();
    assert_eq!(one, model.query_embed([text]).next().unwrap().unwrap());
    // The task is that of queries.
    assert_ne!(one, model.embed([text]).next().unwrap().unwrap());
}

#[test]
fn any_model_of_one_kind_of_result_is_shared_as_one_type() {
    let texts = ["the quick brown fox", ""];
    let models: Vec<Arc<dyn Embed<Input = str, Output = Vec<f32>>>> = ["mean", "tasks"]
        .into_iter()
        .filter_map(|case| Some(Arc::new(model(case, |_| {})?) as _))
        .collect();
    for (shared, case) in models.iter().zip(["mean", "tasks"]) {
        let model = model(case, |_| {}).unwrap();
        let vectors = thread::scope(|scope| {
            scope.spawn(|| shared.embed_batch(Role::Query, &texts)).join().unwrap().unwrap()
        });
        assert_eq!(vectors, model.embed_batch(Role::Query, &texts.map(str::to_owned)).unwrap());
    }
}

#[test]
fn a_matrix_has_the_vectors_as_rows() {
    let Some(model) = model("mean", |_| {}) else { return };
    let texts: Vec<String> = (0..20).map(|n| format!("the quick {n} fox")).collect();
    let expected = model.embed_batch(Role::Raw, &texts).unwrap().concat();
    let mut matrix = vec![f32::NAN; texts.len() * model.embedding_size()];
    model.embed_into(Role::Raw, &texts, &mut matrix).unwrap();
    assert_eq!(matrix, expected);
    model.embed_into(Role::Raw, &[""; 0], &mut []).unwrap();

    let (_, short) = matrix.split_last_mut().unwrap();
    let error = model.embed_into(Role::Raw, &texts, short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let WrongBuffer { rows, dim, found } = error.downcast_ref().unwrap();
    assert_eq!((*rows, *dim, *found), (20, model.embedding_size(), expected.len() - 1));
}

#[test]
fn a_matrix_for_another_dimension_is_refused_once_the_graph_has_spoken() {
    let Some(library) = runtime_library() else { return };
    let mut case = dense_case("mean");
    let Task::TextDense(task) = &mut case.spec.task else { panic!("another task") };
    let dim = task.dim;
    task.dim = dim + 1;
    let options = LoadOptions { onnxruntime: Some(library), lazy: true, ..load_options() };
    let model = TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
    let error = model.embed_into(Role::Raw, &["fox"], &mut vec![0.0; dim + 1]).unwrap_err();
    let found = error.downcast_ref::<WrongBuffer>().map(|error| error.dim);
    assert_eq!(found, Some(dim), "{error}");
    model.embed_into(Role::Raw, &["fox"], &mut vec![0.0; dim]).unwrap();
}

#[test]
#[cfg(feature = "ndarray")]
fn an_array_has_the_vectors_as_rows() {
    let Some(model) = model("mean", |_| {}) else { return };
    let texts = ["the quick brown fox", "", "lazy dog"];
    let array = model.embed_array(Role::Raw, &texts).unwrap();
    assert_eq!(array.shape(), [3, model.embedding_size()]);
    let vectors = model.embed_batch(Role::Raw, &texts).unwrap();
    for (row, vector) in array.rows().into_iter().zip(&vectors) {
        assert_eq!(row.as_slice().unwrap(), vector);
    }
    assert_eq!(
        model.embed_array(Role::Raw, &[""; 0]).unwrap().shape(),
        [0, model.embedding_size()]
    );
}

#[test]
fn dimensions_keep_the_head_and_unit_length() {
    let Some(whole) = model("mean-normalized", |_| {}) else { return };
    let cut = model("mean-normalized", |options| options.dim = Some(3)).unwrap();
    assert_eq!(cut.embedding_size(), 3);
    let text = ["the quick brown fox"];
    let whole = whole.embed(text).next().unwrap().unwrap();
    let head = &whole[..3];
    let norm = head.iter().map(|x| x * x).sum::<f32>().sqrt();
    let expected: Vec<f32> = head.iter().map(|x| x / norm).collect();
    assert_close(&cut.embed(text).next().unwrap().unwrap(), &expected, 1e-6);
}

#[test]
fn more_dimensions_than_the_model_has_are_an_error() {
    let Some(library) = runtime_library() else { return };
    for lazy in [false, true] {
        let case = dense_case("mean");
        let options = LoadOptions {
            dim: Some(4096),
            onnxruntime: Some(library.clone()),
            lazy,
            ..load_options()
        };
        let opened = TextEmbedding::from_files(&case.spec, &case.files(), &options);
        let error = match opened {
            Ok(model) => model.embed(["a"]).next().unwrap().unwrap_err(),
            Err(error) => error,
        };
        assert!(
            matches!(error.downcast_ref(), Some(Core::DimTooLarge { wanted: 4096, .. })),
            "{error}"
        );
    }
}

#[test]
fn results_do_not_depend_on_batching_threads_or_replicas() {
    let case = dense_case("mean-normalized");
    let texts: Vec<String> = (0..700).map(|i| case.golden.texts[i % 8].repeat(i % 5 + 1)).collect();
    let Some(reference) = model("mean-normalized", |_| {}) else { return };
    let reference: Vec<_> = reference.embed(&texts).map(Result::unwrap).collect();
    for (rows, tokens, window, replicas, threads) in
        [(1, 1, 1, 1, 1), (3, 64, 10, 3, 1), (256, 100_000, 9999, 2, 2), (7, 32, 100, 4, 1)]
    {
        let model = model("mean-normalized", |options| {
            options.batch = BatchOptions {
                rows: Some(rows),
                tokens: Some(tokens),
                window,
                ..BatchOptions::default()
            };
            options.replicas = Some(replicas);
            options.threads = Some(threads);
        });
        let vectors: Vec<_> = model.unwrap().embed(&texts).map(Result::unwrap).collect();
        assert_eq!(vectors.len(), reference.len());
        for (vector, reference) in vectors.iter().zip(&reference) {
            assert_close(vector, reference, 1e-5);
        }
    }
}

#[test]
fn texts_are_read_as_they_are_needed() {
    let read = Cell::new(0usize);
    let Some(model) = model("mean", |options| options.batch.window = 16) else { return };
    let endless = (0u64..).map(|i| {
        read.set(read.get() + 1);
        format!("text {i}")
    });
    let mut vectors = model.embed(endless);
    assert_eq!(read.get(), 0, "nothing is read before the first vector is asked for");
    for _ in 0..40 {
        vectors.next().unwrap().unwrap();
    }
    assert!(read.get() <= 40 + 2 * 16, "{} texts were read for 40 vectors", read.get());
    drop(vectors); // ends the threads; the test would hang otherwise
}

#[test]
fn many_threads_share_one_model() {
    let Some(model) = model("mean-normalized", |_| {}) else { return };
    let texts = &dense_case("mean-normalized").golden.texts;
    let alone: Vec<_> = model.embed(texts).map(Result::unwrap).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    for (vector, alone) in zip_equal(model.embed(texts), &alone) {
                        assert_close(&vector.unwrap(), alone, 1e-5);
                    }
                }
            });
        }
    });
}

#[test]
fn truncation_is_reported() {
    let Some(model) = model("limit-8", |_| {}) else { return };
    let texts = ["a", &"the fox ".repeat(50)];
    let embedded: Vec<_> =
        model.embed_detailed(Role::Raw, texts).collect::<Result<_, _>>().unwrap();
    assert!(!embedded[0].truncated);
    assert!(embedded[1].truncated);
    assert_eq!(embedded[1].tokens, 8);
}

#[test]
fn prompts_are_applied_only_when_asked_for() {
    let Some(library) = runtime_library() else { return };
    let mut case = dense_case("mean-normalized");
    case.spec.prompts =
        Some(ModelPrompts { query: Some("find: ".into()), ..ModelPrompts::default() });
    let open = |prompts| {
        let options = LoadOptions { prompts, onnxruntime: Some(library.clone()), ..load_options() };
        TextEmbedding::from_files(&case.spec, &case.files(), &options)
    };
    let (plain, prompted) = (open(Prompts::None).unwrap(), open(Prompts::Model).unwrap());
    let one =
        |model: &TextEmbedding, role, text| model.embed_batch(role, &[text]).unwrap().remove(0);
    assert_eq!(one(&plain, Role::Query, "fox"), one(&plain, Role::Raw, "fox"));
    assert_eq!(one(&prompted, Role::Query, "fox"), one(&plain, Role::Raw, "find: fox"));
    assert_eq!(one(&prompted, Role::Document, "fox"), one(&plain, Role::Raw, "fox"));
    assert_eq!(one(&prompted, Role::Raw, "fox"), one(&plain, Role::Raw, "fox"));
    // The caller's own stand in place of the model's.
    let document = Some("the lazy ".to_owned());
    let custom = open(Prompts::Custom { query: None, document }).unwrap();
    assert_eq!(one(&custom, Role::Query, "fox"), one(&plain, Role::Raw, "fox"));
    assert_eq!(one(&custom, Role::Document, "fox"), one(&plain, Role::Raw, "the lazy fox"));

    case.spec.prompts = Some(ModelPrompts { unknown: true, ..ModelPrompts::default() });
    let options = LoadOptions { prompts: Prompts::Model, ..load_options() };
    let error = TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(SpecError::PromptUnknown { .. })), "{error}");
}

#[test]
fn an_option_of_zero_is_refused_before_anything_is_opened() {
    let case = dense_case("mean");
    for lazy in [false, true] {
        let options = LoadOptions { threads: Some(0), lazy, ..load_options() };
        let error = TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap_err();
        assert!(error.downcast_ref::<OptionsError>().is_some(), "{error}");
        assert!(error.to_string().contains("`threads` is 0"), "{error}");
    }
}

#[test]
fn an_unknown_task_names_the_known_ones() {
    let Some(library) = runtime_library() else { return };
    let options = LoadOptions { onnxruntime: Some(library), ..load_options() };
    let cooking = DenseOptions { task: Some("cooking".into()) };
    let refused = |name| {
        let case = dense_case(name);
        let opened = TextEmbedding::from_files_with(&case.spec, &case.files(), &options, &cooking);
        opened.unwrap_err()
    };
    let error = refused("tasks");
    assert!(error.to_string().contains("retrieval.query"), "{error}");
    let error = refused("mean");
    let Some(SpecError::UnknownTask { known, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert!(known.is_empty());
}

#[test]
fn a_device_that_was_not_compiled_in_is_an_error() {
    let Some(error) = refused("mean", |options| options.device = Device::Cuda(vec![])) else {
        return;
    };
    assert!(error.to_string().contains("cuda"), "{error}");
    let prefer = Device::Prefer(vec![Device::Cuda(vec![]), Device::Cpu]);
    assert_eq!(model("mean", |options| options.device = prefer).unwrap().device().unwrap(), "cpu");
}

#[test]
fn absurd_numbers_of_threads_and_replicas_are_errors() {
    let Some(error) = refused("mean", |options| options.replicas = Some(1_000_000)) else {
        return;
    };
    assert!(error.to_string().contains("1000000 replicas"), "{error}");
    let error = refused("mean", |options| options.threads = Some(1_000_000)).unwrap();
    assert!(error.to_string().contains("1000000 threads"), "{error}");
}

#[test]
fn a_missing_library_is_an_error_that_says_where_it_was_looked_for() {
    if runtime_library().is_none() {
        return; // another library may already be loaded by another test otherwise
    }
    let missing = PathBuf::from("/nowhere/libonnxruntime.so");
    let error = refused("mean", |options| options.onnxruntime = Some(missing)).unwrap();
    assert!(error.to_string().contains("/nowhere/libonnxruntime.so"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn damaged_files_are_errors_that_name_them() {
    let Some(library) = runtime_library() else { return };
    let options = LoadOptions { onnxruntime: Some(library), ..load_options() };
    let open = |files: &ModelFiles, spec: &_| TextEmbedding::from_files(spec, files, &options);
    let damages: [(&str, &dyn Fn(&ModelFiles)); 6] = [
        ("model.onnx", &|files| {
            let bytes = std::fs::read(&files.model).unwrap();
            std::fs::write(&files.model, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("model.onnx", &|files| std::fs::write(&files.model, b"").unwrap()),
        ("model.onnx", &|files| std::fs::write(&files.model, b"<html>not found</html>").unwrap()),
        ("model.onnx", &|files| std::fs::remove_file(&files.model).unwrap()),
        ("tokenizer.json", &|files| {
            std::fs::write(files.path("tokenizer.json"), b"{\"model\": [").unwrap();
        }),
        ("tokenizer_config.json", &|files| {
            std::fs::write(files.path("tokenizer_config.json"), b"[]").unwrap();
        }),
    ];
    for (file, damage) in damages {
        let case = dense_case("mean");
        let (_dir, files) = case.copy();
        assert!(open(&files, &case.spec).is_ok());
        damage(&files);
        let error = open(&files, &case.spec).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn an_error_concerns_its_text_and_the_stream_goes_on() {
    // A vocabulary without an unknown token: a text it cannot spell fails, its neighbours do not.
    let case = dense_case("static-mapping");
    let (_dir, files) = case.copy();
    let path = files.path("tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["model"]["unk_token"] = "not in the vocabulary".into();
    std::fs::write(&path, json.to_string()).unwrap();
    let model = TextEmbedding::from_files(&case.spec, &files, &load_options()).unwrap();
    let mut texts = vec!["the"; 40];
    texts[17] = "☃";
    let results: Vec<_> = model.embed(texts).collect();
    assert_eq!(results.len(), 40);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), index == 17, "{index}: {result:?}");
    }
}

#[test]
fn files_of_another_family_are_refused() {
    let mut case = dense_case("mean");
    case.spec.task = embedkit_core::registry::find("Qdrant/bm25").unwrap()[0].task.clone();
    let error = TextEmbedding::from_files(&case.spec, &case.files(), &load_options()).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(SpecError::WrongTask { found: "sparse", .. })),
        "{error}"
    );
}

/// A model whose graph fails for texts of more than [`FAULT_TOKENS`] tokens.
fn with_fault(name: &str, change: impl FnOnce(&mut LoadOptions)) -> Option<TextEmbedding> {
    let case = dense_case("mean");
    let files = ModelFiles { model: fault(name), ..case.files() };
    let mut options =
        LoadOptions { onnxruntime: Some(runtime_library()?), batch: one_batch(), ..load_options() };
    change(&mut options);
    Some(TextEmbedding::from_files(&case.spec, &files, &options).unwrap())
}

#[test]
fn a_text_that_the_graph_fails_on_fails_alone() {
    let Some(model) = with_fault("hidden", |_| {}) else { return };
    for (first, last, bad) in [(0, 41, 0), (0, 41, 23), (0, 41, 40), (20, 26, 3)] {
        // Few are embedded by the caller's thread, many by others.
        let texts = &texts_with_a_long_one(first + bad)[first..last];
        let mut others = texts.to_vec();
        others.remove(bad);
        let error = fails_alone(bad, model.embed(texts), model.embed(&others));
        let Some(Core::Run { path, reason }) = error.downcast_ref() else { panic!("{error}") };
        assert_eq!(*path, fault("hidden"));
        assert!(reason.contains(&format!("idx={FAULT_TOKENS}")), "{reason}");
    }
}

#[test]
fn a_text_beyond_the_positions_of_the_graph_is_refused_before_it_runs() {
    let Some(model) = with_fault("shown-slice", |_| {}) else { return };
    let texts = texts_with_a_long_one(7);
    let mut others = texts.clone();
    others.remove(7);
    let error = fails_alone(7, model.embed(&texts), model.embed(&others));
    let Some(Core::TooManyTokens { limit: FAULT_TOKENS, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
}

#[test]
fn a_text_that_takes_too_long_fails_alone() {
    // The others take microseconds.
    let limit = Duration::from_secs(1);
    let change = |options: &mut LoadOptions| {
        options.timeout = Some(limit);
        options.batch.rows = Some(4);
    };
    let Some(model) = with_fault("endless", change) else { return };
    let texts = texts_with_a_long_one(23);
    let mut others = texts.clone();
    others.remove(23);
    let error = fails_alone(23, model.embed(&texts), model.embed(&others));
    let Some(Core::TimedOut { rows: 1, limit: found, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(*found, limit);
}
