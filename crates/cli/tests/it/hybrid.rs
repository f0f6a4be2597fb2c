//! Models with several embeddings: their records, the choice among them, and commands that take one kind.

use std::path::{Path, PathBuf};

use embedkit_testkit::runtime_library;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Program, arg, file, read_npy};

const TEXTS: [&str; 2] = ["the quick brown fox", "the cat sleeps"];

/// A graph with three outputs.
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
            id = "tiny/three"
            task = "text-hybrid"
            file = "model.onnx"
            dim = 8
            sparse_output = "sparse_vecs"
            multi_vector_output = 2
            skip_tokens = ["<s>", "</s>"]
        "#;
        let (guard, spec) = file("spec.toml", text);
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hybrid/tests/data/outputs");
        Some(Self { dir, _spec: guard, spec, library })
    }

    fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new(args)
            .args(["--model-dir", arg(&self.dir), "--model-spec", arg(&self.spec)])
            .var("ORT_DYLIB_PATH", &self.library)
    }

    fn embed(&self, args: &[&str]) -> Vec<Value> {
        self.run(["embed"]).args(TEXTS).args(args).run().silent_success().records()
    }
}

fn keys(record: &Value) -> Vec<&str> {
    record.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_record_has_the_embeddings_that_are_asked_for() {
    let Some(tiny) = Tiny::new() else { return };
    let all = tiny.embed(&[]);
    assert_eq!(all.len(), TEXTS.len());
    for record in &all {
        assert_eq!(keys(record), ["dense", "index", "multi", "sparse"]);
        assert_eq!(record["dense"].as_array().unwrap().len(), 8);
        let indices = record["sparse"]["indices"].as_array().unwrap();
        assert_eq!(indices.len(), record["sparse"]["values"].as_array().unwrap().len());
        assert!(record["multi"].as_array().unwrap().len() > 3);
    }
    assert_eq!(tiny.embed(&["--outputs", "multi,sparse,dense"]), all);
    for (two, all) in tiny.embed(&["--outputs", "dense,multi"]).iter().zip(&all) {
        assert_eq!(keys(two), ["dense", "index", "multi"]);
        assert_eq!((&two["dense"], &two["multi"]), (&all["dense"], &all["multi"]));
    }
    // One kind has the form of a model of that kind.
    for (one, all) in tiny.embed(&["--outputs", "dense"]).iter().zip(&all) {
        assert_eq!(keys(one), ["embedding", "index"]);
        assert_eq!(one["embedding"], all["dense"]);
    }
    for (one, all) in tiny.embed(&["--outputs", "sparse"]).iter().zip(&all) {
        assert_eq!(keys(one), ["index", "indices", "values"]);
        assert_eq!(one["values"], all["sparse"]["values"]);
    }
}

#[test]
fn search_takes_the_mean_of_the_scores_or_one_kind() {
    let Some(tiny) = Tiny::new() else { return };
    for outputs in [&[][..], &["--outputs", "dense"], &["--outputs", "dense,sparse"]] {
        let search = ["search", "the cat sleeps", "the cat sleeps", "the fox jumps over the dog"];
        let hits = tiny.run(search).args(outputs).run().silent_success().records();
        assert_eq!((hits.len(), &hits[0]["index"]), (2, &0.into()), "{outputs:?}");
    }
}

#[test]
fn outputs_that_are_not_there_are_usage_errors() {
    let Some(tiny) = Tiny::new() else { return };
    let wrong = tiny.run(["embed", "a", "--outputs", "colbert"]).run();
    assert_eq!(wrong.status, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("one or more of dense, sparse, multi"), "{}", wrong.stderr);
    let other = Program::embed(["a", "--outputs", "sparse"]).run();
    assert_eq!(other.status, 2, "{}", other.stderr);
    assert!(other.stderr.contains("--outputs takes dense here"), "{}", other.stderr);
}

#[test]
fn a_table_of_numbers_takes_one_kind() {
    let Some(tiny) = Tiny::new() else { return };
    let hint = Some("--outputs dense");
    let npy = || tiny.run(["embed", "cat", "--format", "npy"]);
    npy().run().failure(2, "npy has no place for", hint);
    let outcome = npy().args(["--outputs", "dense"]).run().silent_success();
    let ((rows, columns), vectors) = read_npy(&outcome.stdout);
    assert_eq!((rows, columns, vectors.len()), (1, 8, 8));
}
