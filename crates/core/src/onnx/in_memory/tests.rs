//! Tensors that stay in the file, operators that are fused, and runs with both.

use std::collections::HashMap;
use std::ops::Range;

use embedkit_testkit::{load_options, runtime_library};
use embedkit_types::{Device, LoadOptions};

use super::super::graph::messages;
use super::super::sgemm::{Kernel, Linear};
use super::super::{Input, Session, Values};
use super::{DOMAIN, InMemory, LEAST, LINE, LINEAR, int, kernel, put};
use crate::pipeline::Workload;

fn field(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, number, content.as_ref());
    bytes
}

/// A tensor whose dims are below 16,384, behind a comment that moves its data.
fn tensor(name: &str, element: u64, dims: [u64; 2], comment: usize, data: &[u8]) -> Vec<u8> {
    let dims = dims.map(|dim| int(1, dim)).concat();
    let comment = field(12, vec![b' '; comment]);
    [dims, int(2, element), field(8, name), comment, field(9, data)].concat()
}

fn node(operator: &str, domain: &str, inputs: [&str; 2], output: &str) -> Vec<u8> {
    let inputs = inputs.map(|input| field(1, input)).concat();
    field(1, [inputs, field(2, output), field(4, operator), field(7, domain)].concat())
}

/// An input or output of this element type and these dims, 0 where they vary.
fn port(name: &str, element: u64, dims: &[u64]) -> Vec<u8> {
    let dims = dims.iter().map(|&dim| {
        let dim = if dim == 0 { field(2, "n") } else { int(1, dim) };
        field(1, dim)
    });
    let dims: Vec<u8> = dims.flatten().collect();
    let tensor = [int(1, element), field(2, dims)].concat();
    [field(1, name), field(2, field(1, tensor))].concat()
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    let opset = field(8, [field(1, ""), int(2, 17)].concat());
    [int(1, 8), field(7, graph.concat()), opset].concat()
}

const ROWS: usize = 4096;
const WIDTH: usize = 16;
const COLUMNS: usize = 1024;

fn numbers(count: usize, seed: u32) -> Vec<u8> {
    let numbers = (0..count as u32).map(|at| {
        let random = (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(15);
        (random % 1000) as f32 / 1000.0 - 0.5
    });
    numbers.flat_map(f32::to_le_bytes).collect()
}

/// Rows of a table times a matrix, whose data begin `comment` bytes later than they would.
fn lookup(comment: usize) -> Vec<u8> {
    let table = numbers(ROWS * WIDTH, 3);
    let matrix = numbers(WIDTH * COLUMNS, 5);
    model(&[
        node("Gather", "", ["table", "input_ids"], "rows"),
        node("MatMul", "", ["rows", "matrix"], "y"),
        field(2, "g"),
        field(5, tensor("table", 1, [ROWS as u64, WIDTH as u64], comment, &table)),
        field(5, tensor("matrix", 1, [WIDTH as u64, COLUMNS as u64], comment, &matrix)),
        field(11, port("input_ids", 7, &[0, 0])),
        field(12, port("y", 1, &[0, 0, 0])),
    ])
}

/// The model of a file whose large tensors stay in it, with no operators fused.
fn rewritten(file: &[u8]) -> Option<Vec<u8>> {
    InMemory::of(file, "m.onnx", None).map(|(model, _)| model)
}

/// The bytes of a tensor, or their range in a file.
type Data = Result<Vec<u8>, Range<usize>>;

/// The data of the tensors of a graph.
fn tensors(model: &[u8]) -> Vec<(String, Data)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let only = |message, number: u32| {
        let mut all = messages(message).filter(move |(field, _)| *field == number);
        all.next().map(|(_, content)| content)
    };
    let tensors = messages(only(model, 7).unwrap()).filter(|(field, _)| *field == 5);
    let tensors = tensors.map(|(_, tensor)| {
        let entries = messages(tensor).filter(|(field, _)| *field == 13);
        let entries: HashMap<_, _> = entries
            .map(|(_, entry)| (text(only(entry, 1).unwrap()), text(only(entry, 2).unwrap())))
            .collect();
        let data = match only(tensor, 9) {
            Some(data) => Ok(data.to_vec()),
            None => {
                assert_eq!(entries["location"], "m.onnx");
                let [start, length] =
                    ["offset", "length"].map(|key| entries[key].parse::<usize>().unwrap());
                Err(start..start + length)
            }
        };
        (text(only(tensor, 8).unwrap()), data)
    });
    tensors.collect()
}

/// The names of the tensors that stay in the file, each checked for its bytes.
fn staying(file: &[u8]) -> Vec<String> {
    let Some(model) = rewritten(file) else { return Vec::new() };
    let before = tensors(file);
    let after = tensors(&model);
    assert_eq!(before.len(), after.len());
    let staying = before.into_iter().zip(after).filter_map(|(before, after)| {
        assert_eq!(before.0, after.0);
        let data = before.1.unwrap();
        match after.1 {
            Ok(copied) => {
                assert_eq!(copied, data);
                None
            }
            Err(range) => {
                assert_eq!(file[range], data);
                Some(before.0)
            }
        }
    });
    staying.collect()
}

/// A graph with one tensor of two columns of this element type, at an address with this remainder by 64.
fn at_address(remainder: usize, operator: &str, domain: &str, element: u64) -> Vec<u8> {
    let data = vec![1; LEAST];
    let files = (1..=64).map(|comment| {
        model(&[
            node(operator, domain, ["x", "w"], "y"),
            field(5, tensor("w", element, [2, 2], comment, &data)),
        ])
    });
    let starts = |file: &[u8]| file.windows(data.len()).position(|bytes| bytes == data);
    files.into_iter().find(|file| starts(file).unwrap() % LINE == remainder).unwrap()
}

#[test]
fn a_large_tensor_stays_where_its_readers_can_use_it() {
    let stays = |file: &[u8]| !staying(file).is_empty();
    for remainder in 0..LINE {
        let at = |operator, domain, element| at_address(remainder, operator, domain, element);
        assert!(stays(&at("MatMul", "", 1)), "{remainder}");
        assert!(stays(&at("Gemm", "ai.onnx", 1)));
        assert_eq!(stays(&at("Add", "", 1)), remainder % 4 == 0);
        assert_eq!(stays(&at("MatMul", "com.microsoft", 1)), remainder % 4 == 0);
        assert_eq!(stays(&at("MatMul", "", 10)), remainder % 2 == 0);
        assert_eq!(stays(&at("MatMul", "", 11)), remainder % 8 == 0);
        assert!(stays(&at("MatMulInteger", "", 3)));
        assert_eq!(stays(&at("MultiplyRows", DOMAIN, 3)), remainder == 0);
        // Text, and no type that is known.
        assert!(!stays(&at("Add", "", 8)) && !stays(&at("Add", "", 60)));
    }
}

#[test]
fn a_tensor_that_a_subgraph_may_read_has_to_be_aligned() {
    let data = vec![1; LEAST];
    let nested =
        field(5, [field(1, "then_branch"), field(6, node("Add", "", ["w", "w"], "y"))].concat());
    let conditional = field(1, [field(1, "c"), field(2, "z"), field(4, "If"), nested].concat());
    for comment in 1..5 {
        let w = field(5, tensor("w", 1, [2, 2], comment, &data));
        let product = node("MatMul", "", ["x", "w"], "y");
        assert_eq!(staying(&model(&[product.clone(), w.clone()])), ["w"]);
        let file = model(&[product, conditional.clone(), w]);
        let start = file.windows(data.len()).position(|bytes| bytes == data).unwrap();
        assert_eq!(!staying(&file).is_empty(), start % 4 == 0);
    }
}

#[test]
fn what_is_small_or_odd_is_copied() {
    let product = node("MatMul", "", ["x", "w"], "y");
    let plain = tensor("w", 1, [2, 2], 1, &[1; LEAST]);
    let with = |tensor: &[u8]| staying(&model(&[product.clone(), field(5, tensor)]));
    assert_eq!(with(&plain), ["w"]);
    assert!(with(&tensor("w", 1, [2, 2], 1, &[1; LEAST - 1])).is_empty());
    for odd in [field(9, "again"), int(14, 0), field(13, "")] {
        let file = model(&[product.clone(), field(5, [plain.clone(), odd].concat())]);
        assert!(rewritten(&file).is_none());
    }
    // What is no model is for the runtime to report.
    let broken = model(&[product, field(5, &plain), vec![0xff]]);
    assert!([&broken, [0xff; 90].as_slice(), &[]].iter().all(|file| rewritten(file).is_none()));
}

/// Operators of ours in a model, and its other operators.
fn operators(model: &[u8]) -> (Vec<String>, Vec<String>) {
    let text = |message, number: u32| {
        let field = messages(message).find(|(field, _)| *field == number);
        String::from_utf8(field.map_or(Vec::new(), |(_, text)| text.to_vec())).unwrap()
    };
    let graph = messages(model).find(|(field, _)| *field == 7).unwrap().1;
    let nodes = messages(graph).filter(|(field, _)| *field == 1);
    let nodes = nodes.map(|(_, node)| (text(node, 7), text(node, 4)));
    let (ours, others): (Vec<_>, Vec<_>) = nodes.partition(|(domain, _)| domain == DOMAIN);
    [ours, others].map(|nodes| nodes.into_iter().map(|(_, operator)| operator).collect()).into()
}

#[test]
fn products_become_linear_layers_that_share_a_matrix() {
    let Some(kernel) = Kernel::fastest() else { return };
    let numbers = numbers(16 * 16, 3);
    let file = model(&[
        node("MatMul", "", ["x", "w"], "a"),
        node("MatMul", "", ["a", "w"], "b"),
        node("Add", "", ["b", "bias"], "c"),
        node("MatMul", "", ["c", "w"], "d"),
        node("Relu", "", ["d", ""], "y"),
        field(5, tensor("w", 1, [16, 16], 1, &numbers)),
        field(5, [int(1, 16), int(2, 1), field(8, "bias"), field(9, &numbers[..64])].concat()),
        field(5, tensor("fused.linear_0", 1, [16, 16], 1, &numbers)),
        field(12, port("y", 1, &[0, 0])),
    ]);
    let (fused, linears) = InMemory::of(&file, "m.onnx", Some(kernel)).unwrap();
    assert_eq!(linears.len(), 3);
    let matrices = linears.iter().map(Linear::matrix);
    assert!(matrices.is_sorted_by(|a, b| std::ptr::eq(*a, *b)), "all have one matrix");
    let (ours, others) = operators(&fused);
    assert_eq!((ours, others), (vec![LINEAR.to_owned(); 3], vec!["Relu".to_owned()]));
    let names: Vec<_> = tensors(&fused).into_iter().map(|(name, _)| name).collect();
    let linears = (0..3).map(|number| format!("_fused.linear_{number}"));
    assert_eq!(names, linears.chain(["fused.linear_0".to_owned()]).collect::<Vec<_>>());
    // A precision of its own, or scales of the whole batch: the rest of such graphs is left as it is.
    for operator in ["MultiplyRows", "DynamicQuantizeLinear"] {
        let graph = messages(&file).find(|(field, _)| *field == 7).unwrap().1.to_vec();
        let file = model(&[node(operator, DOMAIN, ["x", "x"], "z"), graph]);
        assert!(InMemory::of(&file, "m.onnx", Some(kernel)).is_none(), "{operator}");
    }
}

/// A normalisation without a bias gets one of zeros.
#[test]
fn a_shape_without_numbers_takes_no_memory() {
    let normalized = |weight: Vec<u8>| {
        let weight = [int(2, 1), field(8, "w"), weight].concat();
        let file = model(&[
            node("Add", "", ["a", "b"], "x"),
            node("LayerNormalization", "", ["x", "w"], "y"),
            field(5, weight),
            field(12, port("y", 1, &[0, 0])),
        ]);
        InMemory::of(&file, "m.onnx", Kernel::fastest()).is_some()
    };
    let numbers = field(9, [0; 64]);
    assert_eq!(normalized([int(1, 16), numbers.clone()].concat()), Kernel::fastest().is_some());
    assert!(!normalized([int(1, 1 << 50), numbers].concat()));
    assert!(!normalized(int(1, 1 << 50)));
}

/// A damaged file is written as it can be read, or not at all.
#[test]
fn any_bytes_are_tolerated() {
    let small = numbers(16 * 16, 3);
    let file = model(&[
        node("MatMul", "", ["x", "w"], "a"),
        node("Add", "", ["a", "bias"], "b"),
        node("Add", "", ["b", "x"], "c"),
        node("LayerNormalization", "", ["c", "bias"], "y"),
        field(5, tensor("w", 1, [16, 16], 1, &small)),
        field(5, [int(1, 16), int(2, 1), field(8, "bias"), field(9, &small[..64])].concat()),
        field(12, port("y", 1, &[0, 0])),
    ]);
    let written = |file: &[u8]| InMemory::of(file, "m.onnx", Kernel::fastest());
    assert_eq!(written(&file).is_some(), Kernel::fastest().is_some());
    let mut state = 1_u64;
    let mut random = |below: usize| {
        // Knuth's linear congruential generator (MMIX); its high bits are the random ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let mut damaged = file.clone();
        for _ in 0..=random(3) {
            let at = random(damaged.len());
            damaged[at] = random(256) as u8;
        }
        damaged.truncate(damaged.len() - random(2) * random(damaged.len()));
        if let Some((model, _)) = written(&damaged) {
            assert!(model.len() < 2 * file.len());
        }
    }
}

/// One row of the product, computed in the order of our kernels.
fn expected(file: &[u8], id: usize) -> Vec<f32> {
    let tensors = tensors(file);
    let [table, matrix] = [0, 1].map(|at| {
        let bytes: &Vec<u8> = tensors[at].1.as_ref().unwrap();
        bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect::<Vec<_>>()
    });
    let row = &table[id * WIDTH..][..WIDTH];
    let column = |at| (0..WIDTH).fold(0.0, |sum, k| row[k].mul_add(matrix[k * COLUMNS + at], sum));
    (0..COLUMNS).map(column).collect()
}

/// The file is mapped while the session lives, and its numbers are used from any address.
#[test]
fn sessions_compute_with_the_bytes_of_the_file() {
    let Some(library) = runtime_library() else { return };
    for comment in 1..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        let file = lookup(comment);
        std::fs::write(&path, &file).unwrap();
        let options = LoadOptions {
            onnxruntime: Some(library.clone()),
            device: Device::Cpu,
            ..load_options()
        };
        let session = Session::open(&path, &options).unwrap();
        let ids = [7, ROWS as i64 - 1];
        let input = Input { name: "input_ids", shape: &[1, 2], values: Values::I64(&ids) };
        let read = |views: &[super::super::View<'_>]| views[0].values.to_vec();
        let found = session.run(Workload::Stream, &[input], &[0], read).unwrap();
        for (row, id) in found.chunks(COLUMNS).zip(ids) {
            for (found, expected) in row.iter().zip(expected(&file, id as usize)) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                assert!(kernel().is_none() || *found == expected);
            }
        }
        #[cfg(target_os = "linux")]
        {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(maps.contains(path.canonicalize().unwrap().to_str().unwrap()), "{maps}");
        }
    }
}

/// Whatever the graph gives a layer, it is an error of the run.
#[test]
fn rows_of_another_length_are_an_error() {
    let Some(library) = runtime_library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let file = model(&[
        node("MatMul", "", ["x", "w"], "y"),
        field(2, "g"),
        field(5, tensor("w", 1, [16, 16], 0, &numbers(256, 1))),
        field(11, port("x", 1, &[0, 0])),
        field(12, port("y", 1, &[0, 16])),
    ]);
    std::fs::write(&path, file).unwrap();
    let options = LoadOptions { onnxruntime: Some(library), device: Device::Cpu, ..load_options() };
    let session = Session::open(&path, &options).unwrap();
    let input = Input { name: "x", shape: &[2, 5], values: Values::F32(&[1.0; 10]) };
    let error = session.run(Workload::Single, &[input], &[0], |_| ()).unwrap_err().to_string();
    if kernel().is_some() {
        assert!(error.contains("Linear") && error.contains("[…, 16], got [2, 5]"), "{error}");
    }
}
