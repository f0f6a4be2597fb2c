//! A reader of ONNX files without the runtime: operators of the graph, and files with external data.
//!
//! Only the outer fields of the protobuf are walked, each length checked against the bytes left, and
//! weights are skipped, so that a file of gigabytes is read in moments. The runtime reads the file with
//! protobuf's own parser: a field that one finds, the other has to find, or a file could hide it.

use std::{collections::BTreeSet, path::Path};

use embedkit_types::Precision;

use super::operators::{BF16_MAT_MUL, BF16_MAT_MUL_GELU, Q_MAT_MUL, Q_MAT_MUL_GELU};
use crate::error::Error;

/// Operators that quantise activations by the range of the whole batch, so that a row's result
/// depends on its neighbours.
const DYNAMIC_QUANTIZERS: [&[u8]; 4] = [
    b"DynamicQuantizeLinear",
    b"DynamicQuantizeMatMul",
    b"DynamicQuantizeLSTM",
    b"MatMulIntegerToFloat",
];
/// Nested subgraphs that are followed. Each is three messages deep, and protobuf refuses a hundred.
const DEPTH: usize = 40;

/// Facts that the file shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// True for a graph whose rows depend on their neighbours in the batch.
    pub(crate) depends_on_batch: bool,
    /// Precision of its products.
    pub(crate) precision: Precision,
    /// Files with external data, by the names that the graph gives them.
    pub(crate) external: BTreeSet<Vec<u8>>,
}

/// Reads the outline of a file.
///
/// # Errors
/// [`Error::Read`]. A file that is not ONNX is reported by the runtime, which knows better.
pub(crate) fn outline(path: &Path) -> Result<Outline, Error> {
    Ok(map(path)?.map_or_else(Outline::default, |map| Outline::of(&map)))
}

impl Outline {
    /// Reads a `ModelProto`: its graph is field 7, training information field 20, with graphs as 1
    /// and 2, and functions are field 25, with nodes as 7 and attributes as 11.
    pub(crate) fn of(model: &[u8]) -> Self {
        let mut outline = Self::default();
        for (field, body) in messages(model) {
            match field {
                7 => outline.graph(body, DEPTH),
                20 => {
                    let graphs = messages(body).filter(|(field, _)| matches!(field, 1 | 2));
                    graphs.for_each(|(_, graph)| outline.graph(graph, DEPTH));
                }
                25 => {
                    for (field, body) in messages(body) {
                        match field {
                            7 => outline.node(body, DEPTH),
                            11 => outline.attribute(body, DEPTH),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        outline
    }

    /// A `GraphProto`: nodes are field 1, tensors field 5, sparse ones field 15.
    fn graph(&mut self, graph: &[u8], depth: usize) {
        for (field, body) in messages(graph) {
            match field {
                1 => self.node(body, depth),
                5 => self.tensor(body),
                15 => self.sparse(body),
                _ => {}
            }
        }
    }

    /// A `NodeProto`: its operator is field 4, attributes are field 5.
    fn node(&mut self, node: &[u8], depth: usize) {
        for (field, body) in messages(node) {
            match field {
                4 => {
                    self.depends_on_batch |= DYNAMIC_QUANTIZERS.contains(&body);
                    let products = [
                        (Precision::Int8, [Q_MAT_MUL, Q_MAT_MUL_GELU]),
                        (Precision::Bf16, [BF16_MAT_MUL, BF16_MAT_MUL_GELU]),
                    ];
                    for (precision, operators) in products {
                        if operators.map(str::as_bytes).contains(&body) {
                            self.precision = precision;
                        }
                    }
                }
                5 => self.attribute(body, depth),
                _ => {}
            }
        }
    }

    /// An `AttributeProto`: a tensor is field 5 and tensors are 10, graphs 6 and 11, sparse tensors 22
    /// and 23.
    fn attribute(&mut self, attribute: &[u8], depth: usize) {
        for (field, body) in messages(attribute) {
            match field {
                5 | 10 => self.tensor(body),
                6 | 11 if depth > 0 => self.graph(body, depth - 1),
                22 | 23 => self.sparse(body),
                _ => {}
            }
        }
    }

    /// A `SparseTensorProto`: values are field 1, indices field 2.
    fn sparse(&mut self, sparse: &[u8]) {
        let tensors = messages(sparse).filter(|(field, _)| matches!(field, 1 | 2));
        tensors.for_each(|(_, tensor)| self.tensor(tensor));
    }

    /// A `TensorProto`: it lies in a file where field 14 is 1, and `external_data`, field 13, is then of
    /// pairs of a key (field 1) and a value (field 2).
    fn tensor(&mut self, tensor: &[u8]) {
        // Enumerations have 32 bits; more are cut off.
        let is_external = fields(tensor).any(
            |(field, value)| matches!(value, Value::Number(n) if field == 14 && n as u32 == 1),
        );
        if !is_external {
            return;
        }
        for (_, entry) in messages(tensor).filter(|(field, _)| *field == 13) {
            let parts = |number| {
                let parts = messages(entry).filter(move |(field, _)| *field == number);
                parts.map(|(_, part)| part)
            };
            // Of several the last counts; each is looked at.
            if parts(1).any(|key| key == b"location") {
                self.external.extend(parts(2).map(<[u8]>::to_vec));
            }
        }
    }
}

/// Value of a field, as far as it is looked at.
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of bytes of a protobuf message.
pub(super) fn messages(message: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    fields(message).filter_map(|(field, value)| match value {
        Value::Bytes(bytes) => Some((field, bytes)),
        Value::Number(_) => None,
    })
}

/// The bytes of a file; `None` where it has none.
#[expect(unsafe_code, reason = "a memory map; reading gigabytes to find a name would be waste")]
pub(super) fn map(path: &Path) -> Result<Option<memmap2::Mmap>, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source: std::sync::Arc::new(source) };
    let file = std::fs::File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the map is read once, now, by code that tolerates any content; a file that another
    // process cuts short meanwhile is as fatal for the runtime, which maps it too.
    unsafe { memmap2::Mmap::map(&file) }.map(Some).map_err(read)
}

/// The fields of a protobuf message; ends at the first malformed byte.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u32, Value<'_>)> {
    std::iter::from_fn(move || {
        loop {
            // As protobuf reads a key: five bytes at most, and what is beyond 32 bits is cut off.
            let key = varint(&mut bytes)? as u32;
            let number = key >> 3;
            let skip = match key & 7 {
                0 => return Some((number, Value::Number(varint(&mut bytes)?))),
                1 => 8,
                2 => usize::try_from(varint(&mut bytes)?).ok()?,
                // Begin and end of a group, which nothing here has; what is in it is looked at as if
                // there were none.
                3 | 4 => continue,
                5 => 4,
                _ => return None,
            };
            let (body, rest) = bytes.split_at_checked(skip)?;
            bytes = rest;
            if key & 7 == 2 {
                return Some((number, Value::Bytes(body)));
            }
        }
    })
}

/// A variable-length integer, of which the bytes are taken away.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        for mut number in [number << 3 | 2, body.len() as u64] {
            while number > 0x7f {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
        bytes.extend_from_slice(body);
        bytes
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        file
    }

    #[test]
    fn finds_the_operator_in_the_graph_in_subgraphs_and_in_functions() {
        let node = field(1, &field(4, b"DynamicQuantizeLinear"));
        let model = field(7, &node);
        assert!(outline(file(&model).path()).unwrap().depends_on_batch);
        let attribute = field(5, &field(6, &node));
        let nested = field(7, &field(1, &attribute));
        assert!(outline(file(&nested).path()).unwrap().depends_on_batch);
        let function = field(25, &field(7, &field(4, b"DynamicQuantizeLinear")));
        assert!(outline(file(&function).path()).unwrap().depends_on_batch);
        let plain = field(7, &field(1, &field(4, b"MatMul")));
        assert!(!outline(file(&plain).path()).unwrap().depends_on_batch);
    }

    #[test]
    fn products_have_the_precision_of_their_operator() {
        for (operator, precision) in [
            (BF16_MAT_MUL, Precision::Bf16),
            (BF16_MAT_MUL_GELU, Precision::Bf16),
            (Q_MAT_MUL, Precision::Int8),
            (Q_MAT_MUL_GELU, Precision::Int8),
            ("MatMul", Precision::F32),
        ] {
            let model = field(7, &field(1, &field(4, operator.as_bytes())));
            assert_eq!(Outline::of(&model).precision, precision, "{operator}");
        }
    }

    /// A pair of `external_data`.
    fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
        field(13, &[field(1, key), field(2, value)].concat())
    }

    /// A tensor whose numbers are in a file.
    fn tensor(name: &[u8]) -> Vec<u8> {
        [field(8, b"w"), entry(b"location", name), entry(b"offset", b"0"), vec![14 << 3, 1]]
            .concat()
    }

    fn external(model: &[u8]) -> Vec<String> {
        let names = Outline::of(model).external.into_iter();
        names.map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn files_with_weights_are_named_wherever_a_tensor_can_stand() {
        let a = tensor(b"a");
        let tensors = [tensor(b"b"), a.clone(), a.clone()].map(|tensor| field(5, &tensor)).concat();
        assert_eq!(external(&field(7, &tensors)), ["a", "b"]);
        let sparse = |number| field(number, &[field(1, &a), field(2, &tensor(b"b"))].concat());
        assert_eq!(external(&field(7, &sparse(15))), ["a", "b"]);
        let attributes = [field(5, &a), field(10, &a), sparse(22), sparse(23)];
        let attributes = attributes.into_iter().chain([6, 11].map(|at| field(at, &field(5, &a))));
        for attribute in attributes.map(|attribute| field(5, &attribute)) {
            let found = external(&field(7, &field(1, &attribute)));
            assert_eq!(found.first().map(String::as_str), Some("a"));
            // In a function, and as deep as protobuf reads.
            assert!(!external(&field(25, &field(7, &attribute))).is_empty());
            let nested =
                (0..33).fold(attribute, |attribute, _| field(5, &field(6, &field(1, &attribute))));
            assert!(!external(&field(7, &field(1, &nested))).is_empty());
        }
        assert_eq!(external(&field(25, &field(11, &field(5, &a)))), ["a"]);
        for graph in [1, 2] {
            assert_eq!(external(&field(20, &field(graph, &field(5, &a)))), ["a"]);
        }
    }

    /// Whatever is odd in it, protobuf reads each of these.
    #[test]
    fn no_encoding_hides_a_file_with_weights() {
        let graph = |parts: &[&[u8]]| field(7, &field(5, &parts.concat()));
        let plain = entry(b"location", b"a");
        let pair = |parts: &[Vec<u8>]| field(13, &parts.concat());
        let (key, value) = (field(1, b"location"), field(2, b"a"));
        let is_external: &[u8] = &[14 << 3, 1];
        for tensor in [
            graph(&[is_external, &plain]),
            graph(&[&plain, &[14 << 3, 0], is_external]),
            // A key that comes twice, and in the other order.
            graph(&[&pair(&[field(1, b"x"), key.clone(), value.clone()]), is_external]),
            graph(&[&pair(&[value.clone(), key.clone()]), is_external]),
            // A group before it, and around nothing.
            graph(&[&[0xa3, 6, 8, 1, 0xa4, 6], &plain, is_external]),
            // More bytes than needed, for a number and for a key.
            graph(&[&plain, &[14 << 3, 0x81, 0x80, 0]]),
            graph(&[&plain, &[0xf0, 0x80, 0x80, 0x80, 0x00, 1]]),
            // Bits beyond the 32 that count.
            graph(&[&plain, &[14 << 3, 0x81, 0x80, 0x80, 0x80, 0x10]]),
            graph(&[&plain, &[0xf0, 0x80, 0x80, 0x80, 0x70, 1]]),
        ] {
            assert_eq!(external(&tensor), ["a"], "{tensor:x?}");
        }
        // Without the mark the runtime takes the numbers from this file.
        assert!(external(&graph(&[&plain])).is_empty());
        assert!(external(&graph(&[&plain, &[14 << 3, 0]])).is_empty());
    }

    #[test]
    fn tolerates_any_bytes() {
        let mut state = 1u64;
        for length in 0..300 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            outline(file(&bytes).path()).unwrap();
        }
    }
}
