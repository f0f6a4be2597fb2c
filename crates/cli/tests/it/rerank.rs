//! `rerank`, and the second stage of `search`.

use std::{fmt::Write as _, fs, path::PathBuf};

use embedkit_testkit::{RerankCase, rerank_case, runtime_library, zip_equal};
use serde_json::{Value, json};

use crate::program::{Program, arg, file, fill_cache, read_npy};

/// The tiny cross-encoder, and the library that runs it.
struct Tiny {
    case: RerankCase,
    library: PathBuf,
}

impl Tiny {
    fn new() -> Option<Self> {
        Some(Self { case: rerank_case("one-label"), library: runtime_library()? })
    }

    fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(["rerank", "-q"])
            .args(args)
            .model_in(&self.case.dir)
            .var("ORT_DYLIB_PATH", &self.library)
    }

    /// Documents and scores of those that the original gives one for.
    fn documents(&self) -> Vec<(&str, f32)> {
        let golden = &self.case.golden;
        let all = golden.documents.iter().zip(&golden.rerank);
        all.filter_map(|(text, score)| Some((text.as_str(), (*score)?))).collect()
    }

    /// The same as a file.
    fn lines(&self) -> String {
        self.documents()
            .iter()
            .map(|(text, _)| json!({ "text": text }).to_string() + "\n")
            .collect()
    }
}

#[track_caller]
fn score(record: &Value) -> f32 {
    record["score"].as_f64().unwrap_or_else(|| panic!("{record}")) as f32
}

#[track_caller]
fn assert_scores(records: &[Value], expected: impl ExactSizeIterator<Item = f32>) {
    assert_eq!(records.len(), expected.len());
    for (index, (record, expected)) in records.iter().zip(expected).enumerate() {
        assert_eq!(record["index"], index);
        assert!((score(record) - expected).abs() < 1e-4, "{record}, {expected}");
    }
}

#[test]
fn scores_in_input_order() {
    let Some(tiny) = Tiny::new() else { return };
    let query = tiny.case.golden.query.as_str();
    let args = ["--query", query, "--input-format", "jsonl"];
    let outcome = tiny.run(args).stdin(tiny.lines()).run().silent_success();
    let expected = tiny.documents();
    assert_scores(&outcome.records(), expected.iter().map(|(_, score)| *score));
    assert!(outcome.text().starts_with("{\"index\":0,\"score\":"));

    let (texts, scores): (Vec<_>, Vec<_>) = expected.into_iter().skip(1).take(2).unzip();
    let outcome = tiny.run(["--query", query]).args(texts).run().silent_success();
    assert_scores(&outcome.records(), scores.into_iter());
}

#[test]
fn pairs_bring_their_queries() {
    let Some(tiny) = Tiny::new() else { return };
    let golden = &tiny.case.golden;
    let mut content = String::new();
    let mut expected = Vec::new();
    let texts = golden.pair_queries.iter().zip(&golden.pair_documents);
    for ((query, text), score) in texts.zip(&golden.rerank_pairs) {
        if let Some(score) = score {
            writeln!(content, "{}", json!({ "query": query, "text": text })).unwrap();
            expected.push(*score);
        }
    }
    let (_dir, path) = file("pairs.jsonl", &content);
    let outcome = tiny.run(["--input", arg(&path)]).run().silent_success();
    assert_scores(&outcome.records(), expected.into_iter());
}

#[test]
fn the_best_come_first_and_ties_in_input_order() {
    let Some(tiny) = Tiny::new() else { return };
    let query = tiny.case.golden.query.as_str();
    let args = ["--query", query, "--input-format", "jsonl", "--top-k", "5"];
    // Every text twice: each is a tie.
    let content = tiny.lines().repeat(2);
    let records = tiny.run(args).stdin(content).run().silent_success().records();
    assert_eq!(records.len(), 5);
    let count = tiny.documents().len() as u64;
    let place = |record: &Value| record["index"].as_u64().unwrap();
    for pair in records.windows(2) {
        assert!(score(&pair[0]) >= score(&pair[1]), "{records:?}");
        assert!(score(&pair[0]) > score(&pair[1]) || place(&pair[0]) < place(&pair[1]));
    }
    assert_eq!(score(&records[0]), score(&records[1]));
    let mut best: Vec<_> = tiny.documents().iter().map(|(_, score)| *score).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    assert!((score(&records[0]) - best[0]).abs() < 1e-4);
    assert!(records.iter().any(|record| place(record) >= count));
}

#[test]
fn sigmoid_scores_and_arrays() {
    let Some(tiny) = Tiny::new() else { return };
    let query = tiny.case.golden.query.as_str();
    let run = |args: &[&str]| {
        let fixed = ["--query", query, "--input-format", "jsonl"];
        tiny.run(fixed).args(args).stdin(tiny.lines()).run().silent_success()
    };
    let raw: Vec<_> = run(&[]).records().iter().map(score).collect();
    let sigmoid = |x: &f32| 1.0 / (1.0 + (-f64::from(*x)).exp());
    for (record, raw) in zip_equal(run(&["--sigmoid"]).records(), &raw) {
        assert!((f64::from(score(&record)) - sigmoid(raw)).abs() < 1e-6, "{record}, {raw}");
    }
    let ((rows, columns), values) = read_npy(&run(&["--format", "npy"]).stdout);
    assert_eq!((rows, columns), (raw.len(), 1));
    assert_eq!(values, raw);
}

#[test]
fn a_pair_that_is_cut_is_marked() {
    let Some(library) = runtime_library() else { return };
    let case = rerank_case("limit-10");
    let outcome = Program::new(["rerank", "--query", "a", "a", "one two three four five six"])
        .args(["seven eight nine ten one two three"])
        .model_in(&case.dir)
        .var("ORT_DYLIB_PATH", &library)
        .run();
    let records = outcome.records();
    assert_eq!(records[0].get("truncated"), None);
    assert_eq!(records[2]["truncated"], true);
    assert!(outcome.stderr.contains("cut off"), "{}", outcome.stderr);
}

#[test]
fn bad_pairs_are_skipped_in_their_place() {
    let Some(tiny) = Tiny::new() else { return };
    let content =
        "{\"query\":\"a\",\"text\":\"b\"}\n{\"text\":\"b\"}\n{\"query\":\"a\",\"text\":\"c\"}\n";
    let args = ["--input-format", "jsonl", "--on-error", "skip"];
    let records = tiny.run(args).stdin(content).run().silent_success().records();
    assert_eq!(records.len(), 3);
    assert!(records[1]["error"].as_str().unwrap().contains("line 2"), "{}", records[1]);
    assert!(records[0]["score"].is_number() && records[2]["score"].is_number());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let model = ["--model", "Xenova/ms-marco-MiniLM-L-6-v2"];
    let run = |args: &[&str]| Program::new(["rerank"]).args(args).run();
    let with = |args: &[&str]| run(&[&model[..], args].concat());
    run(&["--query", "q", "a"]).failure(2, "no default for --model", Some("--task rerank"));
    run(&["--query", "q", "a", "--model", "BAAI/bge-small-en-v1.5"]).failure(
        2,
        "is no reranker",
        Some("--task rerank"),
    );
    with(&["a"]).failure(2, "no query", Some("--query"));
    with(&["a", "--top-k", "2"]).failure(2, "--top-k", None);
    with(&["--query", "q", "a", "--option", "k=1"]).failure(2, "no options", None);
    assert_eq!(with(&["--query", "q", "a", "--top-k", "0"]).status, 2);
    let (_dir, path) = file("pairs.jsonl", "{\"query\":\"q\",\"text\":\"a\"}\n");
    with(&["--query", "q", "--input", arg(&path)]).failure(1, "line 1 of", None);
    with(&["--query", "q", "--top-k", "1", "--input", arg(&path)]).failure(1, "--query", None);
    Program::new(["search", "a", "b", "--rerank", "BAAI/bge-small-en-v1.5"]).run().failure(
        2,
        "is no reranker",
        Some("--task rerank"),
    );
}

#[test]
fn a_search_is_reranked() {
    let Some(tiny) = Tiny::new() else { return };
    let query = tiny.case.golden.query.as_str();
    // The reranker of a search is a built-in one: its files are put into the cache.
    let spec =
        embedkit::registry::find_task("Xenova/ms-marco-MiniLM-L-6-v2", embedkit::TaskKind::Rerank)
            .unwrap();
    let program = Program::new(["search", "-q", query, "--rerank", &spec.id, "--top-k", "3"])
        .args(["--model", "Qdrant/bm25", "--input-format", "jsonl"])
        .var("ORT_DYLIB_PATH", &tiny.library)
        .stdin(tiny.lines());
    let files: Vec<(&str, Vec<u8>)> = [
        &*spec.file,
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ]
    .into_iter()
    .map(|name| {
        let own = if name == spec.file { &*tiny.case.spec.file } else { name };
        (name, fs::read(tiny.case.dir.join(own)).unwrap())
    })
    .collect();
    fill_cache(&program.cache(), spec.source.repo.as_deref().unwrap(), &files);
    let hits = program.run().silent_success().records();
    // What has no word of the query is no candidate.
    let found = Program::new(["search", "-q", query, "--top-k", "1000"])
        .args(["--model", "Qdrant/bm25", "--input-format", "jsonl"])
        .stdin(tiny.lines())
        .run()
        .silent_success()
        .records();
    let found: Vec<_> = found.iter().map(|hit| hit["index"].as_u64().unwrap() as usize).collect();
    let mut expected: Vec<_> = tiny.documents().into_iter().enumerate().collect();
    expected.retain(|(index, _)| found.contains(index));
    expected.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    assert_eq!(hits.len(), expected.len().min(3));
    assert!(hits.len() > 1);
    for (hit, (index, (text, golden))) in hits.iter().zip(expected) {
        assert_eq!((&hit["index"], &hit["text"]), (&json!(index), &json!(text)));
        assert!((score(hit) - golden).abs() < 1e-4, "{hit}, {golden}");
    }
}
