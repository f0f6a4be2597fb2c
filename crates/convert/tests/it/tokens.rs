//! A converted checkpoint of 16 positions: calibration stops where the positions end.

use std::path::Path;

use embedkit_convert::{ConvertOptions, Head, QuantizeOptions, convert, quantize};
use embedkit_core::onnx::{Input, Session, Values};
use embedkit_core::pipeline::Workload;
use embedkit_testkit::cosine;
use embedkit_types::{GraphOutput, LoadOptions};

use super::environment::library;

const LENGTH: usize = 6;

fn logits(library: &Path, graph: &Path, rows: &[i64]) -> Vec<f32> {
    let load = LoadOptions { onnxruntime: Some(library.to_owned()), ..LoadOptions::default() };
    let session = Session::open(graph, &load).unwrap();
    let output = session.output(&GraphOutput::Index(0)).unwrap();
    let shape = [rows.len() / LENGTH, LENGTH];
    let (mask, types) = (vec![1; rows.len()], vec![0; rows.len()]);
    let inputs = [("input_ids", rows), ("attention_mask", &mask), ("token_type_ids", &types)]
        .map(|(name, values)| Input { name, shape: &shape, values: Values::I64(values) });
    session.run(Workload::Single, &inputs, &[output], |views| views[0].values.to_vec()).unwrap()
}

#[test]
fn a_converted_checkpoint_keeps_its_logits() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (graph, integers) = (folder.path().join("a.onnx"), folder.path().join("b.onnx"));
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bert-mlm");
    let head = ConvertOptions { head: Head::MaskedLm, ..ConvertOptions::default() };
    convert(&checkpoint, &graph, &head).unwrap();
    let options =
        QuantizeOptions { onnxruntime: Some(library.clone()), ..QuantizeOptions::default() };
    let report = quantize(&graph, &integers, &options).unwrap();
    assert_eq!((report.not_calibrated, report.products), (None, 1), "the others are too narrow");

    let rows: Vec<i64> = (0..4 * LENGTH as i64).map(|i| i * 7 % 29).collect();
    let (expected, found) = (logits(&library, &graph, &rows), logits(&library, &integers, &rows));
    assert!(0.999 < cosine(&expected, &found));
    for (row, found) in rows.chunks(LENGTH).zip(found.chunks(found.len() / 4)) {
        assert_eq!(logits(&library, &integers, row), found, "{row:?} alone");
    }
}
