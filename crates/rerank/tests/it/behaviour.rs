//! What the original does not have, or does wrong: ranking, errors, streaming, concurrency.

use std::cell::Cell;

use embedkit_rerank::TextCrossEncoder;
use embedkit_testkit::{
    assert_close, fails_alone, fault, one_batch, rerank_case, texts_with_a_long_one, zip_equal,
};
use embedkit_types::{
    BatchOptions, ErrorKind, LoadOptions, ModelFiles, Prompts, SpecError, Task, TextDense,
};

use crate::{open, options};

/// The model of a case with options changed; `None` without a runtime.
fn model(name: &str, change: impl FnOnce(&mut LoadOptions)) -> Option<TextCrossEncoder> {
    let mut options = options()?;
    change(&mut options);
    Some(open(&rerank_case(name), &options).unwrap())
}

#[test]
fn the_best_come_first() {
    let Some(model) = model("one-label", |_| {}) else { return };
    let golden = rerank_case("one-label").golden;
    // Each document twice: equal scores, of which the first comes first.
    let twice = || golden.documents.iter().chain(&golden.documents);
    let scores: Vec<f32> = model.rerank(&golden.query, twice()).map(Result::unwrap).collect();
    let all = model.top_k(&golden.query, twice(), usize::MAX).unwrap();
    assert_eq!(all.len(), scores.len());
    let mut seen: Vec<usize> = all.iter().map(|ranked| ranked.index).collect();
    for ranked in &all {
        assert_close(&[ranked.score], &[scores[ranked.index]], 1e-5);
    }
    for pair in all.windows(2) {
        let tie = pair[0].score == pair[1].score && pair[0].index < pair[1].index;
        assert!(pair[0].score > pair[1].score || tie, "{pair:?}");
    }
    let best = model.top_k(&golden.query, twice(), 3).unwrap();
    assert_eq!(best.len(), 3);
    for (best, all) in best.iter().zip(&all) {
        assert_close(&[best.score], &[all.score], 1e-5);
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..scores.len()));
    assert!(model.top_k(&golden.query, twice(), 0).unwrap().is_empty());
}

#[test]
fn nothing_gives_nothing() {
    let Some(model) = model("one-label", |_| {}) else { return };
    assert_eq!(model.rerank("query", Vec::<String>::new()).count(), 0);
    assert_eq!(model.rerank_pairs(Vec::<(String, String)>::new()).count(), 0);
    assert!(model.top_k("query", [""; 0], 5).unwrap().is_empty());
    assert_eq!(model.token_count([("", ""); 0]).unwrap(), 0);
}

#[test]
fn a_query_beyond_the_limit_is_cut_and_said_to_be() {
    let Some(model) = model("one-label", |_| {}) else { return };
    let query = "the dog ".repeat(5000);
    let scored: Vec<_> = model.rerank_detailed(&query, ["a fox", ""]).map(Result::unwrap).collect();
    assert!(scored.iter().all(|scored| scored.truncated && scored.tokens == 32), "{scored:?}");
    let cut: Vec<_> = model.rerank("the dog", ["a fox"]).map(Result::unwrap).collect();
    assert_ne!(scored[0].value, cut[0]);
    let whole: Vec<_> = model.rerank_detailed("the dog", ["a fox"]).map(Result::unwrap).collect();
    assert!(!whole[0].truncated);
}

#[test]
fn texts_of_one_huge_word_are_scored() {
    // Either side is cut into thousands of parts, whose combinations would fill any memory.
    let Some(model) = model("byte-level", |_| {}) else { return };
    let word = "x".repeat(1 << 18);
    let scored = model.rerank_pairs_detailed([(&word, &word)]).next().unwrap().unwrap();
    assert!(scored.truncated && scored.value.is_finite());
}

#[test]
fn wrong_shapes_are_named() {
    let Some(options) = options() else { return };
    for (name, found) in [
        ("error-flat", "expected [pairs, 1 or more columns], got [1]"),
        ("error-per-token", "expected [pairs, 1 or more columns]"),
        ("error-per-token-one-column", "expected [pairs, 1 or more columns]"),
        ("error-no-columns", "expected [pairs, 1 or more columns], got [1, 0]"),
        ("error-few-rows", "expected 2 rows, got [1, 1]"),
    ] {
        let case = rerank_case(name);
        let model = open(&case, &options).unwrap();
        let documents = if name == "error-few-rows" { vec!["b", "b"] } else { vec!["b"] };
        let error = model.rerank("a", documents).next().unwrap().unwrap_err();
        let message = error.to_string();
        assert!(message.contains(found), "{name}: {message}");
        assert!(message.contains("`logits`") && message.contains("model.onnx"), "{message}");
    }
}

#[test]
fn what_does_not_fit_is_refused_at_once() {
    let Some(options) = options() else { return };
    let mut case = rerank_case("one-label");
    let cut = LoadOptions { dim: Some(8), ..options.clone() };
    let error = open(&case, &cut).unwrap_err();
    let cause = error.downcast_ref();
    assert!(matches!(cause, Some(SpecError::UnusedOption { option: "dim", .. })), "{error}");
    let prompts = Prompts::Custom { query: None, document: Some("text: ".to_owned()) };
    let error = open(&case, &LoadOptions { prompts, ..options.clone() }).unwrap_err();
    assert!(error.to_string().ends_with("of task rerank, which takes no prompts"), "{error}");
    let error = open(&rerank_case("error-limit-below-special-tokens"), &options).unwrap_err();
    let expected = "the limit of 2 tokens is below the 3 special tokens of every pair of texts";
    assert!(error.to_string().ends_with(expected), "{error}");
    case.spec.task = Task::TextDense(TextDense::DEFAULT);
    let error = open(&case, &options).unwrap_err();
    assert_eq!(error.to_string(), "tiny/one-label is a model for text-dense, not for rerank");
}

#[test]
fn a_lazy_model_counts_tokens_without_its_graph() {
    let Some(options) = options() else { return };
    let case = rerank_case("one-label");
    let dir = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(case.dir.join(name), dir.path().join(name)).unwrap();
    }
    let files = ModelFiles::in_dir(dir.path(), &case.spec);
    std::fs::create_dir(dir.path().join("onnx")).unwrap();
    std::fs::write(&files.model, b"no graph").unwrap();
    let lazy = LoadOptions { lazy: true, ..options.clone() };
    let model = TextCrossEncoder::from_files(&case.spec, &files, &lazy).unwrap();
    assert_eq!(model.token_count([("hello", "world")]).unwrap(), 5);
    let error = model.rerank("a", ["b"]).next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
    TextCrossEncoder::from_files(&case.spec, &files, &options).unwrap_err();
}

#[test]
fn documents_are_read_as_they_are_needed() {
    let read = Cell::new(0usize);
    let small = |options: &mut LoadOptions| {
        options.batch = BatchOptions { window: 16, ..BatchOptions::default() };
    };
    let Some(model) = model("one-label", small) else { return };
    let endless = (0u64..).map(|i| {
        read.set(read.get() + 1);
        format!("document {i}")
    });
    let mut scores = model.rerank("query", endless);
    assert_eq!(read.get(), 0, "nothing is read before the first score is asked for");
    for _ in 0..40 {
        scores.next().unwrap().unwrap();
    }
    assert!(read.get() <= 40 + 2 * 16, "{} documents were read for 40 scores", read.get());
    drop(scores); // ends the threads; the test would hang otherwise
}

#[test]
fn many_threads_share_one_model() {
    let Some(model) = model("one-label", |_| {}) else { return };
    let golden = rerank_case("one-label").golden;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let scores = model.rerank(&golden.query, &golden.documents);
                    for (score, expected) in zip_equal(scores, &golden.rerank) {
                        assert_close(&[score.unwrap()], &[expected.unwrap()], 1e-4);
                    }
                }
            });
        }
    });
    assert!(!model.clone().device().unwrap().is_empty());
}

#[test]
fn the_built_in_models_are_cross_encoders() {
    let models: Vec<_> = TextCrossEncoder::supported_models().map(|spec| &*spec.id).collect();
    for id in ["Xenova/ms-marco-MiniLM-L-6-v2", "mixedbread-ai/mxbai-rerank-base-v1"] {
        assert!(models.contains(&id), "{models:?}");
    }
    assert!(!models.contains(&"BAAI/bge-small-en-v1.5"), "{models:?}");
}

#[test]
fn a_document_that_the_graph_fails_on_fails_alone() {
    let Some(options) = options() else { return };
    let case = rerank_case("one-label");
    let files = ModelFiles { model: fault("hidden-score"), ..case.files() };
    let options = LoadOptions { batch: one_batch(), ..options };
    let model = TextCrossEncoder::from_files(&case.spec, &files, &options).unwrap();
    let documents = texts_with_a_long_one(23);
    let mut others = documents.clone();
    others.remove(23);
    let error = fails_alone(23, model.rerank("a fox", &documents), model.rerank("a fox", &others));
    assert!(error.to_string().contains("hidden-score.onnx"), "{error}");
}
