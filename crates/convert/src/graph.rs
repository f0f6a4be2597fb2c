//! Builder of ONNX graphs: operators, constants and references to weights.
//!
//! Values are known by name. Field numbers are those of `onnx.proto`.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;

use crate::checkpoint::Located;
use crate::protobuf::Message;

/// ONNX's number for f32.
pub const FLOAT: i64 = 1;
pub(crate) const FLOAT16: i64 = 10;
pub(crate) const INT64: i64 = 7;
const ATTRIBUTE_FLOAT: i64 = 1;
const ATTRIBUTE_INT: i64 = 2;
const ATTRIBUTE_TEXT: i64 = 3;
const ATTRIBUTE_TENSOR: i64 = 4;
const ATTRIBUTE_INTS: i64 = 7;

/// Name of a value in the graph.
pub type Value = String;

/// A graph without the numbers of its weights.
#[derive(Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// Encoded tensors by name, sorted so that the file is deterministic.
    pub(crate) constants: BTreeMap<String, Message>,
    pub(crate) weights: Vec<Weight>,
    named: BTreeSet<String>,
    /// Constants and weights are f16.
    pub(crate) half: bool,
    /// Inputs, in order.
    pub inputs: Vec<Port>,
    /// The output.
    pub output: Port,
}

/// An operator with its inputs and outputs.
pub(crate) struct Node {
    operator: String,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    /// Encoded.
    attributes: Vec<Message>,
}

/// A tensor of the checkpoint in the form that the graph needs.
pub(crate) struct Weight {
    pub(crate) name: Value,
    pub(crate) source: Located,
    /// Stores the transpose of the checkpoint's matrix.
    pub(crate) transposed: bool,
    /// Stores f16.
    pub(crate) half: bool,
}

/// An input or output of the graph.
#[derive(Clone, Default)]
pub struct Port {
    /// Its name.
    pub name: Value,
    /// ONNX's number for the element type.
    pub element: i64,
    /// Its shape.
    pub shape: Vec<Dim>,
}

/// A dimension of a shape.
#[derive(Clone)]
pub enum Dim {
    /// A named dimension that varies between runs.
    Named(&'static str),
    /// A fixed dimension.
    Fixed(usize),
}

/// Name of the batch dimension.
pub const BATCH: Dim = Dim::Named("batch_size");
pub(crate) const SEQUENCE: Dim = Dim::Named("sequence_length");

/// An operator's attribute.
#[expect(missing_docs, reason = "the types of ONNX")]
pub enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
    /// An encoded tensor.
    Tensor(&'a [u8]),
}

impl Graph {
    /// Adds an operator with one output and returns that value.
    pub(crate) fn add(&mut self, operator: &str, inputs: &[&str]) -> Value {
        self.add_with(operator, inputs, &[])
    }

    /// [`add`](Self::add) with attributes.
    pub fn add_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> Value {
        let output = format!("{operator}_{}", self.nodes.len());
        self.add_named(operator, inputs, attributes, &output);
        output
    }

    /// [`add_with`](Self::add_with) with a given name for the value.
    pub fn add_named(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        output: &str,
    ) {
        self.push(operator, inputs, attributes, vec![output.to_owned()]);
    }

    /// [`add_with`](Self::add_with) for an operator of `N` outputs.
    pub(crate) fn add_many<const N: usize>(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> [Value; N] {
        let mut outputs = self.add_list(operator, inputs, attributes, N).into_iter();
        std::array::from_fn(|_| outputs.next().unwrap_or_default())
    }

    /// [`add_with`](Self::add_with) for an operator of `count` outputs.
    pub(crate) fn add_list(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        count: usize,
    ) -> Vec<Value> {
        let node = self.nodes.len();
        let outputs: Vec<_> =
            (0..count).map(|index| format!("{operator}_{node}_{index}")).collect();
        self.push(operator, inputs, attributes, outputs.clone());
        outputs
    }

    fn push(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        outputs: Vec<Value>,
    ) {
        self.nodes.push(Node {
            operator: operator.to_owned(),
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            outputs,
            attributes: attributes.iter().map(|(name, value)| value.encode(name)).collect(),
        });
    }

    /// Gives the value `from` the name `to`, wherever it stands.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        for node in &mut self.nodes {
            for value in node.inputs.iter_mut().chain(&mut node.outputs) {
                if value == from {
                    to.clone_into(value);
                }
            }
        }
    }

    /// A weight, stored once even if it is used several times. `name` says which tensor and which part
    /// of it `source` is.
    pub(crate) fn weight(&mut self, name: &str, source: Located, transposed: bool) -> Value {
        let value = if transposed { format!("{name}.transposed") } else { name.to_owned() };
        if self.named.insert(value.clone()) {
            let half = self.half;
            self.weights.push(Weight { name: value.clone(), source, transposed, half });
        }
        value
    }

    /// ONNX's number for the type of constants and weights.
    pub(crate) fn element(&self) -> i64 {
        if self.half { FLOAT16 } else { FLOAT }
    }

    /// A scalar.
    pub fn float(&mut self, number: f32) -> Value {
        let name = format!("float_{number:e}");
        self.constant(&name, &[], &[number], self.element())
    }

    /// A tensor in memory, in row-major order.
    pub fn floats(&mut self, name: &str, shape: &[u64], numbers: &[f32]) -> Value {
        self.constant(name, shape, numbers, self.element())
    }

    /// A tensor that is f32 in every graph.
    pub(crate) fn full_floats(&mut self, name: &str, shape: &[u64], numbers: &[f32]) -> Value {
        self.constant(name, shape, numbers, FLOAT)
    }

    fn constant(&mut self, name: &str, shape: &[u64], numbers: &[f32], element: i64) -> Value {
        self.constants.entry(name.to_owned()).or_insert_with(|| {
            let raw: Vec<u8> = if element == FLOAT16 {
                numbers.iter().flat_map(|&number| f16::from_f32(number).to_le_bytes()).collect()
            } else {
                numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
            };
            tensor(name, shape, element).bytes(9, raw)
        });
        name.to_owned()
    }

    /// A list of i64, such as axes or a shape.
    pub fn ints(&mut self, numbers: &[i64]) -> Value {
        let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        let name = format!("ints_{}", words.join("_"));
        self.int_table(&name, numbers);
        name
    }

    /// An i64 scalar.
    pub(crate) fn int(&mut self, number: i64) -> Value {
        let name = format!("int_{number}");
        let content = || tensor(&name, &[], INT64).bytes(9, number.to_le_bytes());
        self.constants.entry(name.clone()).or_insert_with(content);
        name
    }

    /// A named list of i64.
    pub(crate) fn int_table(&mut self, name: &str, numbers: &[i64]) {
        self.constants.entry(name.to_owned()).or_insert_with(|| {
            let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            tensor(name, &[numbers.len() as u64], INT64).bytes(9, raw)
        });
    }

    /// An input of int64, `[batch_size, sequence_length]`.
    pub(crate) fn input(&mut self, name: &str) -> Value {
        self.input_of(name, INT64, vec![BATCH, SEQUENCE])
    }

    pub(crate) fn input_of(&mut self, name: &str, element: i64, shape: Vec<Dim>) -> Value {
        self.inputs.push(Port { name: name.to_owned(), element, shape });
        name.to_owned()
    }
}

impl Node {
    /// Encodes the node with the place that it has in the graph.
    pub(crate) fn encode(&self, place: usize) -> Message {
        Message::new()
            .each(&self.inputs, |node, input| node.bytes(1, input))
            .each(&self.outputs, |node, output| node.bytes(2, output))
            .bytes(3, format!("node_{place}"))
            .bytes(4, &self.operator)
            .each(&self.attributes, |node, attribute| node.bytes(5, attribute))
    }
}

impl Weight {
    /// Dimensions of the tensor in the graph.
    pub(crate) fn shape(&self) -> Vec<u64> {
        let mut shape = self.source.shape().to_vec();
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    /// Encoded fields before the tensor's numbers.
    pub(crate) fn announcement(&self) -> Message {
        tensor(&self.name, &self.shape(), if self.half { FLOAT16 } else { FLOAT })
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let each = if self.half { 2 } else { 4 };
        each * self.source.shape().iter().product::<u64>() // within 64 bits: the file holds half of it
    }
}

/// Encodes a tensor without its numbers.
pub(crate) fn tensor(name: &str, shape: &[u64], element: i64) -> Message {
    Message::new()
        .each(shape, |tensor, &dim| tensor.int(1, dim.cast_signed()))
        .int(2, element)
        .bytes(8, name)
}

impl Attribute<'_> {
    pub(crate) fn encode(&self, name: &str) -> Message {
        let attribute = Message::new().bytes(1, name);
        match self {
            Self::Float(number) => attribute.float(2, *number).int(20, ATTRIBUTE_FLOAT),
            Self::Int(number) => attribute.int(3, *number).int(20, ATTRIBUTE_INT),
            Self::Text(text) => attribute.bytes(4, text).int(20, ATTRIBUTE_TEXT),
            Self::Ints(numbers) => attribute
                .each(*numbers, |attribute, &number| attribute.int(8, number))
                .int(20, ATTRIBUTE_INTS),
            Self::Tensor(tensor) => attribute.bytes(5, tensor).int(20, ATTRIBUTE_TENSOR),
        }
    }
}

impl Port {
    /// Encodes the port as a `ValueInfoProto`.
    pub(crate) fn encode(&self) -> Message {
        let shape = Message::new().each(&self.shape, |shape, dim| {
            shape.bytes(
                1,
                match dim {
                    Dim::Named(name) => Message::new().bytes(2, name),
                    Dim::Fixed(size) => Message::new().int(1, *size as i64),
                },
            )
        });
        let kind = Message::new().int(1, self.element).bytes(2, shape);
        Message::new().bytes(1, &self.name).bytes(2, Message::new().bytes(1, kind))
    }
}
