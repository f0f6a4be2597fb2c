//! The operators of int8 and bf16, as functions that the ONNX file defines.
//!
//! embedkit runs them with its own kernels ([`embedkit_core::onnx::operators`]). Any other runtime
//! inlines the function's body, which consists of standard operators and gives the same numbers, except
//! for the last digits if the runtime fuses operators:
//!
//! ```text
//! QuantizeRows   m = max |x|                    per row; after a GELU max(max x, -15 min x)
//!                q = round(x * 127 / m) + 128   u8, per row; after a GELU 239 and 16
//!                s = m / 127
//! MultiplyRows   y = (q - 128) W * (s * t) - (-bias)   32-bit accumulators; t is a column's scale
//! ```
//!
//! Integer sums are exact in any order, and everything else works on one row at a time. A row's result
//! is therefore independent of the rest of the batch and of padding.
//!
//! The negated bias is subtracted, because ONNX Runtime (seen in 1.23 and 1.31) fuses the product, its
//! scales and a following addition into one operator, which adds the bias before it applies scales per
//! row. It does not fuse a subtraction.

//!
//! ```text
//! MultiplyBf16   y = bf16(x) W + bias           f32 sums; W has the bits of bf16
//! ```
//!
//! The standard operators of older versions know no bf16. Activations are rounded by Veltkamp's splitting,
//! `c - (c - x)` with `c = 65537 x`, to nearest, too, and only halves may go the other way. Weights, which are never
//! subnormal, are put together from the sign, exponent and fraction that are in their bits.

use std::f32::consts::SQRT_2;

use embedkit_core::onnx::fusion::MODEL_FUNCTION;
use embedkit_core::onnx::operators::{self, ActivationRange};

use crate::graph::{Attribute, FLOAT, tensor};
use crate::protobuf::Message;

pub(super) const UINT8: i64 = 2;
pub(super) const INT64: i64 = 7;
/// First opset whose `ReduceMax` takes the axes as an input.
pub(super) const AXES_AS_INPUT: u64 = 18;
/// Lower bound of a row's range: rows of zeros do not divide by zero, and the quotient stays finite.
const MIN_RANGE: f32 = 1e-30;

/// A function that the file defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Function {
    /// Quantises rows of f32 to u8 with a scale for each row.
    Quantize(ActivationRange),
    /// Multiplies quantised rows by an i8 matrix.
    QMatMul {
        /// Applies a GELU to the product.
        gelu: bool,
    },
    /// Multiplies rows of f32 by a matrix, both rounded to bf16.
    Bf16MatMul {
        /// Applies a GELU to the product.
        gelu: bool,
    },
    /// Normalises a sum.
    AddNorm,
    /// Multi-head attention.
    Attention {
        /// Queries and keys are separated by head.
        by_head: bool,
    },
}

impl Function {
    /// Operator name of the nodes that call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quantize(range) => range.operator(),
            Self::QMatMul { gelu: false } => operators::Q_MAT_MUL,
            Self::QMatMul { gelu: true } => operators::Q_MAT_MUL_GELU,
            Self::Bf16MatMul { gelu: false } => operators::BF16_MAT_MUL,
            Self::Bf16MatMul { gelu: true } => operators::BF16_MAT_MUL_GELU,
            Self::AddNorm => operators::ADD_NORM,
            Self::Attention { by_head: false } => operators::ATTENTION,
            Self::Attention { by_head: true } => operators::ATTENTION_BY_HEAD,
        }
    }

    /// Encodes the function as a field of a model with the given opset.
    pub(super) fn encode(self, opset: u64) -> Message {
        let mut body = Body { nodes: Vec::new(), opset };
        let gelu = matches!(self, Self::QMatMul { gelu: true } | Self::Bf16MatMul { gelu: true });
        let product = if gelu { "sum" } else { "y" };
        let (inputs, outputs): (&[&str], &[&str]) = match self {
            Self::Quantize(range) => {
                body.quantize(range);
                let smoothed = range == ActivationRange::Smoothed;
                let inputs = if smoothed { &["x", "factors"][..] } else { &["x"] };
                (inputs, &["quantized", "scale"])
            }
            Self::QMatMul { .. } => {
                body.q_mat_mul(product);
                (&operators::Q_MAT_MUL_INPUTS, &["y"])
            }
            Self::Bf16MatMul { .. } => {
                body.bf16_mat_mul(product);
                (&operators::BF16_MAT_MUL_INPUTS, &["y"])
            }
            Self::AddNorm => {
                body.add_norm();
                (&operators::ADD_NORM_INPUTS, &["y"])
            }
            Self::Attention { by_head } => {
                body.attention(by_head);
                (&operators::ATTENTION_INPUTS, &["y"])
            }
        };
        if gelu {
            body.gelu(product, "y");
        }
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

/// Encodes an `OperatorSetIdProto`.
pub(super) fn opset_import(domain: &str, version: u64) -> Message {
    let import = Message::new();
    let import = if domain.is_empty() { import } else { import.bytes(1, domain) };
    import.int(2, version.cast_signed())
}

/// Builder of a function's nodes.
struct Body {
    nodes: Vec<Message>,
    opset: u64,
}

impl Body {
    fn quantize(&mut self, range: ActivationRange) {
        let mut input = "x";
        if range == ActivationRange::Smoothed {
            self.node("Mul", &["x", "factors"], "smooth");
            input = "smooth";
        }
        self.float("floor", MIN_RANGE);
        self.float("top", range.qmax());
        if matches!(range, ActivationRange::Symmetric | ActivationRange::Smoothed) {
            self.node("Abs", &[input], "magnitude");
            self.reduce("ReduceMax", "magnitude", "largest");
        } else {
            self.reduce("ReduceMax", input, "largest");
        }
        if range == ActivationRange::Gelu {
            self.float("per_least", -range.qmax() / f32::from(range.zero_point()));
            self.reduce("ReduceMin", input, "least");
            self.node("Mul", &["least", "per_least"], "below");
            self.node("Max", &["largest", "below", "floor"], "range");
        } else {
            self.node("Max", &["largest", "floor"], "range");
        }
        self.node("Div", &["top", "range"], "inverse");
        self.node("Mul", &[input, "inverse"], "scaled");
        self.float("one", 1.0);
        self.constant("zero", &[], UINT8, &[range.zero_point()]);
        self.node("QuantizeLinear", &["scaled", "one", "zero"], "quantized");
        self.node("Div", &["range", "top"], "scale");
    }

    /// Unpacks weights into `matrix`, which runtimes fold when they load the graph.
    fn unpack(&mut self, weights: &str) {
        self.with("Transpose", &[weights], "blocks", &[("perm", Attribute::Ints(&[1, 3, 0, 2]))]);
        self.with("Flatten", &["blocks"], "padded", &[("axis", Attribute::Int(2))]);
        self.constant("start", &[2], INT64, &[0; 16]);
        self.node("Slice", &["padded", "start", "size"], "matrix");
    }

    fn bf16_mat_mul(&mut self, output: &str) {
        self.float("split", 65537.0);
        self.node("Mul", &["x", "split"], "stretched");
        self.node("Sub", &["stretched", "x"], "above");
        self.node("Sub", &["stretched", "above"], "rounded");
        self.weights();
        self.unpack("numbers");
        self.node("MatMul", &["rounded", "matrix"], "product");
        self.node("Add", &["product", "bias"], output);
    }

    /// Turns the bits of bf16 weights into `numbers`: a sign, eight bits of exponent, seven of the fraction.
    fn weights(&mut self) {
        self.with("Cast", &["weights"], "bits", &[("to", Attribute::Int(FLOAT))]);
        for (name, number) in [
            ("one", 1.0),
            ("two", 2.0),
            ("bias_of_exponent", 127.0),
            ("sign_bit", 32768.0),
            ("per_sign_bit", 1.0 / 32768.0),
            ("exponent_bit", 128.0),
            ("per_exponent_bit", 1.0 / 128.0),
        ] {
            self.float(name, number);
        }
        self.node("Mul", &["bits", "per_sign_bit"], "shifted_by_15");
        self.node("Floor", &["shifted_by_15"], "sign");
        self.node("Mul", &["sign", "sign_bit"], "sign_part");
        self.node("Sub", &["bits", "sign_part"], "magnitude");
        self.node("Mul", &["magnitude", "per_exponent_bit"], "shifted_by_7");
        self.node("Floor", &["shifted_by_7"], "exponent");
        self.node("Sub", &["shifted_by_7", "exponent"], "fraction");
        self.node("Add", &["fraction", "one"], "significand");
        self.node("Sub", &["exponent", "bias_of_exponent"], "power");
        self.node("Pow", &["two", "power"], "size_of_power");
        self.node("Mul", &["significand", "size_of_power"], "normal");
        // Zero has the exponent 0, and nothing else here has.
        self.node("Sign", &["exponent"], "is_normal");
        self.node("Mul", &["normal", "is_normal"], "positive");
        self.node("Mul", &["sign", "two"], "twice_sign");
        self.node("Sub", &["one", "twice_sign"], "factor");
        self.node("Mul", &["positive", "factor"], "numbers");
    }

    fn q_mat_mul(&mut self, output: &str) {
        self.unpack("weights");
        self.node("MatMulInteger", &["quantized", "matrix", "zero"], "integers");
        self.with("Cast", &["integers"], "floats", &[("to", Attribute::Int(FLOAT))]);
        self.node("Mul", &["scale", "scales"], "both_scales");
        self.node("Mul", &["floats", "both_scales"], "product");
        self.node("Neg", &["bias"], "negated");
        self.node("Sub", &["product", "negated"], output);
    }

    fn add_norm(&mut self) {
        self.node("Add", &["a", "b"], "x");
        self.mean("x", "center");
        self.node("Sub", &["x", "center"], "distance");
        self.node("Mul", &["distance", "distance"], "square");
        self.mean("square", "variance");
        self.node("Add", &["variance", "epsilon"], "positive");
        self.node("Sqrt", &["positive"], "deviation");
        self.node("Div", &["distance", "deviation"], "normal");
        self.node("Mul", &["normal", "weight"], "scaled");
        self.node("Add", &["scaled", "bias"], "y");
    }

    fn mean(&mut self, input: &str, output: &str) {
        self.reduce("ReduceMean", input, output);
    }

    fn attention(&mut self, by_head: bool) {
        self.constant("as_before", &[2], INT64, &[0; 16]);
        self.constant("rest", &[1], INT64, &(-1i64).to_le_bytes());
        let axis = [("axis", Attribute::Int(0))];
        self.with("Concat", &["as_before", "heads", "rest"], "by_token", &axis);
        self.with("Concat", &["as_before", "rest"], "together", &axis);
        let (query, key) = if by_head {
            self.with("Transpose", &["key"], "keys", &[("perm", Attribute::Ints(&[0, 1, 3, 2]))]);
            ("query", "keys")
        } else {
            self.split("query", "queries", &[0, 2, 1, 3]);
            self.split("key", "keys", &[0, 2, 3, 1]);
            ("queries", "keys")
        };
        self.split("value", "values", &[0, 2, 1, 3]);
        self.node("MatMul", &[query, key], "products");
        self.node("Mul", &["products", "scale"], "scores");
        self.node("Add", &["scores", "mask"], "masked");
        self.with("Softmax", &["masked"], "weights", &[("axis", Attribute::Int(-1))]);
        self.node("MatMul", &["weights", "values"], "contexts");
        let order = [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
        self.with("Transpose", &["contexts"], "contexts_by_token", &order);
        self.node("Reshape", &["contexts_by_token", "together"], "y");
    }

    /// Splits the heads of a value and puts its axes in an order.
    fn split(&mut self, input: &str, output: &str, order: &[i64]) {
        let split = format!("{input}_by_token");
        self.node("Reshape", &[input, "by_token"], &split);
        self.with("Transpose", &[&split], output, &[("perm", Attribute::Ints(order))]);
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

    /// Reduces the last axis to one element.
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

    /// Adds a constant, unless it exists already.
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

/// Encodes a `NodeProto` of a standard operator, named after its output.
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
