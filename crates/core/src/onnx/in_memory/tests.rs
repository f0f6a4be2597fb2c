//! Tensors that stay in the file, operators that are fused, and runs with both.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use embedkit_testkit::{load_options, runtime_library};
use embedkit_types::{Device, LoadOptions};

use super::super::bf16;
use super::super::graph::messages;
use super::super::operators::{pack, pack_bf16, round_to_bf16};
use super::super::sgemm::{Kernel, Linear};
use super::super::{Input, Session, Values};
use super::{DOMAIN, InMemory, LEAST, LINE, LINEAR, Outline, Weights, int, kernel, put};
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
    InMemory::of(file, "m.onnx", &BTreeMap::new(), None).map(|(model, _)| model)
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
    let (fused, linears) = InMemory::of(&file, "m.onnx", &BTreeMap::new(), Some(kernel)).unwrap();
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
        assert!(
            InMemory::of(&file, "m.onnx", &BTreeMap::new(), Some(kernel)).is_none(),
            "{operator}"
        );
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
        InMemory::of(&file, "m.onnx", &BTreeMap::new(), Kernel::fastest()).is_some()
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
    let written = |file: &[u8]| InMemory::of(file, "m.onnx", &BTreeMap::new(), Kernel::fastest());
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

/// [`lookup`] with its table and matrix in a file of this name.
fn lookup_elsewhere(name: &str) -> (Vec<u8>, Vec<u8>) {
    let [table, matrix] = [numbers(ROWS * WIDTH, 3), numbers(WIDTH * COLUMNS, 5)];
    let tensor = |tensor: &str, dims: [usize; 2], offset: usize, length: usize| {
        let dims = dims.map(|dim| int(1, dim as u64)).concat();
        let place =
            [("location", name), ("offset", &offset.to_string()), ("length", &length.to_string())]
                .map(|(key, value)| field(13, [field(1, key), field(2, value)].concat()));
        field(5, [dims, int(2, 1), field(8, tensor), place.concat(), int(14, 1)].concat())
    };
    let file = model(&[
        node("Gather", "", ["table", "input_ids"], "rows"),
        node("MatMul", "", ["rows", "matrix"], "y"),
        field(2, "g"),
        tensor("table", [ROWS, WIDTH], 0, table.len()),
        tensor("matrix", [WIDTH, COLUMNS], table.len(), matrix.len()),
        field(11, port("input_ids", 7, &[0, 0])),
        field(12, port("y", 1, &[0, 0, 0])),
    ]);
    (file, [table, matrix].concat())
}

/// As a cache of the model hub has them, links to a folder of blobs, or beside the model.
#[cfg(unix)]
#[test]
fn weights_in_a_file_of_their_own_are_found_behind_links() {
    let (file, weights) = lookup_elsewhere("m.onnx_data");
    let dir = tempfile::tempdir().unwrap();
    let [blobs, snapshot] = ["blobs", "snapshot"].map(|name| dir.path().join(name));
    for folder in [&blobs, &snapshot] {
        std::fs::create_dir(folder).unwrap();
    }
    for (name, blob, bytes) in [("m.onnx", "1", &file), ("m.onnx_data", "2", &weights)] {
        std::fs::write(blobs.join(blob), bytes).unwrap();
        std::os::unix::fs::symlink(blobs.join(blob), snapshot.join(name)).unwrap();
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    for (folder, weights) in
        [(&snapshot, blobs.join("2")), (&dir.path().to_owned(), dir.path().join("m.onnx_data"))]
    {
        let path = folder.join("m.onnx");
        let found = InMemory::open(&path).unwrap();
        assert_eq!(found.is_some(), kernel().is_some(), "only operators of ours make a difference");
        let Some(library) = runtime_library() else { return };
        let options =
            LoadOptions { onnxruntime: Some(library), device: Device::Cpu, ..load_options() };
        let session = Session::open(&path, &options).unwrap();
        let ids = [7, ROWS as i64 - 1];
        let input = Input { name: "input_ids", shape: &[1, 2], values: Values::I64(&ids) };
        let read = |views: &[super::super::View<'_>]| views[0].values.to_vec();
        let rows = session.run(Workload::Stream, &[input], &[0], read).unwrap();
        for (row, id) in rows.chunks(COLUMNS).zip(ids) {
            for (found, expected) in row.iter().zip(expected(&lookup(0), id as usize)) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
        #[cfg(target_os = "linux")]
        {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(maps.contains(weights.canonicalize().unwrap().to_str().unwrap()), "{maps}");
        }
    }
}

/// A place that the reader cannot follow is left to the runtime.
#[test]
fn weights_that_are_not_there_are_left_to_the_runtime() {
    let (file, bytes) = lookup_elsewhere("data");
    let of = |file: &[u8], name: &str, bytes: &[u8]| {
        let weights = Weights { name: name.to_owned(), bytes };
        let weights = BTreeMap::from([("data".to_owned(), weights)]);
        InMemory::of(file, "m.onnx", &weights, Kernel::fastest())
    };
    let (moved, linears) = of(&file, "below/blob", &bytes).unwrap_or_default();
    assert_eq!(linears.len(), usize::from(Kernel::fastest().is_some()));
    let names = Outline::of(&moved).external;
    assert!(linears.is_empty() || names == [b"below/blob".to_vec()].into(), "{names:?}");
    // Cut short, and a file without the matrix.
    for cut in [&bytes[..bytes.len() - 1], &bytes[..ROWS * WIDTH * 4], &[]] {
        assert!(of(&file, "data", cut).is_none());
    }
    // At an odd byte, where products are packed from but nothing else may read.
    let entry = |offset: &str| field(13, [field(1, "offset"), field(2, offset)].concat());
    let place = field(13, [field(1, "location"), field(2, "data")].concat());
    for (offset, fits) in [("4", true), ("6", false), ("x", false)] {
        let place = [place.clone(), entry(offset), int(14, 1)].concat();
        let bias = field(5, [int(1, 3), int(2, 1), field(8, "other"), place].concat());
        let add = node("Add", "", ["y", "other"], "z");
        let graph = messages(&file).find(|(field, _)| *field == 7).unwrap().1.to_vec();
        let found = of(&model(&[graph, add, bias]), "data", &bytes);
        assert_eq!(found.is_some(), fits && Kernel::fastest().is_some(), "{offset}");
    }
    // A constant in a node, which keeps the name that the file had.
    let constant = [int(1, 4), int(2, 1), place, int(14, 1)].concat();
    let attribute = field(5, [field(1, "value"), field(5, constant), int(20, 4)].concat());
    let constant = field(1, [field(2, "z"), field(4, "Constant"), attribute].concat());
    let graph = messages(&file).find(|(field, _)| *field == 7).unwrap().1.to_vec();
    let file = model(&[graph, constant]);
    assert!(of(&file, "blob", &bytes).is_none());
    assert_eq!(of(&file, "data", &bytes).is_some(), Kernel::fastest().is_some());
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

fn call(operator: &str, domain: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input)).collect();
    let outputs: Vec<u8> = outputs.iter().flat_map(|output| field(2, output)).collect();
    field(1, [inputs, outputs, field(4, operator), field(7, domain)].concat())
}

/// Rows that are normalised, multiplied, attended to and multiplied again, each time as eight-bit integers. With an
/// `Identity` before them quantisers are operators of their own.
fn quantized(attention: &str, identity: bool) -> Vec<u8> {
    const K: usize = 32;
    const N: usize = 48;
    let mut parts = vec![field(2, "g")];
    let mut add = |name: &str, element: u64, dims: &[u64], data: &[u8]| {
        let dims = dims.iter().flat_map(|&dim| int(1, dim)).collect();
        parts.push(field(5, [dims, int(2, element), field(8, name), field(9, data)].concat()));
    };
    for (seed, name, width) in [(1, "weight", K), (2, "bias", K), (3, "b", K), (4, "factors", K)] {
        add(name, 1, &[width as u64], &numbers(width, seed));
    }
    for (name, number) in [("epsilon", 1e-5_f32), ("scale", 0.3), ("mask", 0.0)] {
        add(name, 1, if name == "mask" { &[1, 1] } else { &[] }, &number.to_le_bytes());
    }
    add("heads", 7, &[1], &2_i64.to_le_bytes());
    add("zero_128", 2, &[], &[128]);
    add("zero_16", 2, &[], &[16]);
    for (number, [k, n]) in [[K, N], [N, K], [K, N]].into_iter().enumerate() {
        let weights: Vec<i8> = (0..k * n).map(|at| (at * 7 % 41) as i8 - 20).collect();
        let packed = pack(&weights, k, n);
        let dims = packed.shape.map(|dim| dim as u64);
        let bytes: Vec<u8> = packed.weights.iter().map(|weight| weight.cast_unsigned()).collect();
        add(&format!("weights{number}"), 3, &dims, &bytes);
        let sums: Vec<u8> = packed.column_sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        add(&format!("sums{number}"), 6, &[n as u64], &sums);
        let scales: Vec<u8> = (0..n).flat_map(|at| (at as f32 * 1e-4).to_le_bytes()).collect();
        add(&format!("scales{number}"), 1, &[n as u64], &scales);
        add(&format!("bias{number}"), 1, &[n as u64], &numbers(n, number as u32));
        let size: Vec<u8> = [k, n].into_iter().flat_map(|n| (n as i64).to_le_bytes()).collect();
        add(&format!("size{number}"), 7, &[2], &size);
    }
    let quantize = |operator: &str, x: &str, more: &[&str], name: &str| {
        let copy = format!("{x}_copy");
        let copied = if identity { call("Identity", "", &[x], &[&copy]) } else { Vec::new() };
        let inputs = [&[if identity { &copy } else { x }], more].concat();
        let outputs = [format!("q{name}"), format!("s{name}")];
        [copied, call(operator, DOMAIN, &inputs, &outputs.each_ref().map(String::as_str))].concat()
    };
    let multiply = |operator: &str, number: usize, zero: &str, y: &str| {
        let names = ["q", "s"].map(|name| format!("{name}{number}"));
        let constants = ["weights", "sums", "scales", "bias", "size"];
        let constants = constants.map(|name| format!("{name}{number}"));
        let mut inputs: Vec<&str> = names.iter().chain(&constants).map(String::as_str).collect();
        inputs.insert(2, zero);
        call(operator, DOMAIN, &inputs, &[y])
    };
    parts.extend([
        call("AddLayerNorm", DOMAIN, &["a", "b", "weight", "bias", "epsilon"], &["x"]),
        quantize("QuantizeSmoothedRows", "x", &["factors"], "0"),
        multiply("MultiplyRowsGelu", 0, "zero_128", "gelu"),
        quantize("QuantizeGeluRows", "gelu", &[], "1"),
        multiply("MultiplyRows", 1, "zero_16", "v"),
        call(attention, DOMAIN, &["qk", "qk", "v", "mask", "scale", "heads"], &["c"]),
        quantize("QuantizeRows", "c", &[], "2"),
        multiply("MultiplyRows", 2, "zero_128", "y"),
    ]);
    let by_head = attention == "AttentionByHead";
    parts.extend([
        field(11, port("a", 1, &[0, 0, K as u64])),
        field(11, port("qk", 1, if by_head { &[0, 2, 0, 16] } else { &[0, 0, 32] })),
        field(12, port("y", 1, &[0, 0, 0])),
        field(12, port("x", 1, &[0, 0, 0])),
    ]);
    let own = field(8, [field(1, DOMAIN), int(2, 1)].concat());
    [model(&parts), own].concat()
}

/// The producer quantises its rows: the same bits from fewer operators.
#[test]
fn quantisers_go_into_the_operators_before_them() {
    for attention in ["Attention", "AttentionByHead"] {
        let file = quantized(attention, false);
        let (fused, linears) = InMemory::of(&file, "m.onnx", &BTreeMap::new(), kernel()).unwrap();
        assert!(linears.is_empty());
        let (ours, others) = operators(&fused);
        let quantized_attention = format!("{attention}Quantized");
        let expected = [
            "AddLayerNormQuantized",
            "MultiplyRowsGeluQuantized",
            "MultiplyRows",
            &quantized_attention,
            "MultiplyRows",
        ];
        assert_eq!(ours, expected);
        assert!(others.is_empty());
        assert!(InMemory::of(&quantized(attention, true), "m", &BTreeMap::new(), None).is_none());
    }
    for attention in ["Attention", "AttentionByHead"] {
        let files = [false, true].map(|identity| quantized(attention, identity));
        // One row, some, more than a block of one thread, and no tokens.
        for [batch, tokens] in [[1, 1], [3, 7], [5, 400], [2, 0]] {
            let [a, qk] = [1, 2].map(|seed| floats(batch * tokens * 32, seed));
            let qk_shape = match attention {
                "Attention" => vec![batch, tokens, 32],
                _ => vec![batch, 2, tokens, 16],
            };
            let inputs = [
                Input { name: "a", shape: &[batch, tokens, 32], values: Values::F32(&a) },
                Input { name: "qk", shape: &qk_shape, values: Values::F32(&qk) },
            ];
            let Some([fused, plain]) = run(&files, &inputs, &[0, 1]) else { return };
            assert_eq!(fused, plain, "{attention} {batch} {tokens}");
            assert_eq!(fused[0].len(), batch * tokens * 48);
        }
    }
}

fn floats(count: usize, seed: u32) -> Vec<f32> {
    let numbers = numbers(count, seed);
    numbers.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

/// The same outputs of two files, for lone calls and for streams; `None` without a runtime.
fn run(
    files: &[Vec<u8>; 2],
    inputs: &[Input<'_>],
    outputs: &[usize],
) -> Option<[Vec<Vec<f32>>; 2]> {
    let library = runtime_library()?;
    let dir = tempfile::tempdir().unwrap();
    let mut found = files.each_ref().map(|_| Vec::new());
    for (at, file) in files.iter().enumerate() {
        let path = dir.path().join(format!("{at}.onnx"));
        std::fs::write(&path, file).unwrap();
        let options = LoadOptions {
            onnxruntime: Some(library.clone()),
            device: Device::Cpu,
            threads: Some(2),
            ..load_options()
        };
        let session = Session::open(&path, &options).unwrap();
        for workload in [Workload::Single, Workload::Stream] {
            let read = |views: &[super::super::View<'_>]| {
                views.iter().map(|view| view.values.to_vec()).collect::<Vec<_>>()
            };
            found[at].extend(session.run(workload, inputs, outputs, read).unwrap());
        }
    }
    Some(found)
}

/// Three products of the rows `x`, the last of a copy of them if `apart`.
fn three_products(element: &str, apart: bool) -> Vec<u8> {
    const K: usize = 32;
    let widths = [48, 32, 21];
    let tensor = |name: String, element: u64, dims: &[usize], data: &[u8]| {
        let dims = dims.iter().flat_map(|&dim| int(1, dim as u64)).collect();
        field(5, [dims, int(2, element), field(8, name), field(9, data)].concat())
    };
    let mut parts = vec![field(2, "g"), tensor("zero".to_owned(), 2, &[], &[128])];
    let rows: &[&str] = match element {
        "int8" => &["q", "s", "zero"],
        _ => &["x"],
    };
    let copies: Vec<String> = rows.iter().map(|row| format!("{row}_copy")).collect();
    let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
    if element == "int8" {
        parts.push(call("QuantizeRows", DOMAIN, &["x"], &["q", "s"]));
    }
    if apart {
        for (row, copy) in rows.iter().zip(&copies) {
            parts.push(call("Identity", "", &[row], &[copy]));
        }
    }
    for (at, n) in widths.into_iter().enumerate() {
        let last = if apart && at == 2 { copies.as_slice() } else { rows };
        let [w, bias, size] = ["w", "bias", "size"].map(|name| format!("{name}{at}"));
        let y = format!("y{at}");
        let bytes: Vec<u8> = [K, n].iter().flat_map(|&n| (n as i64).to_le_bytes()).collect();
        parts.push(tensor(size.clone(), 7, &[2], &bytes));
        parts.push(tensor(bias.clone(), 1, &[n], &numbers(n, 1)));
        match element {
            "int8" => {
                let packed = pack(&(0..K * n).map(|at| (at % 37) as i8).collect::<Vec<_>>(), K, n);
                let sums: Vec<u8> =
                    packed.column_sums.iter().flat_map(|n| n.to_le_bytes()).collect();
                let bytes: Vec<u8> = packed.weights.iter().map(|n| n.cast_unsigned()).collect();
                let [sum, scale] = ["sums", "scales"].map(|name| format!("{name}{at}"));
                parts.push(tensor(w.clone(), 3, &packed.shape, &bytes));
                parts.push(tensor(sum.clone(), 6, &[n], &sums));
                parts.push(tensor(scale.clone(), 1, &[n], &numbers(n, 2)));
                let inputs = [last, &[&w, &sum, &scale, &bias, &size]].concat();
                parts.push(call("MultiplyRows", DOMAIN, &inputs, &[&y]));
            }
            "bf16" => {
                let bits = floats(K * n, 3).into_iter().map(round_to_bf16).collect::<Vec<_>>();
                let (packed, shape) = pack_bf16(&bits, K, n);
                let bytes: Vec<u8> = packed.iter().flat_map(|bits| bits.to_le_bytes()).collect();
                parts.push(tensor(w.clone(), 4, &shape, &bytes));
                let inputs = [last, &[&w, &bias, &size]].concat();
                parts.push(call("MultiplyBf16", DOMAIN, &inputs, &[&y]));
            }
            _ => {
                parts.push(tensor(w.clone(), 1, &[K, n], &numbers(K * n, 3)));
                parts.push(call("MatMul", "", &[last[0], &w], &[&y]));
            }
        }
        parts.push(field(12, port(&y, 1, &[0, n as u64])));
    }
    parts.push(field(11, port("x", 1, &[0, K as u64])));
    let own = field(8, [field(1, DOMAIN), int(2, 1)].concat());
    [model(&parts), own].concat()
}

/// As queries, keys and values are: the same bits as from three operators.
#[test]
fn three_products_of_the_same_rows_are_one_operator() {
    for (element, operator) in
        [("int8", "MultiplyRowsThree"), ("bf16", "MultiplyBf16Three"), ("f32", "LinearThree")]
    {
        let files = [false, true].map(|apart| three_products(element, apart));
        if element == "f32" && Kernel::fastest().is_none() {
            continue;
        }
        let of = |file: &[u8]| InMemory::of(file, "m", &BTreeMap::new(), Kernel::fastest());
        let (model, _) = of(&files[0]).unwrap();
        assert!(operators(&model).0.contains(&operator.to_owned()), "{element}");
        let apart = of(&files[1]).map(|(model, _)| operators(&model).0);
        assert!(!apart.unwrap_or_default().contains(&operator.to_owned()), "{element}");
        if element == "bf16" && bf16::kernel_name().is_none() {
            continue;
        }
        // Few rows, of which threads share the columns, and more than a part of each thread.
        for rows in [1, 5, 700] {
            let x = floats(rows * 32, 9);
            let input = Input { name: "x", shape: &[rows, 32], values: Values::F32(&x) };
            let Some([together, apart]) = run(&files, &[input], &[0, 1, 2]) else { return };
            assert_eq!(together, apart, "{element} {rows}");
            assert_eq!(together[2].len(), rows * 21);
        }
    }
}
