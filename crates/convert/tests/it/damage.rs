//! Files that cannot be quantised give an error with the reason and no output.

use std::path::Path;

use embedkit_convert::{Error, QuantizeOptions, QuantizeReport, quantize, to_bf16};

use super::draft::Draft;

fn attempt(bytes: &[u8], folder: &Path) -> Result<QuantizeReport, Error> {
    let (input, output) = (folder.join("in.onnx"), folder.join("out.onnx"));
    std::fs::write(&input, bytes).unwrap();
    // bf16 takes the files that int8 takes, and refuses the others for the same reasons.
    let bf16 = to_bf16(&input, &output);
    assert_eq!(bf16.is_ok(), output.exists());
    if bf16.is_ok() {
        std::fs::remove_file(&output).unwrap();
    }
    let done = quantize(&input, &output, &QuantizeOptions::default());
    assert_eq!(done.is_ok(), output.exists());
    match (&done, &bf16) {
        (Ok(done), Ok(bf16)) => {
            assert_eq!((done.products, done.left), (bf16.products, bf16.left));
            std::fs::remove_file(output).unwrap();
        }
        (Err(_), Err(bf16)) => assert!(
            matches!(bf16, Error::Onnx { .. } | Error::NotForBf16 { .. }) && bf16.hint().is_some(),
            "{bf16}"
        ),
        // Weights or tables that are finite in one of them only, or that only calibration finds wrong.
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => println!("one of both: {error}"),
    }
    done
}

/// A graph with one product, in a file.
fn whole(folder: &Path) -> Vec<u8> {
    let mut draft = Draft::new(8);
    let product = draft.product("x", 8, 16);
    let path = folder.join("whole.onnx");
    draft.write(&product, 16, &path);
    std::fs::read(path).unwrap()
}

#[test]
fn every_cut_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole(folder.path());
    for end in 0..whole.len() {
        let error = attempt(&whole[..end], folder.path()).unwrap_err();
        assert!(matches!(error, Error::Onnx { .. } | Error::NotQuantizable { .. }), "{error}");
        assert!(error.hint().is_some());
    }
    assert_eq!(attempt(&whole, folder.path()).unwrap().products, 1);
}

/// A flipped byte anywhere gives an error or a file, never a panic.
#[test]
fn changed_bytes_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole(folder.path());
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let _ = attempt(&bytes, folder.path());
        }
    }
}

#[test]
fn a_quantised_graph_is_not_quantised_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.onnx"), whole(folder.path())).unwrap();
    let (once, twice) = (folder.path().join("once.onnx"), folder.path().join("twice.onnx"));
    let options = QuantizeOptions::default();
    let report = quantize(&folder.path().join("in.onnx"), &once, &options).unwrap();
    assert_eq!(report.bytes, std::fs::metadata(&once).unwrap().len());
    let error = quantize(&once, &twice, &options).unwrap_err();
    assert!(error.to_string().contains("quantised already, with QuantizeRows"), "{error}");
    let error = quantize(&once, &once, &options).unwrap_err();
    assert!(error.to_string().contains("it is the input"), "{error}");

    let error = to_bf16(&once, &twice).unwrap_err();
    assert!(error.to_string().contains("quantised already, with QuantizeRows"), "{error}");
    let report = to_bf16(&folder.path().join("in.onnx"), &once).unwrap();
    assert_eq!(report.bytes, std::fs::metadata(&once).unwrap().len());
    let error = to_bf16(&once, &twice).unwrap_err();
    assert!(error.to_string().contains("already, with MultiplyBf16"), "{error}");
    let error = to_bf16(&once, &once).unwrap_err();
    assert!(error.to_string().contains("it is the input"), "{error}");
}

#[test]
fn nothing_to_do_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = Draft::new(8);
    let double = draft.node("Add", &["x", "x"]);
    draft.write(&double, 8, &folder.path().join("add.onnx"));
    let bytes = std::fs::read(folder.path().join("add.onnx")).unwrap();
    let error = attempt(&bytes, folder.path()).unwrap_err();
    assert!(error.to_string().contains("no activation is multiplied"), "{error}");
    let error = attempt(b"not a graph", folder.path()).unwrap_err();
    assert!(matches!(error, Error::Onnx { .. }), "{error}");
    let folder = folder.path().join("nowhere");
    let error = quantize(&folder, &folder.join("x"), &QuantizeOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    let error = to_bf16(&folder, &folder.join("x")).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn weights_that_are_not_numbers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = Draft::new(8);
    let matrix = draft.graph.floats("broken", &[8, 16], &[f32::NAN; 128]);
    let product = draft.node("MatMul", &["x", &matrix]);
    draft.write(&product, 16, &folder.path().join("nan.onnx"));
    let bytes = std::fs::read(folder.path().join("nan.onnx")).unwrap();
    let error = attempt(&bytes, folder.path()).unwrap_err();
    assert!(error.to_string().contains("tensor broken is not of finite numbers"), "{error}");
}
