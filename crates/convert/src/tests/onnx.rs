//! Minimal protobuf reader that inspects written models without a runtime.

use std::collections::BTreeMap;

/// A message: its fields in order.
pub(super) struct Fields<'a>(Vec<(u64, Field<'a>)>);

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    pub(super) fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(
                        bytes.split_off(..length).expect("a field ends within its message"),
                    )
                }
                5 => {
                    let number = bytes.split_off(..4).expect("four bytes");
                    Field::Number(u32::from_le_bytes(number.try_into().unwrap()).into())
                }
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    pub(super) fn all(&self, number: u64) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(key, field)| match field {
            Field::Bytes(bytes) if *key == number => Some(*bytes),
            _ => None,
        })
    }

    pub(super) fn numbers(&self, number: u64) -> impl Iterator<Item = u64> {
        self.0.iter().filter_map(move |(key, field)| match field {
            Field::Number(value) if *key == number => Some(*value),
            _ => None,
        })
    }

    pub(super) fn text(&self, number: u64) -> &'a str {
        std::str::from_utf8(self.all(number).next().unwrap_or_default()).unwrap()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.split_off_first().expect("a number ends within its message");
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

/// A stored tensor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) dims: Vec<u64>,
    pub(super) element: u64,
    pub(super) raw: Vec<u8>,
    /// `location`, `offset` and `length`, if the numbers are in another file.
    pub(super) external: BTreeMap<String, String>,
}

/// Properties of a model that tests check.
pub(super) struct Model {
    pub(super) ir_version: u64,
    pub(super) opset: u64,
    /// Operator of each node.
    pub(super) operators: Vec<String>,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
}

impl Model {
    /// Reads a model and checks that every value is defined exactly once, before it is used.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let model = Fields::read(bytes);
        let graph = Fields::read(model.all(7).next().expect("a graph"));
        let opset = Fields::read(model.all(8).next().expect("an opset"));
        let names = |field| graph.all(field).map(|port| Fields::read(port).text(1).to_owned());
        let tensors: BTreeMap<_, _> = graph.all(5).map(read_tensor).collect();
        assert_eq!(tensors.len(), graph.all(5).count(), "every tensor has a name of its own");
        let model = Self {
            ir_version: model.numbers(1).next().unwrap(),
            opset: opset.numbers(2).next().unwrap(),
            operators: graph.all(1).map(|node| Fields::read(node).text(4).to_owned()).collect(),
            tensors,
            inputs: names(11).collect(),
            outputs: names(12).collect(),
        };
        let mut defined: Vec<String> =
            model.inputs.iter().chain(model.tensors.keys()).cloned().collect();
        let mut used = Vec::new();
        for node in graph.all(1).map(Fields::read) {
            for input in node.all(1) {
                let input = std::str::from_utf8(input).unwrap().to_owned();
                if input.is_empty() {
                    continue; // an input that is left out
                }
                assert!(defined.contains(&input), "{input} is used before it is defined");
                used.push(input);
            }
            let several = node.all(2).count() > 1;
            for output in node.all(2) {
                let output = std::str::from_utf8(output).unwrap().to_owned();
                assert!(!defined.contains(&output), "{output} is defined twice");
                // An operator's other outputs may be of no use.
                if several {
                    used.push(output.clone());
                }
                defined.push(output);
            }
        }
        for value in &defined {
            assert!(used.contains(value) || model.outputs.contains(value), "{value} is not used");
        }
        model
    }
}

fn read_tensor(bytes: &[u8]) -> (String, Tensor) {
    let fields = Fields::read(bytes);
    let entries = fields.all(13).map(Fields::read);
    let tensor = Tensor {
        dims: fields.numbers(1).collect(),
        element: fields.numbers(2).next().unwrap(),
        raw: fields.all(9).next().unwrap_or_default().to_vec(),
        external: entries
            .map(|entry| (entry.text(1).to_owned(), entry.text(2).to_owned()))
            .collect(),
    };
    (fields.text(8).to_owned(), tensor)
}
