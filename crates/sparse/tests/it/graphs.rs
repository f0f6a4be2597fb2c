//! Every kind with a graph on tiny models: the original's values, alone and in company.

use std::path::PathBuf;

use embedkit_sparse::{SparseOptions, SparseTextEmbedding};
use embedkit_testkit::{
    SparseCase, assert_close, fails_alone, fault, load_options, one_batch, runtime_library,
    sparse_case, sparse_cases, texts_with_a_long_one, zip_equal,
};
use embedkit_types::{
    BatchOptions, Device, Error, ErrorKind, LoadOptions, ModelFiles, Role, Sparse, SparseEmbedding,
    SparseKind, Task,
};

/// Options for tests, with the library found.
pub(crate) fn load(library: PathBuf) -> LoadOptions {
    LoadOptions { onnxruntime: Some(library), ..load_options() }
}

fn kind(case: &SparseCase) -> &SparseKind {
    match &case.spec.task {
        Task::Sparse(Sparse { kind, .. }) => kind,
        other => panic!("{}: a model for {}", case.name, other.name()),
    }
}

fn compiled(case: &SparseCase) -> bool {
    let kinds = [
        ("splade", cfg!(feature = "splade")),
        ("if-splade", cfg!(feature = "splade")),
        ("bm42", cfg!(feature = "bm42")),
        ("minicoil", cfg!(feature = "minicoil")),
    ];
    kinds.contains(&(kind(case).name(), true))
}

/// The case's parameters, by name as the command line gives them.
fn options(case: &SparseCase) -> SparseOptions {
    let mut options = SparseOptions::default();
    for (name, value) in &case.golden.options {
        options.set(kind(case), name, &value.to_string()).unwrap();
    }
    options
}

fn open(case: &SparseCase, load: &LoadOptions) -> Result<SparseTextEmbedding, Error> {
    SparseTextEmbedding::from_files_with(&case.spec, &case.files(), load, &options(case))
}

/// Cases that can run here.
fn runnable() -> Vec<(SparseCase, LoadOptions)> {
    let Some(library) = runtime_library() else { return Vec::new() };
    let cases = sparse_cases().into_iter().filter(compiled);
    cases.map(|case| (case, load(library.clone()))).collect()
}

/// Compares with pairs in the original's order. A weight at the edge of zero may be there or not.
#[track_caller]
pub(crate) fn assert_equal(name: &str, actual: &SparseEmbedding, expected: &[(u32, f64)]) {
    const EDGE: f32 = 1e-5;
    assert!(actual.indices().is_sorted(), "{name}: {:?}", actual.indices());
    let expected: SparseEmbedding =
        expected.iter().map(|&(index, value)| (index, value as f32)).collect();
    if actual.indices() != expected.indices() {
        let (actual, expected) = (actual.to_map(), expected.to_map());
        let one_sided = |a: &std::collections::BTreeMap<u32, f32>,
                         b: &std::collections::BTreeMap<u32, f32>| {
            a.iter()
                .filter(|(index, _)| !b.contains_key(index))
                .map(|(&i, &x)| (i, x))
                .collect::<Vec<_>>()
        };
        let more = one_sided(&actual, &expected);
        let less = one_sided(&expected, &actual);
        let beside: Vec<_> = more.iter().chain(&less).map(|&(_, x)| x).collect();
        assert!(beside.len() < 3, "{name}: more {more:?}, less {less:?}");
        println!("{name}: more {more:?}, less {less:?}");
        assert_close(&beside, &vec![0.0; beside.len()], EDGE);
        return;
    }
    for ((index, x), (_, y)) in actual.iter().zip(expected.iter()) {
        let unit = if name.starts_with("splade-half") { 1e-3 } else { 1e-4 };
        let scale = y.abs().max(1.0);
        if (x - y).abs() > unit * scale {
            println!("{name}: index {index} is {x} instead of {y}");
        }
        assert_close(&[x / scale], &[y / scale], unit);
    }
}

#[test]
fn every_case_equals_the_original() {
    let cases = runnable();
    for (case, load) in &cases {
        let (name, golden) = (&case.name, &case.golden);
        let model = open(case, load).unwrap_or_else(|error| panic!("{name}: {error}"));
        if load.device == Device::Cpu {
            assert_eq!(model.device().unwrap(), "cpu");
        }
        for (role, expected) in [
            (Role::Raw, &golden.embed),
            (Role::Document, &golden.embed),
            (Role::Query, &golden.query_embed),
        ] {
            let together: Vec<_> =
                model.embed_detailed(role, &golden.texts).collect::<Result<_, _>>().unwrap();
            assert_eq!(together.len(), expected.len(), "{name}");
            for (index, (embedded, expected)) in together.iter().zip(expected).enumerate() {
                let name = format!("{name} {role:?} {index}");
                assert_equal(&name, &embedded.value, expected);
                assert!(embedded.value.values().iter().all(|x| x.is_finite()), "{name}");
                let alone = model.embed_batch(role, &[&golden.texts[index]]).unwrap();
                assert_equal(&format!("{name} alone"), &alone[0], expected);
                assert_eq!(embedded.tokens, golden.token_counts[index], "{name}");
                let count = model.token_count([&golden.texts[index]]).unwrap();
                assert_eq!(count, golden.token_counts[index], "{name}");
            }
        }
        let unique = |vector: &SparseEmbedding| vector.indices().is_sorted_by(|a, b| a < b);
        if kind(case).name() != "minicoil" {
            assert!(model.embed(&golden.texts).all(|vector| unique(&vector.unwrap())), "{name}");
        }
    }
    println!("{} cases", cases.len());
}

#[cfg(feature = "splade")]
#[test]
fn weights_have_the_precision_of_the_graph() {
    let Some(library) = runtime_library() else { return };
    let case = sparse_case("splade-half");
    let model = open(&case, &load(library)).unwrap();
    for (vector, _) in zip_equal(model.embed(&case.golden.texts), &case.golden.texts) {
        // A half has 13 bits less than a single behind the point.
        let rounded = |x: &f32| x.to_bits().trailing_zeros() >= 13;
        let vector = vector.unwrap();
        let normal: Vec<_> = vector.values().iter().copied().filter(|&x| x > 1e-4).collect();
        assert!(!normal.is_empty() && normal.iter().all(rounded), "{normal:?}");
    }
}

#[test]
fn results_do_not_depend_on_batches() {
    for (case, plain) in runnable() {
        let texts = &case.golden.texts;
        for (rows, tokens, window, replicas) in
            [(1, 1, 1, 1), (5, 64, 7, 3), (256, 100_000, 999, 2)]
        {
            let batch = BatchOptions {
                rows: Some(rows),
                tokens: Some(tokens),
                window,
                ..BatchOptions::default()
            };
            let load = LoadOptions { batch, replicas: Some(replicas), ..plain.clone() };
            let vectors: Vec<_> =
                open(&case, &load).unwrap().embed(texts).map(Result::unwrap).collect();
            for (vector, expected) in zip_equal(&vectors, &case.golden.embed) {
                assert_equal(&case.name, vector, expected);
            }
        }
    }
}

#[test]
fn look_ups_need_no_graph() {
    for (case, plain) in runnable() {
        if !matches!(kind(&case).name(), "if-splade" | "bm42") {
            continue;
        }
        let (_dir, files) = case.copy();
        std::fs::write(&files.model, b"no graph").unwrap();
        let lazy = LoadOptions { lazy: true, ..plain.clone() };
        let model =
            SparseTextEmbedding::from_files_with(&case.spec, &files, &lazy, &options(&case))
                .unwrap();
        // Threads and replicas are the graph's, which checks each by itself when it is opened.
        let many = LoadOptions { threads: Some(1024), replicas: Some(2), ..lazy.clone() };
        SparseTextEmbedding::from_files_with(&case.spec, &files, &many, &options(&case)).unwrap();
        let texts = &case.golden.texts;
        for (vector, expected) in zip_equal(model.query_embed(texts), &case.golden.query_embed) {
            assert_equal(&case.name, &vector.unwrap(), expected);
        }
        let one = model.query_embed_one(&texts[0]).unwrap();
        assert_equal(&case.name, &one, &case.golden.query_embed[0]);
        let error = model.embed(["a"]).next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
        SparseTextEmbedding::from_files(&case.spec, &files, &plain).unwrap_err();
    }
}

#[test]
fn files_that_a_kind_needs_are_asked_for() {
    let Some(library) = runtime_library() else { return };
    let load = load(library);
    for (name, file, damaged) in [
        ("if-splade", "idf.json", "[1]"),
        ("minicoil", "minicoil.triplet.model.npy", "PK"),
        ("minicoil", "minicoil.triplet.model.vocab", "{}"),
        ("splade", "tokenizer.json", "{}"),
    ] {
        let case = sparse_case(name);
        if !compiled(&case) {
            continue;
        }
        let (dir, files) = case.copy();
        for damage in [Some(damaged), None] {
            match damage {
                Some(damaged) => std::fs::write(dir.path().join(file), damaged).unwrap(),
                None => std::fs::remove_file(dir.path().join(file)).unwrap(),
            }
            let error = SparseTextEmbedding::from_files(&case.spec, &files, &load).unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}

#[cfg(feature = "bm42")]
#[test]
fn a_graph_without_the_attention_is_refused() {
    let Some(library) = runtime_library() else { return };
    let mut case = sparse_case("bm42");
    if let Task::Sparse(Sparse { kind: SparseKind::Bm42(facts), .. }) = &mut case.spec.task {
        facts.output = embedkit_types::GraphOutput::Name("attention_9".into());
    }
    let error = open(&case, &load(library.clone())).unwrap_err();
    assert!(error.to_string().contains("attention_9"), "{error}");
    if let Task::Sparse(Sparse { kind: SparseKind::Bm42(facts), .. }) = &mut case.spec.task {
        facts.output = embedkit_types::GraphOutput::Index(0);
    }
    let model = open(&case, &load(library)).unwrap();
    let error = model.embed(["the fox"]).next().unwrap().unwrap_err();
    assert!(error.to_string().contains("expected [texts, heads, tokens, tokens]"), "{error}");
}

#[cfg(feature = "splade")]
#[test]
fn a_text_that_the_graph_fails_on_fails_alone() {
    let Some(library) = runtime_library() else { return };
    let case = sparse_case("splade");
    let files = ModelFiles { model: fault("hidden"), ..case.files() };
    let load = LoadOptions { batch: one_batch(), ..load(library) };
    let model = SparseTextEmbedding::from_files(&case.spec, &files, &load).unwrap();
    let texts = texts_with_a_long_one(23);
    let mut others = texts.clone();
    others.remove(23);
    let error = fails_alone(23, model.embed(&texts), model.embed(&others));
    assert!(error.to_string().contains("hidden.onnx"), "{error}");
}
