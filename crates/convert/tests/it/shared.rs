//! Graphs that use the same value many times. The work grows linearly with the file; quadratic work
//! would take these tests hours.

use std::fs;

use embedkit_convert::onnx::Attribute;
use embedkit_convert::{QuantizeOptions, QuantizeReport, quantize};

use super::draft::Draft;

fn attempt(draft: Draft, value: &str, width: usize) -> (QuantizeReport, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.onnx"), folder.path().join("out.onnx"));
    draft.write(value, width, &input);
    let report = quantize(&input, &output, &QuantizeOptions::default()).unwrap();
    (report, fs::read(output).unwrap())
}

fn count(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// Nested products of many factors, 3000 to the fourth power in all.
#[test]
fn multiplications_of_thousands_of_inputs() {
    let mut draft = Draft::new(16);
    let mut value = draft.product("x", 16, 32);
    for _ in 0..4 {
        value = draft.node("Mul", &vec![value.as_str(); 3000]);
    }
    let (report, _) = attempt(draft, &value, 32);
    assert_eq!(report.products, 1);
}

/// Every product shares one transposed matrix, which is quantised and stored once.
#[test]
fn a_matrix_shared_by_a_hundred_thousand_products() {
    let mut draft = Draft::new(16);
    let matrix = draft.weight(&[32, 16]);
    let order = [("perm", Attribute::Ints(&[1, 0]))];
    let turned = draft.graph.add_with("Transpose", &[&matrix], &order);
    let mut value = String::new();
    for _ in 0..100_000 {
        value = draft.node("MatMul", &["x", &turned]);
    }
    let (report, file) = attempt(draft, &value, 32);
    assert_eq!(report.products, 100_000);
    assert_eq!(count(&file, "Transpose"), 1, "the function has one, the graph none any more");
    // Once as the tensor's name, and once in each product.
    assert_eq!(count(&file, ".weights"), 100_001);
}

/// A permutation of a hundred thousand axes, which each product asks for.
#[test]
fn a_transposition_with_a_long_order() {
    let mut draft = Draft::new(16);
    let matrix = draft.weight(&[32, 16]);
    let order = vec![0; 100_000];
    let turned =
        draft.graph.add_with("Transpose", &[&matrix], &[("perm", Attribute::Ints(&order))]);
    let mut value = draft.product("x", 16, 32);
    for _ in 0..100_000 {
        value = draft.node("MatMul", &["x", &turned]);
    }
    let (report, _) = attempt(draft, &value, 32);
    assert_eq!((report.products, report.left), (1, 0));
}

/// Each value could be a factor of a GELU.
#[test]
fn a_constant_of_many_pieces_is_read_once() {
    let mut draft = Draft::new(16);
    let bytes = vec![0; 4 << 20];
    let half = draft.graph.add_with("Constant", &[], &[("value", Attribute::Tensor(&bytes))]);
    let mut value = draft.product("x", 16, 32);
    for _ in 0..100_000 {
        value = draft.node("Mul", &[&value, &half]);
    }
    attempt(draft, &value, 32);
}

/// A value with a hundred thousand consumers, and as many outputs.
#[test]
fn a_chain_of_a_hundred_thousand_nodes() {
    let mut draft = Draft::new(16);
    let mut value = draft.product("x", 16, 32);
    for step in 0..100_000 {
        value = match step % 4 {
            0 => draft.node("Erf", &[&value]),
            1 => draft.node("Add", &[&value, &value]),
            2 => draft.node("Mul", &[&value, &value]),
            _ => draft.node("Transpose", &[&value]),
        };
    }
    let (report, _) = attempt(draft, &value, 32);
    assert_eq!(report.products, 1);
}

/// Names with the prefix of new names: the free prefix is counted, not searched for.
#[test]
fn names_in_use_are_avoided() {
    let mut draft = Draft::new(16);
    let mut value = draft.product("x", 16, 32);
    for underscores in (0..4000).filter(|count| *count != 3999) {
        let name = format!("{}int8.x", "_".repeat(underscores));
        draft.graph.add_named("Relu", &[&value], &[], &name);
        value = name;
    }
    let (_, file) = attempt(draft, &value, 32);
    let free = format!("{}int8.x.quantized", "_".repeat(3999));
    assert!(count(&file, &free) > 0);
}

#[test]
fn two_nodes_that_give_one_value_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = Draft::new(16);
    let value = draft.product("x", 16, 32);
    draft.graph.add_named("Relu", &["x"], &[], &value);
    let (input, output) = (folder.path().join("in.onnx"), folder.path().join("out.onnx"));
    draft.write(&value, 32, &input);
    let error = quantize(&input, &output, &QuantizeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("two nodes give the value"), "{error}");
}
