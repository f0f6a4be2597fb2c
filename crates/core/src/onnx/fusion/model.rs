//! Reads an ONNX model as far as fusion needs it: nodes, tensors, producers and consumers.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{Field, Malformed, Value, fields};

/// Field numbers of `ModelProto`.
pub const MODEL_IR_VERSION: u64 = 1;
pub const MODEL_GRAPH: u64 = 7;
pub const MODEL_OPSET: u64 = 8;
pub const MODEL_FUNCTION: u64 = 25;
/// Field numbers of `GraphProto`.
pub const GRAPH_NODE: u64 = 1;
pub const GRAPH_INITIALIZER: u64 = 5;
pub const GRAPH_INPUT: u64 = 11;
pub const GRAPH_OUTPUT: u64 = 12;
/// ONNX's number for f32.
pub const FLOAT: u64 = 1;
/// ONNX's number for i64.
pub const INT64: u64 = 7;
/// Maximum elements of a constant that is read as integers: a shape has one for each dimension.
const FEW: usize = 8;
/// Maximum depth of nested subgraphs.
const DEPTH: usize = 16;

/// The bytes of files with tensors, by the names that a model gives them.
pub type Files<'a> = BTreeMap<String, &'a [u8]>;

/// A model file.
pub struct Model<'a> {
    /// All fields, the graph included.
    pub fields: Vec<Field<'a>>,
    /// Opset of the standard operators.
    pub opset: u64,
    pub graph: Graph<'a>,
}

/// A graph.
#[derive(Default)]
pub struct Graph<'a> {
    /// All fields, in order.
    pub fields: Vec<Field<'a>>,
    pub nodes: Vec<Node<'a>>,
    /// Tensors by name, without those that an input of the same name may replace.
    pub tensors: BTreeMap<&'a str, Tensor<'a>>,
    /// Name of each tensor field, in order.
    pub tensor_names: Vec<&'a str>,
    pub inputs: Vec<Port<'a>>,
    pub outputs: BTreeSet<&'a str>,
    /// Constants of one element.
    scalars: BTreeMap<&'a str, f32>,
    /// Constants of few i64.
    integers: BTreeMap<&'a str, Vec<i64>>,
    /// Index of the node that produces a value.
    pub producers: BTreeMap<&'a str, usize>,
    /// Indices of the nodes that read a value, directly or in a subgraph.
    pub consumers: BTreeMap<&'a str, Vec<usize>>,
    /// All names in use.
    pub names: BTreeSet<&'a str>,
}

/// An operator with its inputs and outputs.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub operator: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    attributes: Vec<&'a [u8]>,
}

/// A tensor of the file.
#[derive(Clone, Debug, Default)]
pub struct Tensor<'a> {
    pub dims: Vec<u64>,
    element: u64,
    raw: Option<&'a [u8]>,
    floats: Vec<&'a [u8]>,
    /// The elements of few i64 that are not in `raw`.
    integers: Vec<u64>,
    /// The data is in another file, which has not been read.
    external: bool,
    /// The place in that file: entries of a key and a value.
    place: Vec<&'a [u8]>,
}

/// An input of the graph.
#[derive(Clone, Debug, Default)]
pub struct Port<'a> {
    pub name: &'a str,
    /// ONNX's number for the element type.
    pub element: u64,
    /// Number of dimensions, if the file says so.
    pub rank: Option<usize>,
}

impl<'a> Model<'a> {
    /// Reads a model whose tensors are in its file.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::with_files(bytes, &Files::new())
    }

    /// Reads a model with tensors in files of their own.
    pub fn with_files(bytes: &'a [u8], files: &Files<'a>) -> Result<Self, Malformed> {
        let model_fields = fields(bytes)?;
        let mut graph = None;
        let mut opset = None;
        for field in &model_fields {
            match field.number {
                MODEL_GRAPH if graph.is_some() => return Err("it has two graphs".to_owned()),
                MODEL_GRAPH => graph = Some(Graph::read(field.bytes()?, files)?),
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
    fn read(bytes: &'a [u8], files: &Files<'a>) -> Result<Self, Malformed> {
        let mut graph = Self::default();
        let graph_fields = fields(bytes)?;
        for field in &graph_fields {
            match field.number {
                GRAPH_NODE => graph.add(Node::read(field.bytes()?)?)?,
                GRAPH_INITIALIZER => {
                    let (name, mut tensor) = Tensor::read(field.bytes()?)?;
                    tensor.find_in(files);
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
    pub fn producer(&self, value: &str) -> Option<&Node<'a>> {
        self.producers.get(value).map(|&at| &self.nodes[at])
    }

    /// Indices of the nodes that read `value`.
    pub fn takers(&self, value: &str) -> &[usize] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    /// Prefix of new names that no existing name has: `base` after as few underscores as needed.
    #[must_use]
    pub fn free_prefix(&self, base: &str) -> String {
        let taken: BTreeSet<usize> = self
            .names
            .iter()
            .filter_map(|name| {
                let rest = name.trim_start_matches('_');
                rest.starts_with(base).then_some(name.len() - rest.len())
            })
            .collect();
        let free = (0..).zip(&taken).take_while(|(count, taken)| count == *taken).count();
        format!("{}{base}", "_".repeat(free))
    }

    /// A constant of one element.
    pub fn scalar(&self, value: &str) -> Option<f32> {
        self.scalars.get(value).copied()
    }

    /// A constant of up to eight i64, such as a shape.
    pub fn integers(&self, value: &str) -> Option<&[i64]> {
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
    pub fn is(&self, operator: &str) -> bool {
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
    pub fn int(&self, name: &str, default: u64) -> Result<u64, Malformed> {
        let body = self.attribute(name)?.unwrap_or_default();
        let int = body.iter().find(|field| field.number == 3);
        Ok(match int.map(|field| field.value) {
            Some(Value::Number(number)) => number,
            _ => default,
        })
    }

    /// Returns `true` for a `Transpose` of a matrix.
    pub fn transposes_matrix(&self) -> Result<bool, Malformed> {
        Ok(self.is("Transpose") && matches!(self.ints("perm")?.as_slice(), [] | [1, 0]))
    }

    /// Integers of an attribute, none without it.
    pub fn ints(&self, name: &str) -> Result<Vec<u64>, Malformed> {
        let mut ints = Vec::new();
        for field in self.attribute(name)?.unwrap_or_default() {
            if field.number == 8 {
                field.numbers(&mut ints)?;
            }
        }
        Ok(ints)
    }

    /// Returns `true` if a `Gelu` is the exact one, with the error function.
    pub fn is_exact(&self) -> bool {
        match self.attribute("approximate") {
            Ok(Some(body)) => {
                body.iter().any(|field| field.number == 4 && field.text() == Ok("none"))
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// A float attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, Malformed> {
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
                (13, _) => {
                    tensor.external = true;
                    tensor.place.push(field.bytes()?);
                }
                (14, Value::Number(1)) => tensor.external = true,
                _ => {}
            }
        }
        Ok((name, tensor))
    }

    /// Takes the data from one of these files, if the tensor is there.
    fn find_in(&mut self, files: &Files<'a>) {
        let found = || {
            let (mut file, mut offset, mut length) = (None, 0, None);
            for entry in &self.place {
                let (key, value) = external_entry(entry).ok()?;
                match key {
                    "location" => file = files.get(value),
                    "offset" => offset = value.parse().ok()?,
                    "length" => length = Some(value.parse().ok()?),
                    _ => {}
                }
            }
            let rest = file?.get(offset..)?;
            match length {
                Some(length) => rest.get(..length),
                None => Some(rest),
            }
        };
        if let (None, Some(data)) = (self.raw, found()) {
            self.raw = Some(data);
            self.external = false;
        }
    }

    /// The numbers as bytes, where the file has them so.
    #[must_use]
    pub fn raw(&self) -> Option<&'a [u8]> {
        self.raw
    }

    /// Returns `true` if the tensor's data is in another file.
    pub fn is_external(&self) -> bool {
        self.external
    }

    /// Returns `true` if the file names a place in another file for the data, whether it has been read or not.
    pub(in crate::onnx) fn is_elsewhere(&self) -> bool {
        !self.place.is_empty()
    }

    pub fn is_float(&self) -> bool {
        self.element == FLOAT
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

    /// Elements of a tensor of up to eight i64.
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

    /// Bytes of f32.
    fn pieces(&self) -> &[&'a [u8]] {
        self.raw.as_ref().map_or(&self.floats, std::slice::from_ref)
    }

    /// Returns `true` if the file holds as many f32 as the shape says.
    pub(super) fn holds_floats(&self) -> bool {
        let bytes: usize = self.pieces().iter().map(|piece| piece.len()).sum();
        let all = self.elements().and_then(|elements| elements.checked_mul(4));
        self.is_float() && !self.external && all == Some(bytes)
    }

    /// Elements in row-major order. `None` if the type is not f32 or the length contradicts the shape.
    pub fn floats(&self) -> Option<Vec<f32>> {
        if !self.holds_floats() {
            return None;
        }
        let mut numbers = Vec::with_capacity(self.elements()?);
        for piece in self.pieces() {
            let (words, rest) = piece.as_chunks::<4>();
            if !rest.is_empty() {
                return None;
            }
            numbers.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
        }
        Some(numbers)
    }
}

/// Key and value of an entry that says where the data of a tensor is.
pub(in crate::onnx) fn external_entry(entry: &[u8]) -> Result<(&str, &str), Malformed> {
    let (mut key, mut value) = ("", "");
    for field in fields(entry)? {
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
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

/// Without the nodes whose values other nodes read, or the graph returns. The last node's output stays.
pub(super) fn unread(
    graph: &Graph<'_>,
    mut nodes: BTreeSet<usize>,
    last: usize,
) -> BTreeSet<usize> {
    loop {
        let stays = nodes.iter().copied().find(|&at| {
            at != last
                && graph.nodes[at].outputs.iter().any(|output| {
                    graph.outputs.contains(output)
                        || graph.takers(output).iter().any(|taker| !nodes.contains(taker))
                })
        });
        match stays {
            Some(at) => nodes.remove(&at),
            None => return nodes,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_the_first_that_no_name_has() {
        let prefix = |names: &[&'static str]| {
            let names = names.iter().copied().collect();
            Graph { names, ..Graph::default() }.free_prefix("int8.")
        };
        assert_eq!(prefix(&["x", "int8", "_int8.y"]), "int8.");
        assert_eq!(prefix(&["int8.x", "_int8.y", "___int8.z"]), "__int8.");
    }
}
