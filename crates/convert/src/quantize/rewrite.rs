//! Rewrites f32 operators as operators of int8 or bf16.
//!
//! A product becomes calls of [`functions`](super::functions), which the file defines.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use embedkit_core::onnx::fusion::{
    Activation, AddNorm, Attention, GRAPH_INITIALIZER, GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH,
    MODEL_IR_VERSION, MODEL_OPSET, Model, Plan, Product, Tensor, Value,
};
use embedkit_core::onnx::operators;

use super::functions::{self, Function, INT64, UINT8};
use super::weights::{Quantized, quantize, quantize_rows, to_bf16};
use crate::graph::{Attribute, FLOAT, tensor};
use crate::protobuf::Message;

const INT8: i64 = 3;
const UINT16: i64 = 4;
const INT32: i64 = 6;
/// Field numbers of `TensorProto`.
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_DOC_STRING: u64 = 12;
/// Bytes of a cache line.
const LINE: u64 = 64;
/// Smallest tensor in bytes that begins at a cache line; sessions map no smaller ones.
const MAPPED: usize = 64 << 10;
/// First version of the file format with functions.
const FUNCTIONS: u64 = 8;

/// Parts of a file, in order.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// Builder of nodes and tensors.
pub(super) struct Rewriter<'m, 'a> {
    model: &'m Model<'a>,
    /// Encoded node fields of the graph.
    nodes: Pieces<'a>,
    tensors: Vec<Constant>,
    functions: BTreeSet<Function>,
    made: BTreeSet<String>,
    /// Quantised matrices that products share.
    matrices: BTreeMap<Source<'a>, Matrix>,
    /// Names of bf16 matrices that products share.
    bf16_matrices: BTreeMap<Source<'a>, String>,
    /// Names of biases that products share, by their name in the original, if any, and their length.
    biases: BTreeMap<(Option<&'a str>, u64), String>,
    /// Bytes of the new nodes and tensors.
    size: u64,
    /// Maximum bytes of the new graph.
    limit: u64,
    prefix: String,
}

/// Numbers that replace f32.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'f> {
    /// Integers, with the smoothing factors of each activation, if any.
    Int8(&'f [Option<Vec<f32>>]),
    /// The upper halves of f32. Activations are rounded by the products.
    Bf16,
}

/// Source of a quantised matrix: its name, whether it is transposed, and the activation whose channels
/// are smoothed.
type Source<'a> = (&'a str, bool, Option<usize>);

/// Names of a quantised matrix and of the sums and scales of its columns.
#[derive(Clone)]
struct Matrix {
    weights: String,
    sums: String,
    scales: String,
}

/// Reasons why a graph cannot be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unwritable {
    /// The tensor does not hold as many finite numbers as its shape says.
    NotNumbers(String),
    /// The new graph has at least this number of bytes.
    TooLarge(u64),
}

impl<'m, 'a> Rewriter<'m, 'a> {
    /// Creates a rewriter for a graph of at most `limit` bytes.
    pub(super) fn new(model: &'m Model<'a>, limit: u64) -> Self {
        Self {
            model,
            nodes: Vec::new(),
            tensors: Vec::new(),
            functions: BTreeSet::new(),
            made: BTreeSet::new(),
            matrices: BTreeMap::new(),
            bf16_matrices: BTreeMap::new(),
            biases: BTreeMap::new(),
            size: 0,
            limit,
            prefix: model.graph.free_prefix("int8."),
        }
    }

    /// Replaces everything in `plan`.
    pub(super) fn replace(
        mut self,
        plan: &Plan<'a>,
        numbers: Numbers<'_>,
    ) -> Result<Pieces<'a>, Unwritable> {
        for (at, raw) in self.raw_nodes().into_iter().enumerate() {
            if let Some(product) = plan.products.get(&at) {
                match numbers {
                    Numbers::Int8(factors) => {
                        let activation = &plan.activations[product.activation];
                        let factors = factors.get(product.activation).and_then(Option::as_deref);
                        if activation.products.first() == Some(&at) {
                            self.quantize_activation(activation, factors)?;
                        }
                        self.q_mat_mul(product, activation, factors)?;
                    }
                    Numbers::Bf16 => {
                        let activation = plan.activations[product.activation].name;
                        self.bf16_mat_mul(product, activation)?;
                    }
                }
            } else if let Some(&table) = plan.tables.get(&at) {
                self.look_up(at, table)?;
            } else if let Some(attention) = plan.attentions.get(&at) {
                self.attend(attention)?;
            } else if let Some(norm) = plan.norms.get(&at) {
                self.add_norm(norm)?;
            } else if !plan.dropped.contains(&at) {
                self.nodes.push(Cow::Borrowed(raw));
            }
        }
        let unused = plan.unused_tensors(&self.model.graph);
        self.assemble(&unused, None)
    }

    /// Adds one output to the graph: the largest magnitude of each channel of each of `activations`,
    /// concatenated.
    pub(super) fn with_ranges(
        mut self,
        activations: &[&Activation<'a>],
    ) -> Result<(Pieces<'a>, String), Unwritable> {
        self.nodes = self.raw_nodes().into_iter().map(Cow::Borrowed).collect();
        let mut ranges = Vec::new();
        for activation in activations {
            let shape = [-1, activation.width.cast_signed()];
            let shape = self.ints(&format!("rows_of_{}", activation.width), &shape);
            let name = |step: &str| format!("{}{}.{step}", self.prefix, activation.name);
            let (rows, magnitudes, range) = (name("rows"), name("magnitudes"), name("range"));
            self.node("Reshape", &[activation.name, &shape], &[], &rows);
            self.node("Abs", &[&rows], &[], &magnitudes);
            let (operator, keep) = ("ReduceMax", ("keepdims", Attribute::Int(0)));
            if functions::AXES_AS_INPUT <= self.model.opset {
                let axes = self.ints("axis_0", &[0]);
                self.node(operator, &[&magnitudes, &axes], &[keep], &range);
            } else {
                let axes = ("axes", Attribute::Ints(&[0]));
                self.node(operator, &[&magnitudes], &[axes, keep], &range);
            }
            ranges.push(range);
            self.within_limit()?;
        }
        let output = format!("{}ranges", self.prefix);
        let inputs: Vec<&str> = ranges.iter().map(String::as_str).collect();
        self.node("Concat", &inputs, &[("axis", Attribute::Int(0))], &output);
        let kind = Message::new().bytes(1, Message::new().int(1, FLOAT));
        let port = Message::new().bytes(1, &output).bytes(2, kind);
        Ok((self.assemble(&BTreeSet::new(), Some(port))?, output))
    }

    /// Encoded node fields of the file.
    fn raw_nodes(&self) -> Vec<&'a [u8]> {
        let fields = self.model.graph.fields.iter();
        fields.filter(|field| field.number == GRAPH_NODE).map(|field| field.raw).collect()
    }

    fn quantize_activation(
        &mut self,
        activation: &Activation<'a>,
        factors: Option<&[f32]>,
    ) -> Result<(), Unwritable> {
        let (quantized, scale) = self.quantized(activation);
        let mut inputs = vec![activation.name.to_owned()];
        if let Some(factors) = factors {
            let inverse: Vec<f32> = factors.iter().map(|factor| 1.0 / factor).collect();
            let name = format!("{}{}.smoothing", self.prefix, activation.name);
            inputs.push(self.floats(&name, &[activation.width], &inverse));
        }
        let function = Function::Quantize(activation.quantized_range(factors.is_some()));
        self.call(function, &inputs, &[&quantized, &scale]);
        self.within_limit()
    }

    /// Names of an activation's quantised rows and of their scales.
    fn quantized(&self, activation: &Activation<'_>) -> (String, String) {
        let name = |what| format!("{}{}.{what}", self.prefix, activation.name);
        (name("quantized"), name("scale"))
    }

    fn q_mat_mul(
        &mut self,
        product: &Product<'a>,
        activation: &Activation<'a>,
        factors: Option<&[f32]>,
    ) -> Result<(), Unwritable> {
        let Matrix { weights, sums, scales } = self.shared_matrix(product, factors)?;
        let bias = self.shared_bias(product)?;
        let (quantized, row_scale) = self.quantized(activation);
        let zero_point = activation.quantized_range(factors.is_some()).zero_point();
        let inputs = [
            quantized,
            row_scale,
            self.constant(&format!("{}zero_{zero_point}", self.prefix), UINT8, &[], &[zero_point]),
            weights,
            sums,
            scales,
            bias,
            self.size_of(product),
        ];
        self.call(Function::QMatMul { gelu: product.gelu }, &inputs, &[product.output]);
        self.within_limit()
    }

    fn bf16_mat_mul(&mut self, product: &Product<'a>, activation: &str) -> Result<(), Unwritable> {
        let weights = self.shared_bf16_matrix(product)?;
        let bias = self.shared_bias(product)?;
        let inputs = [activation.to_owned(), weights, bias, self.size_of(product)];
        self.call(Function::Bf16MatMul { gelu: product.gelu }, &inputs, &[product.output]);
        self.within_limit()
    }

    fn add_norm(&mut self, norm: &AddNorm<'a>) -> Result<(), Unwritable> {
        let &AddNorm { addends: [a, b], weight, bias, width, epsilon, .. } = norm;
        let bias = match bias {
            Some(bias) => bias.to_owned(),
            None => {
                let zeros = vec![0.0; width as usize]; // as many as the weights in memory
                self.floats(&format!("{}zeros_{width}", self.prefix), &[width], &zeros)
            }
        };
        let name = format!("{}epsilon_{epsilon}", self.prefix);
        let epsilon = self.floats(&name, &[], &[epsilon]);
        let inputs = [a.to_owned(), b.to_owned(), weight.to_owned(), bias, epsilon];
        self.call(Function::AddNorm, &inputs, &[norm.output]);
        self.within_limit()
    }

    fn attend(&mut self, attention: &Attention<'a>) -> Result<(), Unwritable> {
        let &Attention { query, key, value, by_head, scale, heads, .. } = attention;
        let mask = match attention.mask {
            Some(mask) => mask.to_owned(),
            None => self.floats(&format!("{}no_mask", self.prefix), &[1; 4], &[0.0]),
        };
        let name = format!("{}scale_{scale}", self.prefix);
        let inputs = [
            query.to_owned(),
            key.to_owned(),
            value.to_owned(),
            mask,
            self.floats(&name, &[], &[scale]),
            self.ints(&format!("heads_{heads}"), &[heads]),
        ];
        self.call(Function::Attention { by_head }, &inputs, &[attention.output]);
        self.within_limit()
    }

    /// Adds a product's matrix rounded to bf16, named after the first product that uses it.
    fn shared_bf16_matrix(&mut self, product: &Product<'a>) -> Result<String, Unwritable> {
        let source = (product.matrix, product.transposed, None);
        if let Some(matrix) = self.bf16_matrices.get(&source) {
            return Ok(matrix.clone());
        }
        let unusable = || Unwritable::NotNumbers(product.matrix.to_owned());
        let matrix = product.matrix_of(&self.model.graph).ok_or_else(unusable)?;
        let matrix = to_bf16(&matrix).ok_or_else(unusable)?;
        let (rows, columns) = (product.rows as usize, product.columns as usize);
        let (packed, shape) = operators::pack_bf16(&matrix, rows, columns);
        let bytes: Vec<u8> = packed.into_iter().flat_map(u16::to_le_bytes).collect();
        let name = format!("{}{}.weights", self.prefix, product.output);
        let name = self.constant(&name, UINT16, &shape.map(|dim| dim as u64), &bytes);
        self.bf16_matrices.insert(source, name.clone());
        Ok(name)
    }

    /// Adds the rows and columns of a product's matrix.
    fn size_of(&mut self, product: &Product<'_>) -> String {
        let size = [product.rows.cast_signed(), product.columns.cast_signed()];
        self.ints(&format!("size_{}_{}", size[0], size[1]), &size)
    }

    /// Adds a product's quantised matrix, named after the first product that uses it.
    fn shared_matrix(
        &mut self,
        product: &Product<'a>,
        factors: Option<&[f32]>,
    ) -> Result<Matrix, Unwritable> {
        let source = (product.matrix, product.transposed, factors.map(|_| product.activation));
        if let Some(matrix) = self.matrices.get(&source) {
            return Ok(matrix.clone());
        }
        let weights = self.matrix(product, factors)?;
        let (rows, columns) = (product.rows as usize, product.columns as usize);
        let packed = operators::pack(&weights.values, rows, columns);
        let sums: Vec<u8> = packed.column_sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        let bytes: Vec<u8> = packed.weights.iter().map(|&x| x.cast_unsigned()).collect();
        let base = format!("{}{}", self.prefix, product.output);
        let name = |part: &str| format!("{base}.{part}");
        let columns = [product.columns];
        let matrix = Matrix {
            weights: self.constant(
                &name("weights"),
                INT8,
                &packed.shape.map(|dim| dim as u64),
                &bytes,
            ),
            sums: self.constant(&name("sums"), INT32, &columns, &sums),
            scales: self.floats(&name("scales"), &columns, &weights.scales),
        };
        self.matrices.insert(source, matrix.clone());
        Ok(matrix)
    }

    /// Adds a product's bias, zeros if it has none, named after the first product that uses it.
    fn shared_bias(&mut self, product: &Product<'a>) -> Result<String, Unwritable> {
        let source = (product.bias, product.columns);
        if let Some(bias) = self.biases.get(&source) {
            return Ok(bias.clone());
        }
        let numbers = match product.bias {
            Some(bias) => self.numbers(bias)?,
            None => vec![0.0; product.columns as usize], // as many as the matrix has, which is in memory
        };
        let name = format!("{}{}.bias", self.prefix, product.output);
        let bias = self.floats(&name, &[product.columns], &numbers);
        self.biases.insert(source, bias.clone());
        Ok(bias)
    }

    /// Stops before memory runs out when a small file asks for a huge graph.
    fn within_limit(&self) -> Result<(), Unwritable> {
        if self.limit < self.size { Err(Unwritable::TooLarge(self.size)) } else { Ok(()) }
    }

    /// Quantises a product's matrix, after multiplying its rows by the smoothing factors.
    fn matrix(
        &self,
        product: &Product<'a>,
        factors: Option<&[f32]>,
    ) -> Result<Quantized, Unwritable> {
        let unusable = || Unwritable::NotNumbers(product.matrix.to_owned());
        let mut matrix = product.matrix_of(&self.model.graph).ok_or_else(unusable)?;
        let columns = product.columns as usize; // the matrix is in memory, so they fit
        if let Some(factors) = factors {
            for (row, factor) in matrix.chunks_mut(columns).zip(factors) {
                row.iter_mut().for_each(|number| *number *= factor);
            }
        }
        quantize(&matrix, columns).ok_or_else(unusable)
    }

    fn numbers(&self, tensor: &str) -> Result<Vec<f32>, Unwritable> {
        let numbers = self.model.graph.tensors.get(tensor).and_then(Tensor::floats);
        numbers.ok_or_else(|| Unwritable::NotNumbers(tensor.to_owned()))
    }

    /// Replaces a lookup in an embedding table by a lookup of quantised rows and their scales.
    fn look_up(&mut self, at: usize, table: &str) -> Result<(), Unwritable> {
        let unusable = || Unwritable::NotNumbers(table.to_owned());
        let node = &self.model.graph.nodes[at];
        let (indices, output) = (node.inputs[1], node.outputs[0]);
        let tensor = self.model.graph.tensors.get(table).ok_or_else(unusable)?;
        let shape = tensor.dims.clone();
        let numbers = tensor.floats().ok_or_else(unusable)?;
        let rows = quantize_rows(&numbers, shape[1].max(1) as usize).ok_or_else(unusable)?;
        let base = format!("{}{output}", self.prefix);
        let name = |step: &str| format!("{base}.{step}");
        let bytes: &[u8] = &rows.values.iter().map(|&x| x.cast_unsigned()).collect::<Vec<_>>();
        let integers = self.constant(&name("table"), INT8, &shape, bytes);
        let scales = self.floats(&name("table_scale"), &[shape[0], 1], &rows.scales);
        self.node("Gather", &[&integers, indices], &[], &name("row"));
        self.node("Cast", &[&name("row")], &[("to", Attribute::Int(FLOAT))], &name("row_float"));
        self.node("Gather", &[&scales, indices], &[], &name("row_scale"));
        self.node("Mul", &[&name("row_float"), &name("row_scale")], &[], output);
        self.within_limit()
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        output: &str,
    ) {
        self.push(functions::node(operator, inputs, output, attributes));
    }

    fn push(&mut self, node: Message) {
        let node = Message::new().bytes(GRAPH_NODE, node).0;
        self.size += node.len() as u64;
        self.nodes.push(Cow::Owned(node));
    }

    fn call(&mut self, function: Function, inputs: &[String], outputs: &[&str]) {
        self.functions.insert(function);
        let node = Message::new()
            .each(inputs, |node, input| node.bytes(1, input))
            .each(outputs, |node, output| node.bytes(2, output))
            .bytes(3, outputs[0])
            .bytes(4, function.name())
            .bytes(7, operators::DOMAIN);
        self.push(node);
    }

    fn ints(&mut self, name: &str, numbers: &[i64]) -> String {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let name = format!("{}{name}", self.prefix);
        self.constant(&name, INT64, &[numbers.len() as u64], &bytes)
    }

    fn floats(&mut self, name: &str, shape: &[u64], numbers: &[f32]) -> String {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, FLOAT, shape, &bytes)
    }

    /// Adds a tensor, unless it exists already.
    fn constant(&mut self, name: &str, element: i64, shape: &[u64], raw: &[u8]) -> String {
        if self.made.insert(name.to_owned()) {
            let constant = Constant { head: tensor(name, shape, element), numbers: raw.to_vec() };
            self.size += constant.header(0).0.len() as u64 + raw.len() as u64;
            self.tensors.push(constant);
        }
        name.to_owned()
    }

    /// Assembles the file: nodes first, then the rest of the graph without the `unused` tensors.
    fn assemble(
        self,
        unused: &BTreeSet<&str>,
        output: Option<Message>,
    ) -> Result<Pieces<'a>, Unwritable> {
        let mut graph = self.nodes;
        let kept = |raw: &'a [u8]| Cow::Borrowed(raw);
        let mut tensors = self.model.graph.tensor_names.iter();
        for field in &self.model.graph.fields {
            match field.number {
                GRAPH_NODE => {}
                GRAPH_INITIALIZER => {
                    if !tensors.next().is_some_and(|name| unused.contains(name)) {
                        graph.push(kept(field.raw));
                    }
                }
                _ => graph.push(kept(field.raw)),
            }
        }
        if let Some(output) = output {
            let output = Message::new().bytes(GRAPH_OUTPUT, output);
            graph.push(Cow::Owned(output.0));
        }
        let before = self.model.fields.iter().take_while(|field| field.number != MODEL_GRAPH);
        let before = before.map(|field| field.raw.len() as u64).sum();
        let others = graph.iter().map(|piece| piece.len() as u64).sum();
        let (length, headers) = headers(&self.tensors, before, others);
        for (header, constant) in headers.into_iter().zip(self.tensors) {
            graph.push(Cow::Owned(header.0));
            graph.push(Cow::Owned(constant.numbers));
        }
        if self.limit < length {
            return Err(Unwritable::TooLarge(length));
        }
        let mut pieces = Vec::with_capacity(graph.len() + self.model.fields.len());
        for field in &self.model.fields {
            match (field.number, field.value) {
                (MODEL_GRAPH, _) => {
                    pieces.push(Cow::Owned(Message::new().announce(MODEL_GRAPH, length).0));
                    pieces.append(&mut graph);
                }
                (MODEL_IR_VERSION, Value::Number(version)) if !self.functions.is_empty() => {
                    let version = version.max(FUNCTIONS).cast_signed();
                    pieces.push(Cow::Owned(Message::new().int(MODEL_IR_VERSION, version).0));
                }
                _ => pieces.push(kept(field.raw)),
            }
        }
        if !self.functions.is_empty() {
            let import = functions::opset_import(operators::DOMAIN, operators::VERSION);
            pieces.push(Cow::Owned(Message::new().bytes(MODEL_OPSET, import).0));
        }
        let functions = self.functions.iter().map(|function| function.encode(self.model.opset));
        pieces.extend(functions.map(|function| Cow::Owned(function.0)));
        Ok(pieces)
    }
}

/// A new tensor.
struct Constant {
    /// Dims, element type and name.
    head: Message,
    numbers: Vec<u8>,
}

impl Constant {
    /// Everything before the numbers, with so many bytes more in a comment: 0, or 2 and more.
    fn header(&self, more: usize) -> Message {
        let tensor = match more.checked_sub(2) {
            Some(spaces) => self.head.clone().bytes(TENSOR_DOC_STRING, vec![b' '; spaces]),
            None => self.head.clone(),
        };
        let tensor = tensor.announce(TENSOR_RAW_DATA, self.numbers.len() as u64);
        let length = (tensor.0.len() + self.numbers.len()) as u64;
        let mut field = Message::new().announce(GRAPH_INITIALIZER, length);
        field.0.extend(tensor.0);
        field
    }

    /// The header at a place in the file after which the numbers begin at a cache line, if they are many: where a
    /// session maps them, products take longer without it.
    fn header_at(&self, place: u64) -> Message {
        if self.numbers.len() < MAPPED {
            return self.header(0);
        }
        let more = std::iter::once(0).chain(2..2 * LINE as usize);
        let mut headers = more.map(|more| self.header(more));
        let aligned = headers.find(|header| (place + header.0.len() as u64).is_multiple_of(LINE));
        aligned.unwrap_or_else(|| self.header(0))
    }
}

/// Headers of new tensors at the end of a graph of `others` bytes, after `before` bytes of the file, and the length of
/// the whole graph.
fn headers(constants: &[Constant], before: u64, others: u64) -> (u64, Vec<Message>) {
    let lay_out = |length: u64| {
        let mut at = before + Message::new().announce(MODEL_GRAPH, length).0.len() as u64 + others;
        let start = at;
        let headers = constants.iter().map(|constant| {
            let header = constant.header_at(at);
            at += (header.0.len() + constant.numbers.len()) as u64;
            header
        });
        let headers: Vec<_> = headers.collect();
        (others + at - start, headers)
    };
    // The place depends on the length of the length, which padding can change once.
    let (length, _) = lay_out(others);
    let (length, _) = lay_out(length);
    let (again, headers) = lay_out(length);
    (again, headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{BATCH, Dim, Graph as Draft, Port};
    use crate::model::encode;

    /// A graph of `count` products of one activation and one matrix of 16 columns, each plus the same
    /// bias if there is one.
    fn products(count: usize, bias: bool) -> Vec<u8> {
        let mut draft = Draft::default();
        let port = |name: &str, width| Port {
            name: name.to_owned(),
            element: FLOAT,
            shape: vec![BATCH, Dim::Fixed(width)],
        };
        draft.inputs.push(port("x", 4));
        let matrix = draft.floats("matrix", &[4, 16], &[0.5; 64]);
        let vector = draft.floats("vector", &[16], &[0.25; 16]);
        let mut value = String::new();
        for _ in 0..count {
            value = draft.add("MatMul", &["x", &matrix]);
            if bias {
                value = draft.add("Add", &[&value, &vector]);
            }
        }
        draft.output = port(&value, 16);
        encode(&draft)
    }

    fn rewritten(file: &[u8], limit: u64, numbers: Numbers<'_>) -> Result<Vec<u8>, Unwritable> {
        let model = Model::read(file).unwrap();
        let plan = Plan::new(&model.graph, true).unwrap();
        let pieces = Rewriter::new(&model, limit).replace(&plan, numbers)?;
        Ok(pieces.concat())
    }

    /// Number of tensors whose name has an ending.
    fn tensors(model: &Model<'_>, end: &str) -> usize {
        model.graph.tensors.keys().filter(|name| name.ends_with(end)).count()
    }

    #[test]
    fn matrices_and_biases_are_stored_once() {
        for bias in [false, true] {
            let original = products(50, bias);
            let int8 = rewritten(&original, 1 << 20, Numbers::Int8(&[])).unwrap();
            let model = Model::read(&int8).unwrap();
            let endings = [".weights", ".sums", ".scales", ".bias"];
            assert_eq!(endings.map(|end| tensors(&model, end)), [1; 4], "{bias}");
            assert_eq!(model.graph.nodes.len(), 51);
            let bf16 = rewritten(&original, 1 << 20, Numbers::Bf16).unwrap();
            let model = Model::read(&bf16).unwrap();
            assert_eq!(endings.map(|end| tensors(&model, end)), [1, 0, 0, 1], "{bias}");
            assert_eq!(model.graph.nodes.len(), 50);
        }
    }

    /// The limit stops the graph while it is built, not when memory holds all of it.
    #[test]
    fn a_graph_that_would_be_too_large_is_an_error() {
        let file = products(50, true);
        for numbers in [Numbers::Int8(&[]), Numbers::Bf16] {
            let whole = rewritten(&file, 1 << 20, numbers).unwrap().len() as u64;
            for limit in [100, 1000, whole / 2] {
                let Err(Unwritable::TooLarge(found)) = rewritten(&file, limit, numbers) else {
                    panic!("{limit} bytes were enough");
                };
                assert!(limit < found && found < whole, "{limit} {found} {whole}");
            }
        }
        let model = Model::read(&file).unwrap();
        let plan = Plan::new(&model.graph, true).unwrap();
        let activations: Vec<_> = plan.activations.iter().collect();
        let probe = Rewriter::new(&model, 100).with_ranges(&activations);
        assert!(matches!(probe, Err(Unwritable::TooLarge(_))));
    }

    /// A file whose tensors follow others of any length.
    #[test]
    fn large_matrices_begin_at_a_cache_line() {
        for comment in 0..70 {
            let mut draft = Draft::default();
            let port = |name: &str, width| Port {
                name: name.to_owned(),
                element: FLOAT,
                shape: vec![BATCH, Dim::Fixed(width)],
            };
            draft.inputs.push(port("x", 64));
            let matrix = draft.floats("matrix", &[64, 1024], &[0.5; 64 << 10]);
            let name = "n".repeat(comment + 1);
            draft.add_named("MatMul", &["x", &matrix], &[], &name);
            draft.output = port(&name, 1024);
            for (numbers, length) in [(Numbers::Int8(&[]), 64 << 10), (Numbers::Bf16, 128 << 10)] {
                let file = rewritten(&encode(&draft), 1 << 20, numbers).unwrap();
                let model = Model::read(&file).unwrap();
                let (_, weights) = model
                    .graph
                    .tensors
                    .iter()
                    .find(|(name, _)| name.ends_with(".weights"))
                    .unwrap();
                let raw = weights.raw().unwrap();
                let place = raw.as_ptr().addr() - file.as_ptr().addr();
                assert_eq!((raw.len(), place % LINE as usize), (length, 0));
            }
        }
    }
}
