//! Models of many vectors: their records, MUVERA, token pooling, and search by MaxSim.

use std::path::PathBuf;

use embedkit::{
    MultiVector, pool_tokens,
    postprocess::{Muvera, MuveraOptions},
    scoring::max_sim,
};
use embedkit_testkit::{assert_close, dense_case, runtime_library, zip_equal};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Program, arg, embedding, file, golden, read_npy};

const TEXTS: [&str; 3] = ["hello world", "the quick brown fox jumps over the lazy dog", "a"];

/// A graph whose output are token vectors, described as a model that gives them all.
struct Tiny {
    dir: PathBuf,
    _spec: TempDir,
    spec: PathBuf,
    library: PathBuf,
}

impl Tiny {
    fn new() -> Option<Self> {
        let library = runtime_library()?;
        let text = r#"
            id = "tiny/tokens"
            task = "late-text"
            file = "onnx/model.onnx"
            dim = 8
            normalize = false
            normalize_queries = false
        "#;
        let (guard, spec) = file("spec.toml", text);
        Some(Self { dir: dense_case("mean").dir, _spec: guard, spec, library })
    }

    fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(args)
            .args(["--model-dir", arg(&self.dir), "--model-spec", arg(&self.spec)])
            .var("ORT_DYLIB_PATH", &self.library)
    }

    /// What `embed` says of [`TEXTS`].
    fn embed(&self, args: &[&str]) -> Vec<Value> {
        self.run(["embed"]).args(TEXTS).args(args).run().silent_success().records()
    }
}

/// The vectors under `embedding`.
#[track_caller]
fn vectors(record: &Value) -> MultiVector {
    let rows = record["embedding"].as_array().unwrap();
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let values = rows.iter().flat_map(|row| row.as_array().unwrap().iter().map(number)).collect();
    MultiVector::new(values, rows[0].as_array().unwrap().len()).unwrap()
}

#[test]
fn every_token_has_a_vector() {
    let Some(tiny) = Tiny::new() else { return };
    for (index, (record, text)) in zip_equal(&tiny.embed(&[]), TEXTS).enumerate() {
        let keys: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["embedding", "index"]);
        assert_eq!(record["index"], index);
        let vectors = vectors(record);
        assert_eq!(vectors.dim(), 8);
        // The original pools the same graph's output by mean.
        let mean: Vec<f32> = (0..8)
            .map(|at| vectors.rows().map(|row| row[at]).sum::<f32>() / vectors.len() as f32)
            .collect();
        let (expected, tolerance) = golden("mean", text);
        assert_close(&mean, &expected, tolerance);
    }
}

#[test]
fn muvera_makes_one_vector_by_role() {
    let Some(tiny) = Tiny::new() else { return };
    let options = MuveraOptions { k_sim: 2, dim_proj: 4, r_reps: 3, random_seed: 7 };
    let muvera = Muvera::new(8, options).unwrap();
    let step = ["--postprocess", "muvera:k_sim=2,dim_proj=4,r_reps=3,seed=7"];
    for role in ["raw", "document", "query"] {
        let whole = tiny.embed(&["--as", role]);
        let encoded = tiny.embed(&[&step[..], &["--as", role]].concat());
        for (whole, encoded) in zip_equal(&whole, &encoded) {
            let expected = match role {
                "query" => muvera.process_query(&vectors(whole)),
                _ => muvera.process_document(&vectors(whole)),
            };
            let expected: Vec<f32> = expected.unwrap().into_iter().map(|x| x as f32).collect();
            assert_eq!(embedding(encoded), expected, "{role}");
        }
    }
    let array = tiny.run(["embed", "--format", "npy"]).args(TEXTS).args(step).run();
    let (shape, values) = read_npy(&array.silent_success().stdout);
    assert_eq!(shape, (3, 3 * 4 * 4));
    assert_eq!(values[48..96], embedding(&tiny.embed(&step)[1]));
}

#[test]
fn pooled_tokens_are_fewer() {
    let Some(tiny) = Tiny::new() else { return };
    let whole = tiny.embed(&[]);
    let pooled = tiny.embed(&["--pool-tokens", "2"]);
    for (whole, pooled) in zip_equal(&whole, &pooled) {
        let whole = vectors(whole);
        let pooled = vectors(pooled);
        assert!(pooled.len() < whole.len());
        assert_eq!(pooled, pool_tokens(&whole, 2.0).unwrap());
    }
    assert_eq!(tiny.embed(&["--pool-tokens", "1"]), whole);
    // First fewer, then one.
    let step = ["--pool-tokens", "2", "--postprocess", "muvera:k_sim=1,dim_proj=8,r_reps=1"];
    let options = MuveraOptions { k_sim: 1, dim_proj: 8, r_reps: 1, random_seed: 42 };
    let expected = Muvera::new(8, options).unwrap().process_document(&vectors(&pooled[1])).unwrap();
    let expected: Vec<f32> = expected.into_iter().map(|x| x as f32).collect();
    assert_eq!(embedding(&tiny.embed(&step)[1]), expected);
}

#[test]
fn a_search_scores_by_maxsim() {
    let Some(tiny) = Tiny::new() else { return };
    let documents: Vec<_> = tiny.embed(&[]).iter().map(vectors).collect();
    let query = tiny.run(["embed", "brown dog", "--as", "query"]).run().silent_success().records();
    let query = vectors(&query[0]);
    let mut expected: Vec<_> =
        documents.iter().map(|document| max_sim(&query, document).unwrap()).enumerate().collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let hits = tiny.run(["search", "brown dog"]).args(TEXTS).run().silent_success().records();
    assert_eq!(hits.len(), 3);
    for (hit, (index, score)) in hits.iter().zip(expected) {
        assert_eq!(hit["index"], index);
        assert_eq!(hit["text"], TEXTS[index]);
        assert!((hit["score"].as_f64().unwrap() - f64::from(score)).abs() < 1e-4, "{hit}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let colbert = ["embed", "a", "--model", "colbert-ir/colbertv2.0"];
    let run = |args: &[&str]| Program::new(colbert).args(args).run();
    run(&["--format", "npy"]).failure(2, "no place for many vectors", Some("jsonl"));
    run(&["--pool-tokens", "2", "--as", "query"]).failure(2, "for documents", Some("queries"));
    for bad in ["muvera:k=1", "fde", "muvera:k_sim=x", "muvera:"] {
        assert_eq!(run(&["--postprocess", bad]).status, 2, "{bad}");
    }
    for option in [["--postprocess", "muvera"], ["--pool-tokens", "2"]] {
        let outcome = Program::embed(["a"]).args(option).run();
        outcome.failure(2, "gives one vector", Some("late-text"));
    }
    assert_eq!(run(&["--pool-tokens", "0.5"]).status, 2);
    let Some(tiny) = Tiny::new() else { return };
    let wide = tiny.run(["embed", "a", "--postprocess", "muvera"]).run();
    wide.failure(2, "dim_proj=16 > dim=8", Some("between 1 and 8"));
}
