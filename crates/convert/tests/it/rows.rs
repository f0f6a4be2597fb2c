//! Each row of a batch is bit-equal to the row alone and close to f32.

use std::fs;
use std::path::{Path, PathBuf};

use embedkit_convert::onnx::{Attribute, Value};
use embedkit_convert::{Bf16Report, QuantizeOptions, QuantizeReport, quantize, to_bf16};
use embedkit_core::onnx::{Input, Session, Values, bf16_kernel};
use embedkit_core::pipeline::Workload;
use embedkit_testkit::cosine;
use embedkit_types::{GraphOutput, LoadOptions};
use ort::session::Session as OrtSession;
use ort::session::builder::GraphOptimizationLevel;

use super::draft::{Draft, noise};
use super::environment::{environment, library};

const WIDTH: usize = 48;
const ROWS: usize = 9;

/// A graph in all forms.
struct Pair {
    _folder: tempfile::TempDir,
    plain: PathBuf,
    integer: PathBuf,
    report: QuantizeReport,
    bf16: PathBuf,
    bf16_report: Bf16Report,
}

impl Pair {
    fn of(draft: Draft, value: &str, width: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [plain, integer, bf16] = ["a", "b", "c"].map(|name| folder.path().join(name));
        draft.write(value, width, &plain);
        let report = quantize(&plain, &integer, &QuantizeOptions::default()).unwrap();
        assert!(report.not_calibrated.as_ref().is_some_and(|reason| reason.contains("`x`")));
        let bf16_report = to_bf16(&plain, &bf16).unwrap();
        assert_eq!(
            (bf16_report.products, bf16_report.left),
            (report.products, report.left),
            "both forms replace the same products"
        );
        Self { _folder: folder, plain, integer, report, bf16, bf16_report }
    }

    /// Runs rows of different magnitudes, one of them zeros, through all forms.
    fn check(&self, library: &Path, least: f64) {
        let mut rows = noise(100, ROWS * WIDTH);
        for (row, magnitude) in rows.chunks_mut(WIDTH).zip([1.0, 0.0, 1e-3, 30.0, 1.0, 5.0]) {
            row.iter_mut().for_each(|number| *number *= magnitude);
        }
        let expected = run(library, &self.plain, &rows);
        let found = Self::check_rows(library, &self.integer, &rows, &expected, least);
        self.check_elsewhere(&rows, &found);
        self.check_bf16(library, &rows, &expected);
    }

    /// Each row is close to the expected one, and the same alone.
    fn check_rows(
        library: &Path,
        graph: &Path,
        rows: &[f32],
        expected: &[f32],
        least: f64,
    ) -> Vec<f32> {
        let found = run(library, graph, rows);
        let width = found.len() / ROWS;
        assert_eq!(expected.len(), found.len());
        for (row, (expected, found)) in expected.chunks(width).zip(found.chunks(width)).enumerate()
        {
            let close = cosine(expected, found);
            assert!(least <= close, "row {row}: {close}");
            let size = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((size(expected) - size(found)).abs() <= 0.02 * size(expected), "row {row}");
            let alone = run(library, graph, &rows[row * WIDTH..][..WIDTH]);
            assert_eq!(alone, found, "row {row} alone");
        }
        found
    }

    /// The functions in the file give what the kernels give, but for the order of sums, on any processor.
    fn check_bf16(&self, library: &Path, rows: &[f32], expected: &[f32]) {
        const LEAST: f64 = 0.9999;
        let found = match bf16_kernel() {
            Some(_) => Self::check_rows(library, &self.bf16, rows, expected, LEAST),
            None => {
                println!("skipped: the kernel, which this processor has no instructions for");
                expected.to_vec()
            }
        };
        let width = found.len() / ROWS;
        for level in [GraphOptimizationLevel::Disable, GraphOptimizationLevel::All] {
            let standard = run_elsewhere(&self.bf16, rows, level);
            assert_eq!(standard.len(), found.len());
            let rows = standard.chunks(width).zip(found.chunks(width));
            for ((standard, found), expected) in rows.zip(expected.chunks(width)) {
                // Half of the results of a rounded row may be the other neighbour after a second rounding.
                assert!(LEAST <= cosine(standard, found), "{level:?}: {standard:?} {found:?}");
                assert!(LEAST <= cosine(standard, expected), "{level:?}");
            }
        }
    }

    /// The kernels agree with the functions in the file to the bit, except for a GELU, attention and a norm,
    /// whose last digits may change a later integer by one. A runtime that fuses operators rounds differently.
    fn check_elsewhere(&self, rows: &[f32], found: &[f32]) {
        let file = fs::read(&self.integer).unwrap();
        let calls = |name: &[u8]| file.windows(name.len()).any(|window| window == name);
        let rounds = [&b"MultiplyRowsGelu"[..], b"Softmax", b"AddLayerNorm", b"Sqrt"];
        let rounds = rounds.into_iter().any(calls);
        for level in [GraphOptimizationLevel::Disable, GraphOptimizationLevel::All] {
            let standard = run_elsewhere(&self.integer, rows, level);
            assert_eq!(standard.len(), found.len());
            if level == GraphOptimizationLevel::Disable && !rounds {
                assert_eq!(standard, found);
            }
            let width = found.len() / ROWS;
            for (standard, found) in standard.chunks(width).zip(found.chunks(width)) {
                let close = cosine(standard, found);
                assert!(0.9999 <= close, "{level:?}: {close}");
            }
        }
    }
}

/// Runs a graph without the custom operators.
fn run_elsewhere(graph: &Path, rows: &[f32], level: GraphOptimizationLevel) -> Vec<f32> {
    let builder = OrtSession::builder(environment()).unwrap();
    let builder = builder.with_optimization_level(level);
    let mut session = builder.unwrap().commit_from_file(graph).unwrap();
    let shape = [rows.len() / WIDTH, WIDTH];
    let rows = ort::value::Tensor::from_array((shape, rows.to_vec())).unwrap();
    let outputs = session.run(ort::inputs!["x" => rows]).unwrap();
    outputs[0].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

fn run(library: &Path, graph: &Path, rows: &[f32]) -> Vec<f32> {
    run_in(library, graph, rows, None)
}

/// Runs a graph on a number of threads.
fn run_in(library: &Path, graph: &Path, rows: &[f32], threads: Option<usize>) -> Vec<f32> {
    attempt(library, graph, rows, threads).unwrap()
}

fn attempt(
    library: &Path,
    graph: &Path,
    rows: &[f32],
    threads: Option<usize>,
) -> Result<Vec<f32>, embedkit_core::Error> {
    let onnxruntime = Some(library.to_owned());
    let load = LoadOptions { onnxruntime, threads, ..LoadOptions::default() };
    let session = Session::open(graph, &load)?;
    assert!(!session.depends_on_batch()?);
    let output = session.output(&GraphOutput::Index(0))?;
    let shape = [rows.len() / WIDTH, WIDTH];
    let input = Input { name: "x", shape: &shape, values: Values::F32(rows) };
    session.run(Workload::Single, &[input], &[output], |views| views[0].values.to_vec())
}

#[test]
fn products_with_and_without_bias() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let first = draft.product("x", 48, 64);
    let bias = draft.weight(&[64]);
    let first = draft.node("Add", &[&bias, &first]);
    let second = draft.product(&first, 64, 33);
    let pair = Pair::of(draft, &second, 33);
    assert_eq!((pair.report.products, pair.report.left), (2, 0));
    pair.check(&library, 0.9995);
}

/// The addition after the product is not a bias, and the runtime must not take it for one.
#[test]
fn a_residual_is_added_after_the_scales() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let product = draft.product("x", 48, 48);
    let sum = draft.node("Add", &[&product, "x"]);
    let pair = Pair::of(draft, &sum, 48);
    pair.check(&library, 0.9995);
}

/// The product is a graph output, too, and has two additions after it.
#[test]
fn a_product_may_be_needed_as_it_is() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let product = draft.product("x", 48, 48);
    let (a, b) = (draft.weight(&[48]), draft.weight(&[48]));
    let (a, b) = (draft.node("Add", &[&product, &a]), draft.node("Add", &[&product, &b]));
    let both = draft.node("Mul", &[&a, &b]);
    let all = draft.node("Add", &[&both, &product]);
    let pair = Pair::of(draft, &all, 48);
    pair.check(&library, 0.999);
}

#[test]
fn gemm_in_both_orders() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let (matrix, bias) = (draft.weight(&[40, 48]), draft.weight(&[40]));
    let first = draft.gemm(&["x", &matrix, &bias], true);
    let matrix = draft.weight(&[40, 20]);
    let second = draft.gemm(&[&first, &matrix], false);
    let pair = Pair::of(draft, &second, 20);
    assert_eq!(pair.report.products, 2);
    pair.check(&library, 0.9995);
}

/// Both orders of a GELU's factors in older and newer exports, and the contrib operator.
#[test]
fn activations_that_are_never_far_below_zero() {
    let Some(library) = library() else { return };
    for half_first in [false, true] {
        let mut draft = Draft::new(WIDTH);
        let root = draft.graph.float(std::f32::consts::SQRT_2);
        let (one, half) = (draft.graph.float(1.0), draft.graph.float(0.5));
        let x = draft.product("x", 48, 64);
        let argument = draft.node("Div", &[&x, &root]);
        let erf = draft.node("Erf", &[&argument]);
        let sum = draft.node("Add", &[&erf, &one]);
        let gelu = if half_first {
            let x = draft.node("Mul", &[&x, &half]);
            draft.node("Mul", &[&x, &sum])
        } else {
            let product = draft.node("Mul", &[&x, &sum]);
            draft.node("Mul", &[&product, &half])
        };
        let product = draft.product(&gelu, 64, 32);
        let pair = Pair::of(draft, &product, 32);
        let zeros = fs::read(&pair.integer).unwrap();
        let name = b"QuantizeGeluRows";
        assert!(zeros.windows(name.len()).any(|window| window == name), "it was recognised");
        let name = b"MultiplyRowsGelu";
        assert!(zeros.windows(name.len()).any(|window| window == name), "the product took it in");
        pair.check(&library, 0.999);
    }
    let mut draft = Draft::new(WIDTH);
    let x = draft.product("x", 48, 64);
    let relu = draft.node("Relu", &[&x]);
    let product = draft.product(&relu, 64, 32);
    let pair = Pair::of(draft, &product, 32);
    pair.check(&library, 0.999);
}

/// Activations of 255 against the largest weights: processors that add pairs of products in 16 bits
/// must give exact results.
#[test]
fn the_largest_products_are_exact() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let ones = draft.graph.floats("ones", &[48, 16], &[1.0; 48 * 16]);
    let relu = draft.node("Relu", &["x"]);
    let product = draft.node("MatMul", &[&relu, &ones]);
    let pair = Pair::of(draft, &product, 16);
    let rows = [vec![255.0; WIDTH], vec![3.0; WIDTH]].concat();
    let found = run(&library, &pair.integer, &rows);
    // A weight of 1 is 64 steps of 2/127, rounded up from 63.5.
    let expected = |x: f32| 48.0 * x * 64.0 * 2.0 / 127.0;
    for (found, x) in found.chunks(16).zip([255.0, 3.0]) {
        for number in found {
            assert!((number / expected(x) - 1.0).abs() < 1e-6, "{number} for {x}");
        }
    }
}

/// Many rows are split among threads by rows, few by columns.
#[test]
fn threads_share_large_products() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let hidden = draft.product("x", 48, 1000);
    let value = draft.product(&hidden, 1000, 1000);
    let pair = Pair::of(draft, &value, 1000);
    for count in [9, 250] {
        let rows = noise(3, count * WIDTH);
        let [alone, shared] =
            [1, 3].map(|threads| run_in(&library, &pair.integer, &rows, Some(threads)));
        assert_eq!(alone, shared, "{count} rows");
    }
    pair.check(&library, 0.9995);
}

/// The kernels check every tensor that a file passes.
#[test]
fn sizes_that_contradict_the_weights_are_an_error() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let value = draft.product("x", 48, 64);
    let pair = Pair::of(draft, &value, 64);
    let whole = fs::read(&pair.integer).unwrap();
    let size = [48i64, 64].map(i64::to_le_bytes).concat();
    let at = whole.windows(size.len()).position(|window| window == size).unwrap();
    let rows = noise(5, 2 * WIDTH);
    for wrong in
        [[48, 65], [48, 63], [47, 64], [0, 64], [48, 0], [-48, 64], [48, -64], [i64::MAX; 2]]
    {
        let mut bytes = whole.clone();
        bytes[at..at + size.len()].copy_from_slice(&wrong.map(i64::to_le_bytes).concat());
        fs::write(&pair.integer, bytes).unwrap();
        let error = attempt(&library, &pair.integer, &rows, None).unwrap_err();
        assert!(error.to_string().contains("MultiplyRows: "), "{wrong:?}: {error}");
    }
}

#[test]
fn weights_of_bf16_have_half_the_size() {
    let mut draft = Draft::new(WIDTH);
    let value = draft.product("x", 48, 640);
    let pair = Pair::of(draft, &value, 640);
    let Bf16Report { bytes_before, bytes, .. } = pair.bf16_report;
    assert_eq!(bytes, fs::metadata(&pair.bf16).unwrap().len());
    let weights = 48 * 640 * 2;
    let functions = 8000;
    assert!(bytes < bytes_before - weights + functions, "{bytes_before} became {bytes}");
}

/// On a processor without the instructions, a graph with products of bf16 does not load.
#[test]
fn threads_share_large_products_of_bf16() {
    let Some(library) = library() else { return };
    let mut draft = Draft::new(WIDTH);
    let hidden = draft.product("x", 48, 1000);
    let value = draft.product(&hidden, 1000, 1000);
    let pair = Pair::of(draft, &value, 1000);
    for count in [9, 250] {
        let rows = noise(3, count * WIDTH);
        let [alone, shared] =
            [1, 3].map(|threads| attempt(&library, &pair.bf16, &rows, Some(threads)));
        match bf16_kernel() {
            Some(_) => assert_eq!(alone.unwrap(), shared.unwrap(), "{count} rows"),
            None => {
                let error = alone.unwrap_err();
                assert!(matches!(error, embedkit_core::Error::NoInstructions { .. }), "{error}");
            }
        }
    }
}

/// Attention over the three tokens of a row, in a form.
fn attention(form: Form) -> (Draft, Value) {
    let mut draft = Draft::new(WIDTH);
    let tokens = draft.graph.ints(&[0, 3, 16]);
    let tokens = draft.node("Reshape", &["x", &tokens]);
    let shape = match form {
        Form::Traced => {
            let shape = draft.node("Shape", &[&tokens]);
            let axes = draft.graph.ints(&[0]);
            let sizes = [0, 1].map(|axis| {
                let index = draft.graph.ints(&[axis]);
                let size = draft.node("Gather", &[&shape, &index]);
                let size = draft.node("Squeeze", &[&size]);
                draft.node("Unsqueeze", &[&size, &axes])
            });
            let [heads, width] = [4, 8].map(|size| draft.graph.ints(&[size]));
            draft.concat(&[&sizes[0], &sizes[1], &heads, &width], 0)
        }
        Form::OtherBatch => draft.graph.ints(&[-1, 3, 4, 8]),
        _ => draft.graph.ints(&[0, 0, 4, 8]),
    };
    let [mut query, mut key, value] = [0; 3].map(|_| {
        let projected = draft.product(&tokens, 16, 32);
        draft.node("Reshape", &[&projected, &shape])
    });
    query = draft.transpose(&query, &[0, 2, 1, 3]);
    if form == Form::Rotated {
        key = draft.transpose(&key, &[0, 2, 1, 3]);
        let angles = draft.weight(&[3, 8]);
        query = draft.node("Mul", &[&query, &angles]);
        key = draft.node("Mul", &[&key, &angles]);
        key = draft.transpose(&key, &[0, 1, 3, 2]);
    } else {
        key = draft.transpose(&key, &[0, 2, 3, 1]);
    }
    let mut scores = draft.node("MatMul", &[&query, &key]);
    if form == Form::Traced {
        let scale = draft.graph.float(0.35);
        scores = draft.node("Mul", &[&scale, &scores]);
    } else if form != Form::Rotated {
        let scale = draft.graph.float(2.8);
        scores = draft.node("Div", &[&scores, &scale]);
    }
    if form != Form::Rotated {
        let mask = draft.weight(if form == Form::Traced { &[3, 3] } else { &[1, 4, 1, 3] });
        scores = draft.node("Add", &[&scores, &mask]);
    }
    let weights = draft.softmax(&scores);
    let value = draft.transpose(&value, &[0, 2, 1, 3]);
    let context = draft.node("MatMul", &[&weights, &value]);
    let context = draft.transpose(&context, &[0, 2, 1, 3]);
    let together = draft.graph.ints(&[0, 0, 32]);
    let mut context = draft.node("Reshape", &[&context, &together]);
    if form == Form::ReadTwice {
        let axes = draft.graph.ints(&[3]);
        let sums = draft.node("ReduceSum", &[&weights, &axes]);
        let all = draft.graph.ints(&[0, 3, 4]);
        let sums = draft.node("Reshape", &[&sums, &all]);
        context = draft.concat(&[&context, &sums], -1);
    }
    let context = draft.node("Flatten", &[&context]);
    (draft, context)
}

/// Forms in which graphs have attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Sizes of zero, a divisor, and a mask for each key.
    Fixed,
    /// Sizes taken from another value, a factor in front, and a mask of few dims.
    Traced,
    /// Queries and keys are changed after they are split, without factor and mask.
    Rotated,
    /// Another operator reads the weights, too.
    ReadTwice,
    /// The sizes do not say where sequences end.
    OtherBatch,
}

#[test]
fn attention_becomes_one_operator() {
    let Some(library) = library() else { return };
    for (form, attentions) in [
        (Form::Fixed, 1),
        (Form::Traced, 1),
        (Form::Rotated, 1),
        (Form::ReadTwice, 0),
        (Form::OtherBatch, 0),
    ] {
        let (draft, value) = attention(form);
        let width = if form == Form::ReadTwice { 3 * 36 } else { 3 * 32 };
        let pair = Pair::of(draft, &value, width);
        let reports = [pair.report.attentions, pair.bf16_report.attentions];
        assert_eq!(reports, [attentions; 2], "{form:?}");
        assert_eq!((pair.report.products, pair.report.left), (3, 0), "{form:?}");
        pair.check(&library, 0.999);
    }
}

/// The normalisation of a value by the standard operator, or spelled out with a square by this operator.
fn normalized(draft: &mut Draft, value: &str, square: Option<&str>) -> Value {
    let (weight, bias) = (draft.weight(&[48]), draft.weight(&[48]));
    let Some(square) = square else {
        return draft.node("LayerNormalization", &[value, &weight, &bias]);
    };
    let axes = [("axes", Attribute::Ints(&[-1]))];
    let center = draft.graph.add_with("ReduceMean", &[value], &axes);
    let distance = draft.node("Sub", &[value, &center]);
    let squared = if square == "Pow" {
        let two = draft.graph.float(2.0);
        draft.node("Pow", &[&distance, &two])
    } else {
        draft.node("Mul", &[&distance, &distance])
    };
    let variance = draft.graph.add_with("ReduceMean", &[&squared], &axes);
    let epsilon = draft.graph.float(1e-5);
    let variance = draft.node("Add", &[&epsilon, &variance]);
    let deviation = draft.node("Sqrt", &[&variance]);
    let normal = draft.node("Div", &[&distance, &deviation]);
    let scaled = draft.node("Mul", &[&weight, &normal]);
    draft.node("Add", &[&scaled, &bias])
}

#[test]
fn a_normalised_sum_becomes_one_operator() {
    let Some(library) = library() else { return };
    for square in [None, Some("Pow"), Some("Mul")] {
        for reads_sum in [false, true] {
            let mut draft = Draft::new(WIDTH);
            let product = draft.product("x", 48, 48);
            let bias = draft.weight(&[48]);
            let product = draft.node("Add", &[&product, &bias]);
            let sum = draft.node("Add", &["x", &product]);
            let mut value = normalized(&mut draft, &sum, square);
            if reads_sum {
                value = draft.node("Add", &[&value, &sum]);
            }
            let value = draft.product(&value, 48, 32);
            let pair = Pair::of(draft, &value, 32);
            let norms = [pair.report.norms, pair.bf16_report.norms];
            assert_eq!(norms, [1; 2], "{square:?}");
            pair.check(&library, 0.999);
        }
    }
    // The sum is a product's own bias, which the product adds.
    let mut draft = Draft::new(WIDTH);
    let product = draft.product("x", 48, 48);
    let bias = draft.weight(&[48]);
    let sum = draft.node("Add", &[&product, &bias]);
    let value = normalized(&mut draft, &sum, None);
    let pair = Pair::of(draft, &value, 48);
    assert_eq!((pair.report.products, pair.report.norms), (1, 0));
    pair.check(&library, 0.999);
}

#[test]
fn small_outputs_stay_as_they_are() {
    let mut draft = Draft::new(WIDTH);
    let hidden = draft.product("x", 48, 32);
    let scores = draft.product(&hidden, 32, 3);
    let pair = Pair::of(draft, &scores, 3);
    assert_eq!((pair.report.products, pair.report.left), (1, 1));
}
