//! A look into an ONNX file without the runtime: which operators does the graph use, and which files
//! have its weights?
//!
//! Only the outer fields of the protobuf are walked, each length checked against what is left, and
//! weights are skipped, so that a file of gigabytes is read in moments.

use std::{collections::BTreeSet, path::Path};

use crate::error::Error;

/// Operators that quantise activations by the range of the whole batch, so that a row's result
/// depends on its neighbours.
const DYNAMIC_QUANTIZERS: [&[u8]; 4] = [
    b"DynamicQuantizeLinear",
    b"DynamicQuantizeMatMul",
    b"DynamicQuantizeLSTM",
    b"MatMulIntegerToFloat",
];

/// The facts that a look into the file shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// True if a row's result depends on its neighbours in the batch.
    pub(crate) depends_on_batch: bool,
    /// The files beside this one that have weights, by the names that the graph gives them.
    pub(crate) external: BTreeSet<String>,
}

/// Looks into a file.
///
/// # Errors
/// [`Error::Read`]. A file that is not ONNX is reported by the runtime, which knows better.
#[expect(unsafe_code, reason = "a memory map; reading gigabytes to find a name would be waste")]
pub(crate) fn outline(path: &Path) -> Result<Outline, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source: std::sync::Arc::new(source) };
    let file = std::fs::File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.len() == 0 {
        return Ok(Outline::default());
    }
    // SAFETY: the map is read once, now, by code that tolerates any content; a file that another
    // process cuts short meanwhile is as fatal for the runtime, which maps it too.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(read)?;
    // `ModelProto`: the graph is field 7, functions are field 25.
    let depends_on_batch = fields(&map).any(|(field, body)| match field {
        7 => uses_dynamic_quantizer(body, GRAPH_NODE, 0),
        25 => uses_dynamic_quantizer(body, FUNCTION_NODE, 0),
        _ => false,
    });
    let graphs = fields(&map).filter(|(field, _)| *field == 7);
    let external = graphs.flat_map(|(_, graph)| external(graph)).collect();
    Ok(Outline { depends_on_batch, external })
}

/// Where tensors of a graph lie that are not in the file: `initializer` is field 5 of `GraphProto`,
/// `external_data` field 13 of `TensorProto`, with pairs of a key (field 1) and a value (field 2).
fn external(graph: &[u8]) -> impl Iterator<Item = String> {
    let tensors = fields(graph).filter(|(field, _)| *field == 5);
    let entries = tensors.flat_map(|(_, tensor)| fields(tensor)).filter(|(field, _)| *field == 13);
    entries.filter_map(|(_, entry)| {
        let part =
            |number| fields(entry).find_map(|(field, body)| (field == number).then_some(body));
        (part(1) == Some(b"location")).then_some(())?;
        String::from_utf8(part(2)?.to_vec()).ok()
    })
}

/// Field of a `GraphProto` that holds a node.
const GRAPH_NODE: u64 = 1;
/// Field of a `FunctionProto` that holds a node.
const FUNCTION_NODE: u64 = 7;

/// `NodeProto`: the operator is field 4, attributes are field 5, and an attribute's subgraph is
/// field 6.
fn uses_dynamic_quantizer(body: &[u8], nodes: u64, depth: usize) -> bool {
    depth < 8
        && fields(body).filter(|(field, _)| *field == nodes).any(|(_, node)| {
            fields(node).any(|(field, bytes)| match field {
                4 => DYNAMIC_QUANTIZERS.contains(&bytes),
                5 => fields(bytes).any(|(field, body)| {
                    field == 6 && uses_dynamic_quantizer(body, GRAPH_NODE, depth + 1)
                }),
                _ => false,
            })
        })
}

/// The length-delimited fields of a protobuf message; ends at the first malformed byte.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let key = varint(&mut bytes)?;
            let skip = match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut bytes)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let (body, rest) = bytes.split_at_checked(skip)?;
            bytes = rest;
            if key & 7 == 2 {
                return Some((key >> 3, body));
            }
        }
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
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
    fn files_with_weights_are_named() {
        let entry =
            |key: &[u8], value: &[u8]| field(13, &[field(1, key), field(2, value)].concat());
        let tensor = |name: &[u8]| {
            field(5, &[field(8, b"w"), entry(b"location", name), entry(b"offset", b"0")].concat())
        };
        let model = field(7, &[tensor(b"a.data"), tensor(b"b.data"), tensor(b"a.data")].concat());
        let outline = outline(file(&model).path()).unwrap();
        assert_eq!(outline.external.into_iter().collect::<Vec<_>>(), ["a.data", "b.data"]);
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
