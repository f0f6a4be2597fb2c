//! BM25 as a model: streaming, threads, roles, opening.

use std::cell::Cell;

use embedkit_sparse::{OptionError, SparseOptions, SparseTextEmbedding, Stemmer};
use embedkit_types::{
    BatchOptions, Embed, ErrorKind, LoadOptions, ModelFiles, Role, SparseEmbedding, SpecError,
    TaskKind,
};

use crate::spec;

fn open(load: &LoadOptions, options: &SparseOptions) -> SparseTextEmbedding {
    SparseTextEmbedding::without_files(spec("Qdrant/bm25"), load, options).unwrap()
}

fn plain() -> SparseTextEmbedding {
    open(&LoadOptions::default(), &SparseOptions::default())
}

fn texts(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| format!("boat number {i} leaves {}", "the harbour again ".repeat(i % 7)))
        .collect()
}

#[test]
fn results_do_not_depend_on_threads_or_batches() {
    let texts = texts(3000);
    let model = plain();
    let alone: Vec<SparseEmbedding> =
        texts.iter().map(|text| model.embed([text]).next().unwrap().unwrap()).collect();
    for (rows, window, threads) in [(1, 1, 1), (256, 2048, 1), (7, 100, 3), (9999, 9999, 8)] {
        let batch = BatchOptions { rows: Some(rows), window, ..BatchOptions::default() };
        let load = LoadOptions { batch, threads: Some(threads), ..LoadOptions::default() };
        let together: Vec<_> =
            open(&load, &SparseOptions::default()).embed(&texts).map(Result::unwrap).collect();
        assert_eq!(together, alone);
    }
}

#[test]
fn roles_and_counts() {
    let model = plain();
    let text = "the boats, the boats";
    let [raw, document, query] = [Role::Raw, Role::Document, Role::Query]
        .map(|role| model.embed_detailed(role, [text]).next().unwrap().unwrap());
    assert_eq!(raw, document);
    assert_eq!((raw.tokens, raw.truncated), (4, false));
    assert!(raw.value.values()[0] > 1.0);
    assert_eq!(query.value.values(), [1.0]);
    assert_eq!(query.value, model.query_embed([text]).next().unwrap().unwrap());
    assert_eq!(raw.value, model.passage_embed([text]).next().unwrap().unwrap());
    assert_eq!(model.token_count([text, "a b"]).unwrap(), 6);
    assert_eq!(Embed::embed_batch(&model, Role::Query, &[text, ""]).unwrap()[0], query.value);
    assert!(model.requires_idf());
    assert_eq!(model.device().unwrap(), "cpu");
}

#[test]
fn texts_are_read_as_they_are_needed() {
    let read = Cell::new(0usize);
    let batch = BatchOptions { window: 16, ..BatchOptions::default() };
    let model = open(&LoadOptions { batch, ..LoadOptions::default() }, &SparseOptions::default());
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
}

#[test]
fn a_stemmer_that_panics_is_an_error() {
    let stemmer = Stemmer::new(|word| {
        assert_ne!(word, "bad");
        word.to_owned()
    });
    let options = SparseOptions { stemmer: Some(stemmer), ..SparseOptions::default() };
    let model = open(&LoadOptions::default(), &options);
    let error = model.embed(["good bad"]).next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert_eq!(model.embed(["good"]).next().unwrap().unwrap().len(), 1);
}

#[test]
fn files_of_the_hub_are_lists_of_stopwords() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec("Qdrant/bm25");
    let files = ModelFiles::in_dir(dir.path(), spec);
    let terms = || {
        let model = SparseTextEmbedding::from_files(spec, &files, &LoadOptions::default()).unwrap();
        model.embed(["the quick fox"]).next().unwrap().unwrap().len()
    };
    assert_eq!(terms(), 3, "no list");
    std::fs::write(dir.path().join("english.txt"), "the\nfox").unwrap();
    assert_eq!(terms(), 1);
}

#[test]
fn wrong_ways_to_open() {
    let load = LoadOptions::default();
    let none = SparseOptions::default();
    let splade = spec("prithivida/Splade_PP_en_v1");
    assert!(SparseTextEmbedding::needs_files(splade));
    assert!(!SparseTextEmbedding::needs_files(spec("Qdrant/bm25")));
    let error = SparseTextEmbedding::without_files(splade, &load, &none).unwrap_err();
    let cause = error.downcast_ref();
    let Some(SpecError::NeedsFiles { .. } | SpecError::NotCompiled { .. }) = cause else {
        panic!("{error}")
    };
    let many = LoadOptions { threads: Some(1 << 40), ..LoadOptions::default() };
    let error = SparseTextEmbedding::without_files(spec("Qdrant/bm25"), &many, &none).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(embedkit_core::Error::TooMany { .. })), "{error}");
    let dense =
        embedkit_core::registry::find_task("BAAI/bge-small-en-v1.5", TaskKind::TextDense).unwrap();
    let error = SparseTextEmbedding::without_files(dense, &load, &none).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(SpecError::WrongTask { found: "text-dense", .. })),
        "{error}"
    );
    let options = SparseOptions { alpha: Some(1.0), ..SparseOptions::default() };
    let error =
        SparseTextEmbedding::without_files(spec("Qdrant/bm25"), &load, &options).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OptionError::Unknown { .. })), "{error}");
    assert_eq!(SparseTextEmbedding::supported_models().count(), 11);
}
