//! The integer operators, as functions that the ONNX file brings along.
//!
//! embedkit runs them with kernels of its own ([`embedkit_core::onnx::operators`]). Any other
//! program's runtime replaces a call by the function's body, which is of standard operators only and
//! gives the same numbers, but for last digits where the runtime fuses operators:
//!
//! ```text
//! QuantizeRows   m = max |x|                    per row; after a GELU max(max x, -15 min x)
//!                q = round(x * 127 / m) + 128   u8, per row; after a GELU 239 and 16
//!                s = m / 127
//! MultiplyRows   y = (q - 128) W * (s * t) - (-bias)   a sum of integers; t is a column's scale
//! ```
//!
//! Sums of integers are exact in any order, and everything else works on one row at a time: so a
//! row's result depends neither on the rest of the batch nor on padding.
//!
//! The bias is subtracted negated. ONNX Runtime fuses the product, its scales and an addition that
//! follows into one operator that adds before it scales where the scales are per row (seen in 1.23
//! and 1.31). A subtraction it leaves alone.

use std::f32::consts::SQRT_2;

use embedkit_core::onnx::operators::{self, Rows};

use super::model::MODEL_FUNCTION;
use crate::graph::{Attribute, FLOAT, tensor};
use crate::protobuf::Message;

pub(super) const UINT8: i64 = 2;
pub(super) const INT64: i64 = 7;
/// The version of ONNX from which `ReduceMax` takes its axes as an input.
pub(super) const AXES_AS_INPUT: u64 = 18;
/// Keeps rows of zeros from a division by zero, and the quotient finite.
const SMALLEST: f32 = 1e-30;

/// A function of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Function {
    /// Rows of f32 to integers and the scale of each row.
    Quantize(Rows),
    /// Those times a matrix of integers.
    Multiply {
        /// Whether a GELU follows.
        gelu: bool,
    },
}

impl Function {
    /// The name that a node calls it by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quantize(rows) => rows.operator(),
            Self::Multiply { gelu: false } => operators::MULTIPLY_ROWS,
            Self::Multiply { gelu: true } => operators::MULTIPLY_ROWS_GELU,
        }
    }

    /// The function as a field of the file whose operators are of version `opset`.
    pub(super) fn encode(self, opset: u64) -> Message {
        let mut body = Body { nodes: Vec::new(), opset };
        let (inputs, outputs): (&[&str], &[&str]) = match self {
            Self::Quantize(rows) => {
                body.quantize(rows);
                let inputs = if rows == Rows::Smoothed { &["x", "factors"][..] } else { &["x"] };
                (inputs, &["quantized", "scale"])
            }
            Self::Multiply { gelu } => {
                body.multiply(if gelu { "sum" } else { "y" });
                if gelu {
                    body.gelu("sum", "y");
                }
                (&operators::MULTIPLY_INPUTS, &["y"])
            }
        };
        let function = Message::new()
            .bytes(1, self.name())
            .each(inputs, |function, input| function.bytes(4, input))
            .each(outputs, |function, output| function.bytes(5, output))
            .each(body.nodes, |function, node| function.bytes(7, node))
            .bytes(9, opset_import("", opset))
            .bytes(10, operators::DOMAIN);
        Message::new().bytes(MODEL_FUNCTION, function)
    }
}

/// An `OperatorSetIdProto`.
pub(super) fn opset_import(domain: &str, version: u64) -> Message {
    let import = Message::new();
    let import = if domain.is_empty() { import } else { import.bytes(1, domain) };
    import.int(2, version.cast_signed())
}

/// A function's nodes under construction.
struct Body {
    nodes: Vec<Message>,
    opset: u64,
}

impl Body {
    fn quantize(&mut self, rows: Rows) {
        let mut input = "x";
        if rows == Rows::Smoothed {
            self.node("Mul", &["x", "factors"], "smooth");
            input = "smooth";
        }
        self.float("floor", SMALLEST);
        self.float("top", rows.top());
        if matches!(rows, Rows::Plain | Rows::Smoothed) {
            self.node("Abs", &[input], "magnitude");
            self.reduce("ReduceMax", "magnitude", "largest");
        } else {
            self.reduce("ReduceMax", input, "largest");
        }
        if rows == Rows::Gelu {
            self.float("per_least", -rows.top() / f32::from(rows.zero()));
            self.reduce("ReduceMin", input, "least");
            self.node("Mul", &["least", "per_least"], "below");
            self.node("Max", &["largest", "below", "floor"], "range");
        } else {
            self.node("Max", &["largest", "floor"], "range");
        }
        self.node("Div", &["top", "range"], "inverse");
        self.node("Mul", &[input, "inverse"], "scaled");
        self.float("one", 1.0);
        self.constant("zero", &[], UINT8, &[rows.zero()]);
        self.node("QuantizeLinear", &["scaled", "one", "zero"], "quantized");
        self.node("Div", &["range", "top"], "scale");
    }

    /// Weights are turned into a matrix, which runtimes do once, when they load the graph.
    fn multiply(&mut self, output: &str) {
        self.with("Transpose", &["weights"], "blocks", &[("perm", Attribute::Ints(&[1, 3, 0, 2]))]);
        self.with("Flatten", &["blocks"], "padded", &[("axis", Attribute::Int(2))]);
        self.constant("start", &[2], INT64, &[0; 16]);
        self.node("Slice", &["padded", "start", "size"], "matrix");
        self.node("MatMulInteger", &["quantized", "matrix", "zero"], "integers");
        self.with("Cast", &["integers"], "floats", &[("to", Attribute::Int(FLOAT))]);
        self.node("Mul", &["scale", "scales"], "both_scales");
        self.node("Mul", &["floats", "both_scales"], "product");
        self.node("Neg", &["bias"], "negated");
        self.node("Sub", &["product", "negated"], output);
    }

    fn gelu(&mut self, input: &str, output: &str) {
        self.float("root", SQRT_2);
        self.float("one", 1.0);
        self.float("half", 0.5);
        self.node("Div", &[input, "root"], "argument");
        self.node("Erf", &["argument"], "erf");
        self.node("Add", &["erf", "one"], "share");
        self.node("Mul", &[input, "share"], "twice");
        self.node("Mul", &["twice", "half"], output);
    }

    /// Over the last axis, which stays with one element.
    fn reduce(&mut self, operator: &str, input: &str, output: &str) {
        if AXES_AS_INPUT <= self.opset {
            self.constant("axis", &[1], INT64, &(-1i64).to_le_bytes());
            self.node(operator, &[input, "axis"], output);
        } else {
            self.with(operator, &[input], output, &[("axes", Attribute::Ints(&[-1]))]);
        }
    }

    fn float(&mut self, name: &str, number: f32) {
        self.constant(name, &[], FLOAT, &number.to_le_bytes());
    }

    /// A constant; one that is there already is the same.
    fn constant(&mut self, name: &str, shape: &[u64], element: i64, raw: &[u8]) {
        let tensor = tensor(name, shape, element).bytes(9, raw);
        let value = Attribute::Tensor(&tensor.0);
        let node = node("Constant", &[], name, &[("value", value)]);
        if !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
    }

    fn node(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.with(operator, inputs, output, &[]);
    }

    fn with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) {
        self.nodes.push(node(operator, inputs, output, attributes));
    }
}

/// A `NodeProto` of one of ONNX's own operators, named as its output.
pub(super) fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Attribute<'_>)],
) -> Message {
    Message::new()
        .each(inputs, |node, input| node.bytes(1, input))
        .bytes(2, output)
        .bytes(3, output)
        .bytes(4, operator)
        .each(attributes, |node, (name, attribute)| node.bytes(5, attribute.encode(name)))
}
