//! Custom operators in graphs with arbitrary inputs: the right numbers or an error that names operator and
//! input, never an abort.

use std::path::Path;

use embedkit_core::Error;
use embedkit_core::onnx::operators::{self, ActivationRange, pack, pack_bf16, round_to_bf16};
use embedkit_core::onnx::{Input, Session, Values, bf16_kernel};
use embedkit_core::pipeline::Workload;
use embedkit_types::{GraphOutput, LoadOptions};

pub(crate) const F32: u64 = 1;
const U8: u64 = 2;
const U16: u64 = 4;
const I8: u64 = 3;
const I32: u64 = 6;
const I64: u64 = 7;
/// f32, u8, i8, u16, i16, i32, i64, string, bool, f16, f64, u32, u64, bf16, f8, i4.
const ELEMENTS: [u64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 22];

/// A protobuf field of bytes.
pub(crate) fn field(number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = varint(number << 3 | 2);
    bytes.extend(varint(body.len() as u64));
    bytes.extend_from_slice(body);
    bytes
}

/// A protobuf field of a number.
pub(crate) fn int(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A tensor of any element type. f64 holds all numbers used here.
#[derive(Debug, Clone, PartialEq)]
struct Tensor {
    element: u64,
    dims: Vec<i64>,
    numbers: Vec<f64>,
}

impl Tensor {
    fn new(element: u64, dims: &[i64], numbers: impl IntoIterator<Item = f64>) -> Self {
        Self { element, dims: dims.to_vec(), numbers: numbers.into_iter().collect() }
    }

    /// The tensor with other dims and as many numbers as they need.
    fn shaped(&self, dims: &[i64]) -> Self {
        let len = dims.iter().product::<i64>().max(0) as usize;
        let numbers = self.numbers.iter().copied().chain([1.0]).cycle().take(len);
        Self::new(self.element, dims, numbers)
    }

    fn encode(&self, name: &str) -> Vec<u8> {
        let raw: Vec<u8> = self.numbers.iter().flat_map(|&number| self.raw(number)).collect();
        let dims: Vec<u8> = self.dims.iter().flat_map(|&dim| int(1, dim.cast_unsigned())).collect();
        let content = match self.element {
            8 => self.numbers.iter().flat_map(|_| field(6, b"a")).collect(),
            _ => field(9, &raw),
        };
        [dims, int(2, self.element), field(8, name.as_bytes()), content].concat()
    }

    /// A number as little-endian bytes.
    fn raw(&self, number: f64) -> Vec<u8> {
        let whole = (number as i64).to_le_bytes();
        match self.element {
            1 => (number as f32).to_le_bytes().to_vec(),
            11 => number.to_le_bytes().to_vec(),
            7 | 13 => whole.to_vec(),
            6 | 12 => whole[..4].to_vec(),
            4 | 5 | 10 | 16 => whole[..2].to_vec(),
            9 => vec![u8::from(number != 0.0)],
            _ => whole[..1].to_vec(),
        }
    }

    fn is(&self, element: u64, dims: &[i64]) -> bool {
        self.element == element && self.dims == dims
    }
}

/// A node of one of our operators.
#[derive(Debug, Clone)]
struct Node {
    operator: &'static str,
    inputs: Vec<Option<Tensor>>,
    outputs: Vec<&'static str>,
    /// Encoded attributes.
    attributes: Vec<u8>,
}

impl Node {
    /// Encodes the graph. With `fed` the first input is computed from the session's input; otherwise all
    /// inputs are constants, and the runtime folds the node when it loads the graph.
    fn graph(&self, fed: bool, output: &str, element: u64) -> Vec<u8> {
        let port = |name: &str, element: u64, rank: Option<usize>| {
            let dims: Vec<u8> = (0..rank.unwrap_or(0))
                .flat_map(|at| field(1, &field(2, format!("d{at}").as_bytes())))
                .collect();
            let shape = rank.map_or_else(Vec::new, |_| field(2, &dims));
            let kind = field(1, &[int(1, element), shape].concat());
            [field(1, name.as_bytes()), field(2, &kind)].concat()
        };
        let mut graph = field(2, b"g");
        let mut node: Vec<u8> = vec![];
        for (at, input) in self.inputs.iter().enumerate() {
            let Some(tensor) = input else {
                node.extend(field(1, b""));
                continue;
            };
            let name = format!("i{at}");
            node.extend(field(1, name.as_bytes()));
            if at == 0 && fed {
                let to = [field(1, b"to"), int(3, tensor.element), int(20, 2)].concat();
                let cast = [field(1, b"x"), field(2, b"i0"), field(4, b"Cast"), field(5, &to)];
                graph.extend(field(1, &cast.concat()));
            } else {
                graph.extend(field(5, &tensor.encode(&name)));
            }
        }
        for output in &self.outputs {
            node.extend(field(2, output.as_bytes()));
        }
        node.extend(field(4, self.operator.as_bytes()));
        node.extend(field(7, operators::DOMAIN.as_bytes()));
        node.extend(&self.attributes);
        graph.extend(field(1, &node));
        let rank = self.inputs.first().and_then(Option::as_ref).map_or(0, |x| x.dims.len());
        graph.extend(field(11, &port("x", F32, Some(rank))));
        graph.extend(field(12, &port(output, element, None)));
        let own = [field(1, operators::DOMAIN.as_bytes()), int(2, operators::VERSION)].concat();
        [int(1, 8), field(7, &graph), field(8, &int(2, 17)), field(8, &own)].concat()
    }

    fn run(
        &self,
        library: &Path,
        fed: bool,
        threads: usize,
        (output, element): (&str, u64),
    ) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, self.graph(fed, output, element)).unwrap();
        let load = LoadOptions {
            onnxruntime: Some(library.to_owned()),
            threads: Some(threads),
            ..LoadOptions::default()
        };
        let session = Session::open(&path, &load)?;
        let index = session.output(&GraphOutput::Index(0))?;
        let first = self.inputs.first().and_then(Option::clone);
        let first = first.unwrap_or_else(|| Tensor::new(F32, &[], [0.0]));
        let shape: Vec<usize> = first.dims.iter().map(|&dim| dim as usize).collect();
        let x: Vec<f32> = first.numbers.iter().map(|&number| number as f32).collect();
        let input = Input { name: "x", shape: &shape, values: Values::F32(&x) };
        session.run(Workload::Single, &[input], &[index], |views| {
            (views[0].shape.to_vec(), views[0].values.to_vec())
        })
    }

    /// Every variant of the node with one change.
    fn changed(&self) -> Vec<(String, Self)> {
        let mut all = vec![("as it is".to_owned(), self.clone())];
        let mut add = |name: String, change: &dyn Fn(&mut Self)| {
            let mut node = self.clone();
            change(&mut node);
            all.push((name, node));
        };
        for (at, input) in self.inputs.iter().enumerate() {
            let Some(input) = input else { continue };
            add(format!("without the name of {at}"), &|node| node.inputs[at] = None);
            add(format!("only {at} inputs"), &|node| node.inputs.truncate(at));
            for other in 0..at {
                add(format!("{other} and {at} exchanged"), &|node| node.inputs.swap(other, at));
            }
            for element in ELEMENTS {
                add(format!("{at} of type {element}"), &|node| {
                    node.inputs[at].as_mut().unwrap().element = element;
                });
            }
            let mut shapes = vec![vec![], vec![0], vec![1], vec![1; 5], vec![0; 3], vec![2, 3, 4]];
            for (axis, &dim) in input.dims.iter().enumerate() {
                for other in [0, 1, dim - 1, dim + 1, 2 * dim + 64] {
                    let mut dims = input.dims.clone();
                    dims[axis] = other.max(0);
                    shapes.push(dims);
                }
                let mut dims = input.dims.clone();
                dims.remove(axis);
                shapes.push(dims);
                let mut dims = input.dims.clone();
                dims.insert(axis, 1);
                shapes.push(dims);
            }
            // Huge dims beside one of 0.
            shapes.push(vec![i64::MAX, 0]);
            shapes.push(vec![0, 1 << 40, 1 << 40]);
            shapes.dedup();
            for dims in shapes {
                add(format!("{at} of shape {dims:?}"), &|node| {
                    node.inputs[at] = Some(input.shaped(&dims));
                });
            }
        }
        add("one input more".to_owned(), &|node| node.inputs.push(node.inputs[0].clone()));
        add("no output".to_owned(), &|node| node.outputs.clear());
        add("one output more".to_owned(), &|node| node.outputs.push("more"));
        for body in [int(3, 1), field(4, b"text"), field(6, b""), int(20, 9), vec![]] {
            add(format!("an attribute {body:?}"), &|node| {
                node.attributes = field(5, &[field(1, b"axis"), body.clone()].concat());
            });
        }
        all
    }
}

/// Expected shape and numbers of an int8 matrix product; `None` if the inputs do not fit together.
fn q_mat_mul(node: &Node, gelu: bool) -> Option<(Vec<usize>, Vec<f32>)> {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let [quantized, row_scales, zero_point, weights, column_sums, column_scales, bias, size] =
        inputs.as_slice()
    else {
        return None;
    };
    let &[k, n] = size.numbers.as_slice() else { return None };
    let (k, n) = (k as i64, n as i64);
    let (last, before) = quantized.dims.split_last()?;
    let panels = [(n as u64).div_ceil(16) as i64, (k as u64).div_ceil(4) as i64, 16, 4];
    let fit = quantized.element == U8
        && *last == k
        && row_scales.is(F32, &[before, &[1]].concat())
        && (zero_point.is(U8, &[]) || zero_point.is(U8, &[1]))
        && weights.is(I8, &panels)
        && column_sums.is(I32, &[n])
        && [column_scales, bias].iter().all(|tensor| tensor.is(F32, &[n]))
        && size.is(I64, &[2]);
    if !fit {
        return None;
    }
    let (k, n) = (k as usize, n as usize);
    let rows = before.iter().product::<i64>() as usize;
    let mut y = vec![];
    for row in 0..rows {
        for column in 0..n {
            let weight = |at: usize| {
                let group = (column / 16) * k.div_ceil(4) + at / 4;
                weights.numbers[(group * 16 + column % 16) * 4 + at % 4]
            };
            let sum: f64 = (0..k).map(|at| quantized.numbers[row * k + at] * weight(at)).sum();
            let column_sum = if k == 0 { 0.0 } else { column_sums.numbers[column] };
            let scale = row_scales.numbers[row] as f32 * column_scales.numbers[column] as f32;
            let sum = sum - zero_point.numbers[0] * column_sum;
            let x = sum as f32 * scale + bias.numbers[column] as f32;
            y.push(if gelu { exact_gelu(x) } else { x });
        }
    }
    let shape = before.iter().map(|&dim| dim as usize).chain([n]).collect();
    Some((shape, y))
}

/// The GELU by the power series of erf, which is exact enough for the small numbers here.
fn exact_gelu(x: f32) -> f32 {
    let z = f64::from(x) * std::f64::consts::FRAC_1_SQRT_2;
    let (mut sum, mut term) = (z, z);
    for i in 1..200 {
        term *= -z * z / f64::from(i);
        sum += term / f64::from(2 * i + 1);
    }
    let erf = if z.abs() < 4.0 { sum * std::f64::consts::FRAC_2_SQRT_PI } else { z.signum() };
    (f64::from(x) / 2.0 * (1.0 + erf)) as f32
}

/// A product node with activations of 2 x 3 rows.
fn q_mat_mul_node(operator: &'static str, k: i64, n: i64) -> Node {
    let (rows, columns) = (k as usize, n as usize);
    let matrix: Vec<i8> = (0..k * n).map(|at| (at * 7 % 23 - 11) as i8).collect();
    let packed = pack(&matrix, rows, columns);
    let dims: Vec<i64> = packed.shape.iter().map(|&dim| dim as i64).collect();
    let numbers = |count: i64, scale: f64| (0..count).map(move |at| (at + 1) as f64 * scale);
    let inputs = vec![
        Tensor::new(U8, &[2, 3, k], (0..6 * k).map(|at| f64::from(at as u8 % 251))),
        Tensor::new(F32, &[2, 3, 1], numbers(6, 0.001_953_125)),
        Tensor::new(U8, &[], [128.0]),
        Tensor::new(I8, &dims, packed.weights.iter().map(|&x| f64::from(x))),
        Tensor::new(I32, &[n], packed.column_sums.iter().map(|&x| f64::from(x))),
        Tensor::new(F32, &[n], numbers(n, 0.015_625)),
        Tensor::new(F32, &[n], numbers(n, -0.125)),
        Tensor::new(I64, &[2], [k as f64, n as f64]),
    ];
    let inputs = inputs.into_iter().map(Some).collect();
    Node { operator, inputs, outputs: vec!["y"], attributes: vec![] }
}

/// Largest error of the GELU of products of eight and sixteen bits.
const OF_GELU: f32 = 1.4e-5;

fn check(
    what: &str,
    found: Result<(Vec<usize>, Vec<f32>), Error>,
    expected: Option<(Vec<usize>, Vec<f32>)>,
    absolute: f32,
) -> Option<Error> {
    match (found, expected) {
        (Ok((shape, found)), Some((expected_shape, expected))) => {
            assert_eq!(shape, expected_shape, "{what}");
            for (found, expected) in found.iter().zip(&expected) {
                let near = (found - expected).abs() <= absolute + 1e-6 * expected.abs();
                assert!(near, "{what}: expected {expected}, got {found}");
            }
            assert_eq!(found.len(), expected.len(), "{what}");
            None
        }
        (Err(error), None) => Some(error),
        (Ok(found), None) => panic!("{what}: expected an error, got {found:?}"),
        // No operator has attributes: the runtime may refuse or ignore one.
        (Err(error), Some(_)) if what.contains("an attribute") => Some(error),
        (Err(error), Some(_)) => panic!("{what}: {error}"),
    }
}

/// True if the first input is a tensor of strings.
fn takes_strings(node: &Node) -> bool {
    node.inputs.first().is_some_and(|x| x.as_ref().is_some_and(|x| x.element == 8))
}

#[test]
fn q_mat_mul_is_right_or_an_error() {
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    let (mut right, mut named) = (0, 0);
    for (operator, gelu) in [(operators::Q_MAT_MUL, false), (operators::Q_MAT_MUL_GELU, true)] {
        for (k, n) in [(5, 17), (0, 17), (5, 0), (1, 1)] {
            for (name, node) in q_mat_mul_node(operator, k, n).changed() {
                let expected = q_mat_mul(&node, gelu).filter(|_| node.outputs == ["y"]);
                for (fed, threads) in [(true, 1), (false, 1), (true, 3)] {
                    // Strings cannot be cast.
                    if fed && takes_strings(&node) {
                        continue;
                    }
                    let what = format!("{operator} {k} x {n}, {name}, fed {fed}");
                    let found = node.run(&library, fed, threads, ("y", F32));
                    right += usize::from(found.is_ok());
                    let absolute = if gelu { OF_GELU } else { 0.0 };
                    if let Some(error) = check(&what, found, expected.clone(), absolute) {
                        named += usize::from(
                            error.to_string().contains(&format!("{operator}: input `")),
                        );
                    }
                }
            }
        }
    }
    assert!(right > 50 && named > 200, "{right} right, {named} errors of ours");
}

/// Expected shape and numbers of a product of bf16; `None` if the inputs do not fit together.
fn bf16_mat_mul(node: &Node, gelu: bool) -> Option<(Vec<usize>, Vec<f32>)> {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let [x, weights, bias, size] = inputs.as_slice() else { return None };
    let &[k, n] = size.numbers.as_slice() else { return None };
    let (k, n) = (k as i64, n as i64);
    let (last, before) = x.dims.split_last()?;
    let panels = [(n as u64).div_ceil(16) as i64, (k as u64).div_ceil(2) as i64, 16, 2];
    let fit = x.element == F32
        && *last == k
        && weights.is(U16, &panels)
        && bias.is(F32, &[n])
        && size.is(I64, &[2]);
    if !fit {
        return None;
    }
    let (k, n) = (k as usize, n as usize);
    // More results than fit into memory are an error, even of rows of length 0.
    let rows = before.iter().try_fold(1i64, |rows, &dim| rows.checked_mul(dim));
    let rows = rows.filter(|&rows| rows < 1 << 30)? as usize;
    let mut y = vec![];
    for row in 0..rows {
        for column in 0..n {
            let weight = |at: usize| {
                let group = (column / 16) * k.div_ceil(2) + at / 2;
                let bits = weights.numbers[(group * 16 + column % 16) * 2 + at % 2] as u32;
                f64::from(f32::from_bits(bits << 16))
            };
            // Small integers, which bf16 holds, hence the sums are exact in any order.
            let sum: f64 = (0..k).map(|at| x.numbers[row * k + at] * weight(at)).sum();
            let sum = sum as f32 + bias.numbers[column] as f32;
            y.push(if gelu { exact_gelu(sum) } else { sum });
        }
    }
    Some((before.iter().map(|&dim| dim as usize).chain([n]).collect(), y))
}

/// A product node with activations of 2 x 3 rows.
fn bf16_mat_mul_node(operator: &'static str, k: i64, n: i64) -> Node {
    let matrix: Vec<u16> = (0..k * n).map(|at| round_to_bf16((at * 7 % 5 - 2) as f32)).collect();
    let (packed, shape) = pack_bf16(&matrix, k as usize, n as usize);
    let inputs = vec![
        Tensor::new(F32, &[2, 3, k], (0..6 * k).map(|at| (at % 7 - 3) as f64)),
        Tensor::new(U16, &shape.map(|dim| dim as i64), packed.iter().map(|&x| f64::from(x))),
        Tensor::new(F32, &[n], (0..n).map(|at| (at + 1) as f64 * -0.125)),
        Tensor::new(I64, &[2], [k as f64, n as f64]),
    ];
    let inputs = inputs.into_iter().map(Some).collect();
    Node { operator, inputs, outputs: vec!["y"], attributes: vec![] }
}

#[test]
fn products_of_bf16_are_right_or_an_error() {
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    if bf16_kernel().is_none() {
        let node = bf16_mat_mul_node(operators::BF16_MAT_MUL, 5, 17);
        let error = node.run(&library, true, 1, ("y", F32)).unwrap_err();
        assert!(matches!(error, Error::NoInstructions { .. }), "{error}");
        return;
    }
    let (mut right, mut named) = (0, 0);
    for (operator, gelu) in [(operators::BF16_MAT_MUL, false), (operators::BF16_MAT_MUL_GELU, true)]
    {
        for (k, n) in [(5, 17), (0, 17), (5, 0), (1, 1)] {
            for (name, node) in bf16_mat_mul_node(operator, k, n).changed() {
                let expected = bf16_mat_mul(&node, gelu).filter(|_| node.outputs == ["y"]);
                for (fed, threads) in [(true, 1), (false, 1), (true, 3)] {
                    if fed && takes_strings(&node) {
                        continue;
                    }
                    let what = format!("{operator} {k} x {n}, {name}, fed {fed}");
                    let found = node.run(&library, fed, threads, ("y", F32));
                    right += usize::from(found.is_ok());
                    let absolute = if gelu { OF_GELU } else { 1e-6 };
                    if let Some(error) = check(&what, found, expected.clone(), absolute) {
                        let ours = format!("{operator}: input `");
                        named += usize::from(error.to_string().contains(&ours));
                    }
                }
            }
        }
    }
    assert!(right > 50 && named > 100, "{right} right, {named} errors of ours");
}

/// Expected quantised rows and their scales; `None` if the inputs do not fit together.
fn quantized(node: &Node, range: ActivationRange) -> Option<(Vec<usize>, Vec<f32>, Vec<f32>)> {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let (x, smooth_scales) = match (range, inputs.as_slice()) {
        (ActivationRange::Smoothed, [x, smooth_scales]) => (x, Some(smooth_scales)),
        (ActivationRange::Smoothed, _) => return None,
        (_, [x]) => (x, None),
        _ => return None,
    };
    let (&k, before) = x.dims.split_last()?;
    if x.element != F32 || smooth_scales.is_some_and(|scales| !scales.is(F32, &[k])) {
        return None;
    }
    // More scales than fit into memory are an error, even if rows have length 0.
    let rows = before.iter().try_fold(1i64, |rows, &dim| rows.checked_mul(dim));
    let rows = rows.filter(|&rows| rows < 1 << 30)? as usize;
    let k = k as usize;
    let (qmax, zero_point) = (range.qmax(), f32::from(range.zero_point()));
    let (mut q, mut scales) = (vec![], vec![]);
    for row in 0..rows {
        let value = |at: usize| {
            let smooth = smooth_scales.map_or(1.0, |scales| scales.numbers[at] as f32);
            x.numbers[row * k + at] as f32 * smooth
        };
        let largest = |sign: f32| (0..k).map(|at| sign * value(at)).fold(f32::MIN, f32::max);
        let max = match range {
            ActivationRange::Symmetric | ActivationRange::Smoothed => {
                largest(1.0).max(largest(-1.0))
            }
            ActivationRange::Gelu => largest(1.0).max(largest(-1.0) * (qmax / zero_point)),
            ActivationRange::Relu => largest(1.0),
        };
        let max = max.max(1e-30);
        let inverse = qmax / max;
        for at in 0..k {
            q.push(((value(at) * inverse).round_ties_even() + zero_point).clamp(0.0, 255.0));
        }
        scales.push(max / qmax);
    }
    Some((before.iter().map(|&dim| dim as usize).collect(), q, scales))
}

#[test]
fn quantised_rows_are_right_or_an_error() {
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    let (mut right, mut named) = (0, 0);
    for range in ActivationRange::ALL {
        for width in [5, 0, 1] {
            let x = Tensor::new(F32, &[2, 3, width], (0..6 * width).map(|at| (at % 7 - 3) as f64));
            let smooth_scales =
                Tensor::new(F32, &[width], (0..width).map(|at| (at + 1) as f64 * 0.5));
            let mut inputs = vec![Some(x)];
            if range == ActivationRange::Smoothed {
                inputs.push(Some(smooth_scales));
            }
            let node = Node {
                operator: range.operator(),
                inputs,
                outputs: vec!["q", "s"],
                attributes: vec![],
            };
            for (name, node) in node.changed() {
                let whole = node.outputs == ["q", "s"];
                let expected = quantized(&node, range).filter(|_| whole);
                for fed in [true, false] {
                    if fed && takes_strings(&node) {
                        continue;
                    }
                    for output in [("q", U8), ("s", F32)] {
                        let what =
                            format!("{} {width}, {name}, fed {fed}, {output:?}", range.operator());
                        let expected = expected.clone().map(|(mut shape, q, scales)| {
                            let last =
                                node.inputs[0].as_ref().unwrap().dims.last().copied().unwrap();
                            shape.push(if output.0 == "q" { last as usize } else { 1 });
                            (shape, if output.0 == "q" { q } else { scales })
                        });
                        let found = node.run(&library, fed, 1, output);
                        right += usize::from(found.is_ok());
                        if let Some(error) = check(&what, found, expected, 0.0) {
                            let ours = format!("{}: input `", range.operator());
                            named += usize::from(error.to_string().contains(&ours));
                        }
                    }
                }
            }
        }
    }
    assert!(right > 100 && named > 20, "{right} right, {named} errors of ours");
}

/// Expected shape and numbers of attention; `None` if the inputs do not fit together.
fn attended(node: &Node, by_head: bool) -> Option<(Vec<usize>, Vec<f32>)> {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let [query, key, value, mask, scale, heads] = inputs.as_slice() else { return None };
    let (&[batch, keys, all], &[heads_f64]) = (value.dims.as_slice(), heads.numbers.as_slice())
    else {
        return None;
    };
    let heads_i64 = heads_f64 as i64;
    if !heads.is(I64, &[1]) || heads_i64 < 1 || all % heads_i64 != 0 {
        return None;
    }
    let width = all / heads_i64;
    let queries = *query.dims.get(query.dims.len().checked_sub(2)?)?;
    let fit = if by_head {
        query.is(F32, &[batch, heads_i64, queries, width])
            && key.is(F32, &[batch, heads_i64, keys, width])
    } else {
        query.is(F32, &[batch, queries, all]) && key.is(F32, &[batch, keys, all])
    };
    let full = [batch, heads_i64, queries, keys];
    let mut dims = [1; 4];
    dims[4usize.checked_sub(mask.dims.len())?..].copy_from_slice(&mask.dims);
    let fit = fit
        && [value.element, mask.element, scale.element] == [F32; 3]
        && dims.iter().zip(full).all(|(&dim, full)| dim == 1 || dim == full)
        && matches!(scale.dims.as_slice(), [] | [1]);
    if !fit {
        return None;
    }
    let [batch, keys, heads, queries, width] =
        [batch, keys, heads_i64, queries, width].map(|dim| dim as usize);
    let at = |by_head: bool, rows: usize, (b, h, row, i): (usize, usize, usize, usize)| {
        let by_head = by_head.then_some(((b * heads + h) * rows + row) * width + i);
        by_head.unwrap_or(((b * rows + row) * heads + h) * width + i)
    };
    let mut y = vec![0.0; batch * queries * heads * width];
    for b in 0..batch {
        for h in 0..heads {
            for q in 0..queries {
                let score = |k: usize| -> f64 {
                    let dot: f64 = (0..width)
                        .map(|i| {
                            query.numbers[at(by_head, queries, (b, h, q, i))]
                                * key.numbers[at(by_head, keys, (b, h, k, i))]
                        })
                        .sum();
                    let place = [b, h, q, k].into_iter().zip(dims);
                    let mask_at = place.fold(0, |index, (at, dim)| {
                        index * dim as usize + if dim == 1 { 0 } else { at }
                    });
                    dot * scale.numbers[0] + mask.numbers[mask_at]
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|x| (x - largest).exp()).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..width {
                    let sum: f64 = weights
                        .iter()
                        .enumerate()
                        .map(|(k, weight)| {
                            weight / total * value.numbers[at(false, keys, (b, h, k, i))]
                        })
                        .sum();
                    y[at(false, queries, (b, h, q, i))] = sum as f32;
                }
            }
        }
    }
    Some((vec![batch, queries, heads * width], y))
}

#[test]
fn attention_is_right_or_an_error() {
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    let (mut right, mut named) = (0, 0);
    for (operator, by_head) in [(operators::ATTENTION, false), (operators::ATTENTION_BY_HEAD, true)]
    {
        for (queries, keys, width) in [(3, 5, 4), (3, 0, 4), (0, 3, 4), (2, 2, 0), (1, 1, 1)] {
            let heads = 2;
            let tensor = |rows: i64, by_head: bool, salt: i64| {
                let dims = match by_head {
                    true => vec![2, heads, rows, width],
                    false => vec![2, rows, heads * width],
                };
                let count = 2 * rows * heads * width;
                Tensor::new(F32, &dims, (0..count).map(|at| (at * salt % 7 - 3) as f64 * 0.5))
            };
            let masks: [&[i64]; 3] = [&[2, 1, 1, keys], &[1, heads, queries, keys], &[1, 1]];
            for mask in masks {
                let count = mask.iter().product::<i64>();
                let inputs = [
                    tensor(queries, by_head, 3),
                    tensor(keys, by_head, 5),
                    tensor(keys, false, 2),
                    Tensor::new(F32, mask, (0..count).map(|at| (at % 3) as f64 * -0.5)),
                    Tensor::new(F32, &[], [0.5]),
                    Tensor::new(I64, &[1], [heads as f64]),
                ];
                let inputs = inputs.into_iter().map(Some).collect();
                let node = Node { operator, inputs, outputs: vec!["y"], attributes: vec![] };
                // All changes of one node, since each is a graph of its own.
                let all = (queries, mask.len()) == (3, 4) && keys == 5 && mask[1] == 1;
                let nodes = if all { node.changed() } else { vec![("plain".to_owned(), node)] };
                for (name, node) in nodes {
                    let expected = attended(&node, by_head).filter(|_| node.outputs == ["y"]);
                    for (fed, threads) in [(true, 1), (false, 1), (true, 3)] {
                        if fed && takes_strings(&node) {
                            continue;
                        }
                        let what = format!("{operator} {queries} x {keys} x {width}, {name}");
                        let found = node.run(&library, fed, threads, ("y", F32));
                        right += usize::from(found.is_ok());
                        if let Some(error) = check(&what, found, expected.clone(), 1e-5) {
                            let ours = format!("{operator}: input `");
                            named += usize::from(error.to_string().contains(&ours));
                        }
                    }
                }
            }
        }
    }
    assert!(right > 100 && named > 100, "{right} right, {named} errors of ours");
}
