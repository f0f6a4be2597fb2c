//! Reads an ONNX model as far as quantisation needs it: nodes, tensors, producers and consumers.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{Field, Malformed, Value, fields};
use crate::graph::FLOAT;

/// Field numbers of `ModelProto`.
pub(super) const MODEL_IR_VERSION: u64 = 1;
pub(super) const MODEL_GRAPH: u64 = 7;
pub(super) const MODEL_OPSET: u64 = 8;
pub(super) const MODEL_FUNCTION: u64 = 25;
/// Field numbers of `GraphProto`.
pub(super) const GRAPH_NODE: u64 = 1;
pub(super) const GRAPH_INITIALIZER: u64 = 5;
pub(super) const GRAPH_INPUT: u64 = 11;
pub(super) const GRAPH_OUTPUT: u64 = 12;
/// ONNX's number for i64.
const INT64: u64 = 7;
/// Maximum elements of a constant that is read as integers: a shape has one for each dimension.
const FEW: usize = 8;
/// Maximum depth of nested subgraphs.
const DEPTH: usize = 16;

/// A model file.
pub(super) struct Model<'a> {
    /// All fields, the graph included.
    pub(super) fields: Vec<Field<'a>>,
    /// Opset of the standard operators.
    pub(super) opset: u64,
    pub(super) graph: Graph<'a>,
}

/// A graph.
#[derive(Default)]
pub(super) struct Graph<'a> {
    /// All fields, in order.
    pub(super) fields: Vec<Field<'a>>,
    pub(super) nodes: Vec<Node<'a>>,
    /// Tensors by name, without those that an input of the same name may replace.
    pub(super) tensors: BTreeMap<&'a str, Tensor<'a>>,
    /// Name of each tensor field, in order.
    pub(super) tensor_names: Vec<&'a str>,
    pub(super) inputs: Vec<Port<'a>>,
    pub(super) outputs: BTreeSet<&'a str>,
    /// Constants of one element.
    scalars: BTreeMap<&'a str, f32>,
    /// Constants of few i64.
    integers: BTreeMap<&'a str, Vec<i64>>,
    /// Index of the node that produces a value.
    pub(super) producers: BTreeMap<&'a str, usize>,
    /// Indices of the nodes that read a value, directly or in a subgraph.
    pub(super) consumers: BTreeMap<&'a str, Vec<usize>>,
    /// All names in use.
    pub(super) names: BTreeSet<&'a str>,
}

/// An operator with its inputs and outputs.
#[derive(Clone, Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) operator: &'a str,
    pub(super) domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: Vec<&'a [u8]>,
}

/// A tensor of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Tensor<'a> {
    pub(super) dims: Vec<u64>,
    element: u64,
    raw: Option<&'a [u8]>,
    floats: Vec<&'a [u8]>,
    /// The elements of few i64 that are not in `raw`.
    integers: Vec<u64>,
    external: bool,
}

/// An input of the graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Port<'a> {
    pub(super) name: &'a str,
    /// ONNX's number for the element type.
    pub(super) element: u64,
    /// Number of dimensions, if the file says so.
    pub(super) rank: Option<usize>,
}

impl<'a> Model<'a> {
    /// Reads a model.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let model_fields = fields(bytes)?;
        let mut graph = None;
        let mut opset = None;
        for field in &model_fields {
            match field.number {
                MODEL_GRAPH if graph.is_some() => return Err("it has two graphs".to_owned()),
                MODEL_GRAPH => graph = Some(Graph::read(field.bytes()?)?),
                MODEL_OPSET => {
                    let (mut domain, mut version) = ("", 0);
                    for field in fields(field.bytes()?)? {
                        match (field.number, field.value) {
                            (1, _) => domain = field.text()?,
                            (2, Value::Number(number)) => version = number,
                            _ => {}
                        }
                    }
                    if own(domain) {
                        opset = Some(version);
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            fields: model_fields,
            opset: opset.ok_or("it names no version of the operators")?,
            graph: graph.ok_or("it has no graph")?,
        })
    }
}

/// Returns `true` for the domain of standard ONNX operators.
fn own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

impl<'a> Graph<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut graph = Self::default();
        let graph_fields = fields(bytes)?;
        for field in &graph_fields {
            match field.number {
                GRAPH_NODE => graph.add(Node::read(field.bytes()?)?)?,
                GRAPH_INITIALIZER => {
                    let (name, tensor) = Tensor::read(field.bytes()?)?;
                    graph.names.insert(name);
                    graph.tensor_names.push(name);
                    graph.tensors.insert(name, tensor);
                }
                GRAPH_INPUT => graph.inputs.push(Port::read(field.bytes()?)?),
                GRAPH_OUTPUT => {
                    graph.outputs.insert(Port::read(field.bytes()?)?.name);
                }
                _ => {}
            }
        }
        graph.fields = graph_fields;
        for port in &graph.inputs {
            // A tensor that is an input, too, is only a default.
            graph.tensors.remove(port.name);
            graph.names.insert(port.name);
        }
        graph.names.extend(&graph.outputs);
        let constants = graph.nodes.iter().filter(|node| node.is("Constant"));
        let constants = constants.filter_map(|node| Some((*node.outputs.first()?, node.value()?)));
        let constants: Vec<_> = constants.collect();
        let tensors = graph.tensors.iter().map(|(name, tensor)| (*name, tensor));
        let all = tensors.chain(constants.iter().map(|(name, tensor)| (*name, tensor)));
        for (name, tensor) in all {
            if let Some(scalar) = tensor.scalar() {
                graph.scalars.insert(name, scalar);
            } else if let Some(integers) = tensor.integers() {
                graph.integers.insert(name, integers);
            }
        }
        Ok(graph)
    }

    fn add(&mut self, node: Node<'a>) -> Result<(), Malformed> {
        let at = self.nodes.len();
        let mut taken: BTreeSet<&str> = node.inputs.iter().copied().collect();
        for attribute in &node.attributes {
            taken_inside(attribute, &mut taken, 0)?;
        }
        for name in taken {
            self.consumers.entry(name).or_default().push(at);
            self.names.insert(name);
        }
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if self.producers.insert(name, at).is_some() {
                return Err(format!("two nodes give the value `{name}`"));
            }
            self.names.insert(name);
        }
        self.nodes.push(node);
        Ok(())
    }

    /// The node that produces `value`, if it is a standard operator.
    pub(super) fn producer(&self, value: &str) -> Option<&Node<'a>> {
        self.producers.get(value).map(|&at| &self.nodes[at])
    }

    /// Indices of the nodes that read `value`.
    pub(super) fn takers(&self, value: &str) -> &[usize] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    /// A constant of one element.
    pub(super) fn scalar(&self, value: &str) -> Option<f32> {
        self.scalars.get(value).copied()
    }

    /// A constant of up to [`FEW`] i64, such as a shape.
    pub(super) fn integers(&self, value: &str) -> Option<&[i64]> {
        self.integers.get(value).map(Vec::as_slice)
    }
}

/// Collects the values that subgraphs in an attribute read. Names defined in a subgraph are included,
/// which is harmless.
fn taken_inside<'a>(
    attribute: &'a [u8],
    taken: &mut BTreeSet<&'a str>,
    depth: usize,
) -> Result<(), Malformed> {
    if depth > DEPTH {
        return Err("its subgraphs are nested too deeply".to_owned());
    }
    for field in fields(attribute)?.iter().filter(|field| matches!(field.number, 6 | 11)) {
        for field in fields(field.bytes()?)? {
            match field.number {
                GRAPH_NODE => {
                    let node = Node::read(field.bytes()?)?;
                    taken.extend(node.inputs);
                    for attribute in node.attributes {
                        taken_inside(attribute, taken, depth + 1)?;
                    }
                }
                GRAPH_OUTPUT => {
                    taken.insert(Port::read(field.bytes()?)?.name);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut node = Self::default();
        for field in fields(bytes)? {
            match field.number {
                1 => node.inputs.push(field.name()?),
                2 => node.outputs.push(field.name()?),
                4 => node.operator = field.name()?,
                5 => node.attributes.push(field.bytes()?),
                7 => node.domain = field.name()?,
                _ => {}
            }
        }
        Ok(node)
    }

    /// Returns `true` if the node is this standard operator.
    pub(super) fn is(&self, operator: &str) -> bool {
        own(self.domain) && self.operator == operator
    }

    /// Fields of an attribute.
    fn attribute(&self, name: &str) -> Result<Option<Vec<Field<'a>>>, Malformed> {
        for attribute in &self.attributes {
            let body = fields(attribute)?;
            let named = body.iter().any(|field| field.number == 1 && field.text() == Ok(name));
            if named {
                return Ok(Some(body));
            }
        }
        Ok(None)
    }

    /// The tensor of a `Constant`.
    fn value(&self) -> Option<Tensor<'a>> {
        let body = self.attribute("value").ok()??;
        let tensor = body.iter().find(|field| field.number == 5)?.bytes().ok()?;
        Some(Tensor::read(tensor).ok()?.1)
    }

    /// An integer attribute, or its default.
    pub(super) fn int(&self, name: &str, default: u64) -> Result<u64, Malformed> {
        let body = self.attribute(name)?.unwrap_or_default();
        let int = body.iter().find(|field| field.number == 3);
        Ok(match int.map(|field| field.value) {
            Some(Value::Number(number)) => number,
            _ => default,
        })
    }

    /// Returns `true` for a `Transpose` of a matrix.
    pub(super) fn transposes_matrix(&self) -> Result<bool, Malformed> {
        Ok(self.is("Transpose") && matches!(self.ints("perm")?.as_slice(), [] | [1, 0]))
    }

    /// Integers of an attribute, none without it.
    pub(super) fn ints(&self, name: &str) -> Result<Vec<u64>, Malformed> {
        let mut ints = Vec::new();
        for field in self.attribute(name)?.unwrap_or_default() {
            if field.number == 8 {
                field.numbers(&mut ints)?;
            }
        }
        Ok(ints)
    }

    /// Returns `true` if a `Gelu` is the exact one, with the error function.
    pub(super) fn is_exact(&self) -> bool {
        match self.attribute("approximate") {
            Ok(Some(body)) => {
                body.iter().any(|field| field.number == 4 && field.text() == Ok("none"))
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// A float attribute, or its default.
    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, Malformed> {
        let body = self.attribute(name)?.unwrap_or_default();
        let float = body.iter().find(|field| field.number == 2);
        Ok(match float.map(|field| field.value) {
            Some(Value::Fixed(bytes)) => bytes.try_into().map_or(default, f32::from_le_bytes),
            _ => default,
        })
    }
}

impl<'a> Tensor<'a> {
    fn read(bytes: &'a [u8]) -> Result<(&'a str, Self), Malformed> {
        let (mut name, mut tensor) = ("", Self::default());
        for field in fields(bytes)? {
            match (field.number, field.value) {
                (1, _) => field.numbers(&mut tensor.dims)?,
                (2, Value::Number(number)) => tensor.element = number,
                (4, Value::Bytes(bytes) | Value::Fixed(bytes)) => tensor.floats.push(bytes),
                (7, _) if tensor.integers.len() <= FEW => field.numbers(&mut tensor.integers)?,
                (8, _) => name = field.name()?,
                (9, _) => tensor.raw = Some(field.bytes()?),
                (13, _) | (14, Value::Number(1)) => tensor.external = true,
                _ => {}
            }
        }
        Ok((name, tensor))
    }

    /// Returns `true` if the tensor's data is in another file.
    pub(super) fn is_external(&self) -> bool {
        self.external
    }

    pub(super) fn is_float(&self) -> bool {
        self.element == FLOAT.cast_unsigned()
    }

    /// Number of elements; `None` on overflow.
    fn elements(&self) -> Option<usize> {
        let elements = self.dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim))?;
        usize::try_from(elements).ok()
    }

    /// The number of a tensor of one element.
    fn scalar(&self) -> Option<f32> {
        match self.elements() {
            Some(1) => self.floats()?.first().copied(),
            _ => None,
        }
    }

    /// Elements of a tensor of up to [`FEW`] i64.
    fn integers(&self) -> Option<Vec<i64>> {
        if self.element != INT64 || self.external || self.elements()? > FEW {
            return None;
        }
        let integers: Vec<i64> = match self.raw {
            Some(raw) => {
                let (words, []) = raw.as_chunks() else { return None };
                words.iter().map(|word| i64::from_le_bytes(*word)).collect()
            }
            None => self.integers.iter().map(|integer| integer.cast_signed()).collect(),
        };
        (Some(integers.len()) == self.elements()).then_some(integers)
    }

    /// Elements in row-major order. `None` if the type is not f32 or the length contradicts the shape.
    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        if !self.is_float() || self.external {
            return None;
        }
        let pieces = self.raw.map_or_else(|| self.floats.clone(), |raw| vec![raw]);
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        if bytes.checked_div(4) != self.elements() || !bytes.is_multiple_of(4) {
            return None;
        }
        let mut numbers = Vec::with_capacity(bytes / 4);
        for piece in pieces {
            let (words, rest) = piece.as_chunks::<4>();
            if !rest.is_empty() {
                return None;
            }
            numbers.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
        }
        Some(numbers)
    }
}

impl<'a> Port<'a> {
    /// Reads a `ValueInfoProto`: field 1 is the name, field 2 the type. Within the type, 1 is a tensor
    /// with element type 1 and shape 2, whose dimensions are 1.
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut port = Self::default();
        for field in fields(bytes)? {
            match field.number {
                1 => port.name = field.name()?,
                2 => {
                    for kind in fields(field.bytes()?)?.iter().filter(|field| field.number == 1) {
                        for field in fields(kind.bytes()?)? {
                            match (field.number, field.value) {
                                (1, Value::Number(element)) => port.element = element,
                                (2, Value::Bytes(shape)) => {
                                    let dims = fields(shape)?;
                                    port.rank =
                                        Some(dims.iter().filter(|dim| dim.number == 1).count());
                                }
                                _ => {}
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(port)
    }
}
