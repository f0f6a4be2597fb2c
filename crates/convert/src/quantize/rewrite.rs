//! Writes the integer operators in place of those of f32.
//!
//! For an activation with rows x, all in standard operators:
//!
//! ```text
//! m = max |x|                       per row; after a GELU max(max x, -15 min x)
//! q = round(x * 127 / m) + 128      u8, per row; after a GELU 239 and 16
//! y = (q - 128) W' * (m / 127 * s)  a sum of integers, then a scale for each row and column
//! y - (-bias)
//! ```
//!
//! Sums of integers are exact in any order, and everything else works on one row at a time: so a
//! row's result depends neither on the rest of the batch nor on padding.
//!
//! The bias is subtracted negated. ONNX Runtime fuses the product, its scales and an addition that
//! follows into one operator that adds before it scales where the scales are per row (seen in 1.23
//! and 1.31). A subtraction it leaves alone. Where something else is added, the scales are applied
//! one after the other, which is not fused.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::model::{
    GRAPH_INITIALIZER, GRAPH_NODE, GRAPH_OUTPUT, Graph, MODEL_GRAPH, Model, Tensor,
};
use super::plan::{Activation, Plan, Product, Range};
use super::weights::{Quantized, quantize, quantize_rows};
use crate::graph::{Attribute, FLOAT, tensor};
use crate::protobuf::Message;

const UINT8: i64 = 2;
const INT8: i64 = 3;
const INT64: i64 = 7;
/// The version of ONNX from which `ReduceMax` takes its axes as an input.
const AXES_AS_INPUT: u64 = 18;
/// The integer that stands for zero after a GELU: a sixteenth of the range is left for what is
/// below, which is -0.17 at most.
const GELU_ZERO: u8 = 16;
/// Keeps rows of zeros from a division by zero, and the quotient finite.
const SMALLEST: f32 = 1e-30;

/// Pieces of a file, in order.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// Nodes and tensors under construction.
pub(super) struct Rewriter<'m, 'a> {
    model: &'m Model<'a>,
    /// Encoded node fields of the graph.
    nodes: Pieces<'a>,
    tensors: Vec<Message>,
    made: BTreeSet<String>,
    prefix: String,
}

/// What stops a matrix from being quantised.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotNumbers(pub(super) String);

impl<'m, 'a> Rewriter<'m, 'a> {
    pub(super) fn new(model: &'m Model<'a>) -> Self {
        let mut prefix = "int8.".to_owned();
        while model.graph.names.iter().any(|name| name.starts_with(&prefix)) {
            prefix.insert(0, '_');
        }
        Self { model, nodes: Vec::new(), tensors: Vec::new(), made: BTreeSet::new(), prefix }
    }

    /// The graph with everything of `plan` replaced. `factors` has for some activations what their
    /// channels are divided by beforehand.
    pub(super) fn replace(
        mut self,
        plan: &Plan<'a>,
        factors: &[Option<Vec<f32>>],
    ) -> Result<Pieces<'a>, NotNumbers> {
        for (at, raw) in self.raw_nodes().into_iter().enumerate() {
            if let Some(product) = plan.products.get(&at) {
                let activation = &plan.activations[product.activation];
                let factors = factors.get(product.activation).and_then(Option::as_deref);
                if activation.products.first() == Some(&at) {
                    self.quantize_activation(activation, factors);
                }
                self.multiply(at, product, activation, factors)?;
            } else if let Some(&(product, bias)) = plan.biases.get(&at) {
                let output = self.model.graph.nodes[at].outputs[0];
                self.add_bias(product, bias, output)?;
            } else if let Some(&table) = plan.tables.get(&at) {
                self.look_up(at, table)?;
            } else if !plan.dropped.contains(&at) {
                self.nodes.push(Cow::Borrowed(raw));
            }
        }
        // Tensors that nobody takes any more.
        let graph = &self.model.graph;
        let mut unused = BTreeSet::new();
        for name in graph.tensors.keys() {
            let replaced = |taker: &usize| {
                if plan.dropped.contains(taker) {
                    return true;
                }
                let bias = plan.products.get(taker).and_then(|product| product.bias);
                plan.products.get(taker).is_some_and(|product| product.matrix == *name)
                    || bias == Some(name)
                    || plan.biases.get(taker).is_some_and(|(_, bias)| bias == name)
                    || plan.tables.contains_key(taker)
            };
            let takers = graph.takers(name);
            if !takers.is_empty() && takers.iter().all(replaced) && !graph.outputs.contains(name) {
                unused.insert(*name);
            }
        }
        Ok(self.assemble(&unused, None))
    }

    /// The graph as it is, with one more output: for each channel of each of `activations`, one
    /// after the other, the largest magnitude.
    pub(super) fn with_ranges(mut self, activations: &[&Activation<'a>]) -> (Pieces<'a>, String) {
        self.nodes = self.raw_nodes().into_iter().map(Cow::Borrowed).collect();
        let mut ranges = Vec::new();
        for activation in activations {
            let shape = [-1, activation.width.cast_signed()];
            let shape = self.ints(&format!("rows_of_{}", activation.width), &shape);
            let name = |step: &str| format!("{}{}.{step}", self.prefix, activation.name);
            let (rows, magnitudes, range) = (name("rows"), name("magnitudes"), name("range"));
            self.node("Reshape", &[activation.name, &shape], &[], &rows);
            self.node("Abs", &[&rows], &[], &magnitudes);
            self.reduce("ReduceMax", &magnitudes, 0, 0, &range);
            ranges.push(range);
        }
        let output = format!("{}ranges", self.prefix);
        let inputs: Vec<&str> = ranges.iter().map(String::as_str).collect();
        self.node("Concat", &inputs, &[("axis", Attribute::Int(0))], &output);
        let kind = Message::new().bytes(1, Message::new().int(1, FLOAT));
        let port = Message::new().bytes(1, &output).bytes(2, kind);
        (self.assemble(&BTreeSet::new(), Some(port)), output)
    }

    /// The node fields of the file, as they stand there.
    fn raw_nodes(&self) -> Vec<&'a [u8]> {
        let fields = self.model.graph.fields.iter();
        fields.filter(|field| field.number == GRAPH_NODE).map(|field| field.raw).collect()
    }

    fn quantize_activation(&mut self, activation: &Activation<'a>, factors: Option<&[f32]>) {
        let base = format!("{}{}", self.prefix, activation.name);
        let name = |step: &str| format!("{base}.{step}");
        let mut input = activation.name.to_owned();
        if let Some(factors) = factors {
            let inverse: Vec<f32> = factors.iter().map(|factor| 1.0 / factor).collect();
            let inverse = self.floats(&name("smoothing"), &[activation.width], &inverse);
            self.node("Mul", &[&input, &inverse], &[], &name("smooth"));
            input = name("smooth");
        }
        let zero = zero(activation.range);
        let floor = self.float(SMALLEST);
        let top = match activation.range {
            Range::Symmetric => 127.0,
            Range::Gelu | Range::Relu => f32::from(u8::MAX - zero),
        };
        if activation.range == Range::Symmetric {
            self.node("Abs", &[&input], &[], &name("magnitude"));
            self.reduce("ReduceMax", &name("magnitude"), -1, 1, &name("largest"));
        } else {
            self.reduce("ReduceMax", &input, -1, 1, &name("largest"));
        }
        if activation.range == Range::Gelu {
            let below = self.float(-top / f32::from(zero));
            self.reduce("ReduceMin", &input, -1, 1, &name("least"));
            self.node("Mul", &[&name("least"), &below], &[], &name("below"));
            self.node("Max", &[&name("largest"), &name("below"), &floor], &[], &name("range"));
        } else {
            self.node("Max", &[&name("largest"), &floor], &[], &name("range"));
        }
        let top = self.float(top);
        self.node("Div", &[&top, &name("range")], &[], &name("inverse"));
        self.node("Mul", &[&input, &name("inverse")], &[], &name("scaled"));
        let (one, zero) = (self.float(1.0), self.zero_point(zero));
        self.node("QuantizeLinear", &[&name("scaled"), &one, &zero], &[], &name("quantized"));
        self.node("Div", &[&name("range"), &top], &[], &name("scale"));
    }

    fn multiply(
        &mut self,
        at: usize,
        product: &Product<'a>,
        activation: &Activation<'a>,
        factors: Option<&[f32]>,
    ) -> Result<(), NotNumbers> {
        let weights = self.matrix(product, factors)?;
        let of_input = |step: &str| format!("{}{}.{step}", self.prefix, activation.name);
        let (quantized, row_scale) = (of_input("quantized"), of_input("scale"));
        let output = self.model.graph.nodes[at].outputs[0];
        let base = format!("{}{output}", self.prefix);
        let name = |step: &str| format!("{base}.{step}");
        let shape = [product.rows, product.columns];
        let bytes: &[u8] = &weights.values.iter().map(|&x| x.cast_unsigned()).collect::<Vec<_>>();
        let matrix = self.constant(&name("weight"), INT8, &shape, bytes);
        let scales = self.floats(&name("weight_scale"), &shape[1..], &weights.scales);
        let zero = self.zero_point(zero(activation.range));
        self.node("MatMulInteger", &[&quantized, &matrix, &zero], &[], &name("sum"));
        self.node("Cast", &[&name("sum")], &[("to", Attribute::Int(FLOAT))], &name("float"));
        let scaled = if product.bias.is_some() { name("product") } else { output.to_owned() };
        if product.added_to {
            self.node("Mul", &[&name("float"), &row_scale], &[], &name("by_row"));
            self.node("Mul", &[&name("by_row"), &scales], &[], &scaled);
        } else {
            self.node("Mul", &[&row_scale, &scales], &[], &name("both_scales"));
            self.node("Mul", &[&name("float"), &name("both_scales")], &[], &scaled);
        }
        match product.bias {
            Some(bias) => self.add_bias(&scaled, bias, output),
            None => Ok(()),
        }
    }

    /// The integers of a product's matrix, its rows multiplied by what its input is divided by.
    fn matrix(
        &self,
        product: &Product<'a>,
        factors: Option<&[f32]>,
    ) -> Result<Quantized, NotNumbers> {
        let unusable = || NotNumbers(product.matrix.to_owned());
        let mut matrix = rows_of(&self.model.graph, product).ok_or_else(unusable)?;
        let columns = product.columns as usize; // the matrix is in memory, so they fit
        if let Some(factors) = factors {
            for (row, factor) in matrix.chunks_mut(columns).zip(factors) {
                row.iter_mut().for_each(|number| *number *= factor);
            }
        }
        quantize(&matrix, columns).ok_or_else(unusable)
    }

    fn add_bias(&mut self, product: &str, bias: &str, output: &str) -> Result<(), NotNumbers> {
        let numbers = self.model.graph.tensors.get(bias).and_then(Tensor::floats);
        let mut numbers = numbers.ok_or_else(|| NotNumbers(bias.to_owned()))?;
        numbers.iter_mut().for_each(|number| *number = -*number);
        let name = format!("{}{bias}.negated", self.prefix);
        let negated = self.floats(&name, &[numbers.len() as u64], &numbers);
        self.node("Sub", &[product, &negated], &[], output);
        Ok(())
    }

    /// Rows of a table of integers, times the scale of each.
    fn look_up(&mut self, at: usize, table: &str) -> Result<(), NotNumbers> {
        let unusable = || NotNumbers(table.to_owned());
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
        Ok(())
    }

    fn reduce(&mut self, operator: &str, input: &str, axis: i64, keep: i64, output: &str) {
        let keep = ("keepdims", Attribute::Int(keep));
        if AXES_AS_INPUT <= self.model.opset {
            let axes = self.ints(&format!("axis_{axis}"), &[axis]);
            self.node(operator, &[input, &axes], &[keep], output);
        } else {
            self.node(operator, &[input], &[("axes", Attribute::Ints(&[axis])), keep], output);
        }
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        output: &str,
    ) {
        let node = Message::new()
            .each(inputs, |node, input| node.bytes(1, input))
            .bytes(2, output)
            .bytes(3, output)
            .bytes(4, operator)
            .each(attributes, |node, (name, attribute)| node.bytes(5, attribute.encode(name)));
        self.nodes.push(Cow::Owned(Message::new().bytes(GRAPH_NODE, node).0));
    }

    fn float(&mut self, number: f32) -> String {
        self.constant(&format!("{}{number:e}", self.prefix), FLOAT, &[], &number.to_le_bytes())
    }

    fn zero_point(&mut self, zero: u8) -> String {
        self.constant(&format!("{}zero_{zero}", self.prefix), UINT8, &[], &[zero])
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

    /// A tensor, made once however often it is asked for.
    fn constant(&mut self, name: &str, element: i64, shape: &[u64], raw: &[u8]) -> String {
        if self.made.insert(name.to_owned()) {
            let tensor = tensor(name, shape, element).bytes(9, raw);
            self.tensors.push(Message::new().bytes(GRAPH_INITIALIZER, tensor));
        }
        name.to_owned()
    }

    /// The file: nodes first, then everything else of the graph but the `unused` tensors.
    fn assemble(self, unused: &BTreeSet<&str>, output: Option<Message>) -> Pieces<'a> {
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
        graph.extend(self.tensors.into_iter().map(|tensor| Cow::Owned(tensor.0)));
        if let Some(output) = output {
            let output = Message::new().bytes(GRAPH_OUTPUT, output);
            graph.push(Cow::Owned(output.0));
        }
        let length = graph.iter().map(|piece| piece.len() as u64).sum();
        let mut pieces = Vec::with_capacity(graph.len() + self.model.fields.len());
        for field in &self.model.fields {
            if field.number == MODEL_GRAPH {
                pieces.push(Cow::Owned(Message::new().announce(MODEL_GRAPH, length).0));
                pieces.append(&mut graph);
            } else {
                pieces.push(kept(field.raw));
            }
        }
        pieces
    }
}

/// The integer that stands for zero.
fn zero(range: Range) -> u8 {
    match range {
        Range::Symmetric => 128,
        Range::Gelu => GELU_ZERO,
        Range::Relu => 0,
    }
}

/// A product's matrix with a row for each channel of its input.
pub(super) fn rows_of(graph: &Graph<'_>, product: &Product<'_>) -> Option<Vec<f32>> {
    let numbers = graph.tensors.get(product.matrix)?.floats()?;
    if !product.transposed {
        return Some(numbers);
    }
    let (rows, columns) = (product.rows as usize, product.columns as usize);
    let mut turned = vec![0.0; numbers.len()];
    for (column, line) in numbers.chunks(rows).enumerate() {
        for (row, number) in line.iter().enumerate() {
            turned[row * columns + column] = *number;
        }
    }
    Some(turned)
}
