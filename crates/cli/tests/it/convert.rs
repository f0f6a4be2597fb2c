//! `convert`: a checkpoint becomes a graph.

use std::{fs, path::Path};

use crate::program::{Program, arg};

#[test]
fn a_checkpoint_becomes_a_graph() {
    let checkpoint =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../convert/tests/data/bert-classifier");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.onnx");
    let convert =
        |args: &[&str]| Program::new(["convert", arg(&checkpoint), arg(&out)]).args(args).run();
    let outcome = convert(&[]);
    assert_eq!((outcome.status, outcome.stdout.len()), (0, 0), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("bert") && outcome.stderr.contains("token_type_ids"),
        "{}",
        outcome.stderr
    );
    let hidden = fs::read(&out).unwrap();
    assert!(hidden.windows(14).any(|name| name == b"token_type_ids"));

    convert(&["-q", "--head", "classifier", "--no-token-types"]).silent_success();
    let classifier = fs::read(&out).unwrap();
    assert!(!classifier.windows(14).any(|name| name == b"token_type_ids"));
    assert!(classifier.windows(6).any(|name| name == b"logits"));
}

#[test]
fn half_precision_takes_half_the_space() {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../convert/tests/data/bert-plain");
    let dir = tempfile::tempdir().unwrap();
    let size = |precision: &str| {
        let out = dir.path().join(precision);
        let line = ["convert", arg(&checkpoint), arg(&out), "-q", "--precision", precision];
        Program::new(line).run().silent_success();
        let graph = fs::read(&out).unwrap();
        // The raw data of the word embeddings, the largest tensor.
        let name = b"word_embeddings";
        assert!(graph.windows(name.len()).any(|part| part == name), "{precision}");
        graph.len()
    };
    let (full, half) = (size("f32"), size("f16"));
    assert!(half < full, "{half} bytes of f16, {full} of f32");
    let line = ["convert", arg(&checkpoint), arg(dir.path()), "--precision", "f64"];
    assert_eq!(Program::new(line).run().status, 2);
}

#[test]
fn a_folder_without_a_checkpoint_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.onnx");
    let outcome = Program::new(["convert", arg(dir.path()), arg(&out)]).run();
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.starts_with("error: ") && outcome.stderr.contains("config.json"),
        "{}",
        outcome.stderr
    );
    assert!(!out.exists());
    let outcome = Program::new(["convert", arg(dir.path()), arg(&out), "--head", "pooler"]).run();
    assert_eq!(outcome.status, 2);
}
