//! Every architecture that is converted, in int8 and bf16: close to f32, and each row as it is alone.

use std::fs;
use std::path::{Path, PathBuf};

use embedkit_convert::{ConvertOptions, QuantizeOptions, convert, quantize, to_bf16};
use embedkit_core::onnx::{Input, Session, Values, bf16_kernel};
use embedkit_core::pipeline::Workload;
use embedkit_testkit::cosine;
use embedkit_types::{GraphOutput, LoadOptions};

use super::environment::library;

/// Tokens of the rows of a batch, padded to the longest.
const ROWS: [usize; 3] = [7, 4, 1];
const LONGEST: usize = 7;

/// Checkpoints of encoders of text.
fn checkpoints() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.filter(|path| path.join("model.safetensors").exists()).collect();
    all.sort();
    all
}

/// Hidden states of the tokens of some rows, row by row.
fn states(
    graph: &Path,
    library: &Path,
    inputs: &[String],
    rows: &[usize],
    longest: usize,
) -> Vec<Vec<f32>> {
    let load = LoadOptions { onnxruntime: Some(library.to_owned()), ..LoadOptions::default() };
    let session = Session::open(graph, &load).unwrap();
    let output = session.output(&GraphOutput::Index(0)).unwrap();
    let shape = [rows.len(), longest];
    let per_token = |of: &dyn Fn(usize) -> i64| -> Vec<i64> {
        let token = |(at, token): (usize, usize)| if token < rows[at] { of(token) } else { 0 };
        (0..rows.len()).flat_map(|at| (0..longest).map(move |i| (at, i))).map(token).collect()
    };
    let ids = per_token(&|token| 5 + token as i64 * 3);
    let mask = per_token(&|_| 1);
    let types = vec![0; ids.len()];
    let inputs: Vec<_> = inputs
        .iter()
        .map(|name| {
            let values = match name.as_str() {
                "input_ids" => &ids,
                "attention_mask" => &mask,
                _ => &types,
            };
            let shape: &[usize] = if name == "task_id" { &[] } else { &shape };
            Input {
                name,
                shape,
                values: Values::I64(if shape.is_empty() { &types[..1] } else { values }),
            }
        })
        .collect();
    session
        .run(Workload::Single, &inputs, &[output], |views| {
            let (all, width) = (views[0].values, views[0].values.len() / (rows.len() * longest));
            let row = |(at, &tokens): (usize, &usize)| {
                all[at * longest * width..][..tokens * width].to_vec()
            };
            rows.iter().enumerate().map(row).collect()
        })
        .unwrap()
}

#[test]
fn every_architecture_is_close_to_f32_and_batch_invariant() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [plain, int8, bf16] = ["f32", "int8", "bf16"].map(|name| folder.path().join(name));
    let quantize_options =
        QuantizeOptions { onnxruntime: Some(library.clone()), ..QuantizeOptions::default() };
    let (mut count, mut with_attention, mut with_norm) = (0, 0, 0);
    for checkpoint in checkpoints() {
        let name = checkpoint.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(done) = convert(&checkpoint, &plain, &ConvertOptions::default()) else { continue };
        // Those without a mask encode images, or texts of one length.
        if !done.inputs.iter().any(|input| input == "attention_mask") {
            continue;
        }
        let Ok(report) = quantize(&plain, &int8, &quantize_options) else { continue };
        let of_bf16 = to_bf16(&plain, &bf16).unwrap();
        println!(
            "{name}: {} layers, {} products, {} attentions, {} norms",
            done.layers, report.products, report.attentions, report.norms
        );
        assert_eq!((report.attentions, report.norms), (of_bf16.attentions, of_bf16.norms));
        count += 1;
        with_attention += usize::from(report.attentions > 0);
        with_norm += usize::from(report.norms > 0);
        let expected = states(&plain, &library, &done.inputs, &ROWS, LONGEST);
        let mut forms = vec![("int8", &int8, 0.98)];
        match bf16_kernel() {
            Some(_) => forms.push(("bf16", &bf16, 0.9995)),
            None => println!("skipped: bf16, for which this processor has no instructions"),
        }
        for (form, graph, least) in forms {
            let found = states(graph, &library, &done.inputs, &ROWS, LONGEST);
            for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let close = cosine(found, expected);
                assert!(least <= close, "{name} in {form}, row {row}: {close}");
                let tokens = ROWS[row];
                let alone = states(graph, &library, &done.inputs, &[tokens], tokens);
                if done.inputs.iter().any(|input| input == "task_id") {
                    // Adapters stay products of the runtime, which multiplies a single row in another order.
                    assert!(
                        0.999_999 <= cosine(&alone[0], found),
                        "{name} in {form}, row {row} alone"
                    );
                } else {
                    assert_eq!(&alone[0], found, "{name} in {form}, row {row} alone");
                }
            }
        }
    }
    // Grouped queries, and norms without a mean, stay as they are.
    let counts = [count, with_attention, with_norm];
    assert!(counts.iter().zip([43, 23, 23]).all(|(found, least)| least <= *found), "{counts:?}");
}
