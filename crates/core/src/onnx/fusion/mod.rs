//! Operators of a graph that run as one operator of ours.
//!
//! [`Model`] reads the file, [`Plan`] selects: products of a constant matrix with their bias and GELU, [`Attention`],
//! and [`AddNorm`]. Exporters spell them in several ways. Sessions replace them in memory, the converter in files of
//! eight-bit integers or bf16.

#![expect(missing_docs, reason = "numbers and parts that have the names of ONNX")]

mod attention;
mod model;
mod norm;
mod plan;
mod quantized;
mod three;
mod wire;

pub use attention::Attention;
pub(super) use model::external_entry;
pub use model::{
    FLOAT, Files, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT, Graph, INT64,
    MODEL_FUNCTION, MODEL_GRAPH, MODEL_IR_VERSION, MODEL_OPSET, Model, Node, Port, Tensor,
};
pub use norm::AddNorm;
pub use plan::{Activation, Plan, Product};
pub(super) use quantized::Quantized;
pub(super) use three::Three;
pub use wire::{Field, Malformed, Value, fields};
