//! `quantize`: a graph of f32 becomes one of integers.

use std::{fs, path::Path};

use embedkit_testkit::runtime_library;

use crate::program::{Program, arg};

#[test]
fn a_graph_becomes_one_of_integers() {
    let Some(library) = runtime_library() else { return };
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../convert/tests/data/bert-mlm");
    let dir = tempfile::tempdir().unwrap();
    let (graph, integers) = (dir.path().join("model.onnx"), dir.path().join("int8.onnx"));
    Program::new(["-q", "convert", "--head", "mlm", arg(&checkpoint), arg(&graph)])
        .run()
        .silent_success();
    let quantize = Program::new(["quantize", arg(&graph), arg(&integers)])
        .args(["--onnxruntime", arg(&library)]);
    let outcome = quantize.run();
    assert_eq!((outcome.status, outcome.stdout.len()), (0, 0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 matrix products in integers"), "{}", outcome.stderr);
    assert!(fs::read(&integers).unwrap().windows(13).any(|name| name == b"MatMulInteger"));

    let again = Program::new(["quantize", arg(&integers), arg(&graph)]).run();
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains("quantised already"), "{}", again.stderr);
    assert!(again.stderr.contains("hint: "), "{}", again.stderr);
}

#[test]
fn what_is_no_graph_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (graph, integers) = (dir.path().join("model.onnx"), dir.path().join("int8.onnx"));
    fs::write(&graph, "not a graph").unwrap();
    let outcome = Program::new(["quantize", arg(&graph), arg(&integers)]).run();
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("is not a valid ONNX model"), "{}", outcome.stderr);
    assert!(!integers.exists());
    let outcome = Program::new(["quantize", arg(&graph)]).run();
    assert_eq!(outcome.status, 2);

    let run = |graph: &Path| Program::new(["quantize", arg(graph), arg(&integers)]).run();
    run(dir.path()).failure(1, "is a folder", Some("model.onnx"));
    run(&dir.path().join("none.onnx")).failure(1, "none.onnx: ", None);
}
