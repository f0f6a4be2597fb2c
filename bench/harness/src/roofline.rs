//! Roofline: ONNX Runtime's rate for one plain matrix product, and the FLOP of a run over texts.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{contestant::Contestant, contestants::Setting, report::percentile};

/// Dimensions of the product: rows, inner dimension, columns. One of MiniLM's larger ones, at 2,048
/// tokens.
const PRODUCT: [usize; 3] = [2048, 384, 1536];

/// The matrix product as a contestant.
pub(super) struct Roofline(Contestant);

impl Roofline {
    /// Starts and warms it up.
    pub(super) fn start(setting: &Setting<'_>) -> Result<Self> {
        let graph = setting.folder.join("product.onnx");
        let [rows, inner, columns] = PRODUCT;
        fs::write(&graph, product_graph(inner, columns))
            .with_context(|| format!("could not write {}", graph.display()))?;
        let mut contestant = setting.contestants.roofline()?;
        contestant.ask(&json!({
            "op": "load", "graph": graph, "shape": [rows, inner],
            "onnxruntime": setting.contestants.onnxruntime, "threads": setting.threads,
        }))?;
        let mut roofline = Self(contestant);
        roofline.rates(5)?;
        Ok(roofline)
    }

    /// FLOP a second: median and maximum of a number of products.
    pub(super) fn rates(&mut self, repetitions: usize) -> Result<(f64, f64)> {
        let answer = self.0.ask(&json!({"op": "matmul", "repetitions": repetitions}))?;
        let seconds: Vec<f64> = serde_json::from_value(answer["seconds"].clone())?;
        if seconds.is_empty() {
            bail!("no product was measured");
        }
        let flop = 2.0 * PRODUCT.iter().map(|&n| n as f64).product::<f64>();
        Ok((flop / percentile(&seconds, 0.5), flop / percentile(&seconds, 0.0)))
    }
}

/// FLOP of MiniLM for texts of given numbers of tokens, with special tokens and without padding: two
/// for each multiply-add of its matrices and attention products.
pub(super) fn flop(tokens: &[usize]) -> f64 {
    const LAYERS: f64 = 6.0;
    const WIDTH: f64 = 384.0;
    const INNER: f64 = 1536.0;
    let multiply_adds = |&n: &usize| {
        let n = n as f64;
        // Queries, keys, values and the output; both feed-forward matrices.
        let matrices = n * (4.0 * WIDTH * WIDTH + 2.0 * WIDTH * INNER);
        // Scores, and the weighted sum of the values.
        let attention = 2.0 * n * n * WIDTH;
        LAYERS * (matrices + attention)
    };
    2.0 * tokens.iter().map(multiply_adds).sum::<f64>()
}

/// An ONNX file that multiplies its input `a` by a constant, which the runtime packs at load time like
/// the weights of a model.
fn product_graph(inner: usize, columns: usize) -> Vec<u8> {
    const FLOAT: u64 = 1;
    let values = (0..inner * columns).map(|i| (i % 11) as f32 * 0.01 - 0.05);
    let mut weights = Message::default();
    weights.number(1, inner as u64).number(1, columns as u64).number(2, FLOAT);
    weights.bytes(8, b"b").bytes(9, &values.flat_map(f32::to_le_bytes).collect::<Vec<_>>());

    let mut node = Message::default();
    node.bytes(1, b"a").bytes(1, b"b").bytes(2, b"c").bytes(4, b"MatMul");

    let mut graph = Message::default();
    graph.message(1, &node).bytes(2, b"product").message(5, &weights);
    graph.message(11, &tensor_of("a", inner)).message(12, &tensor_of("c", columns));

    let mut opset = Message::default();
    opset.number(2, 17);
    let mut model = Message::default();
    model.number(1, 8).message(7, &graph).message(8, &opset);
    model.0
}

/// A `ValueInfoProto`: a matrix of f32 with any number of rows.
fn tensor_of(name: &str, columns: usize) -> Message {
    let mut shape = Message::default();
    shape.message(1, Message::default().bytes(2, b"rows"));
    shape.message(1, Message::default().number(1, columns as u64));
    let mut tensor = Message::default();
    tensor.number(1, 1).message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.bytes(1, name.as_bytes()).message(2, &kind);
    info
}

/// A message of protocol buffers, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn message(&mut self, field: u64, value: &Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_a_text() {
        // By hand: 6 layers, 2 FLOP each of 1,769,472 multiply-adds of matrices and 768 of
        // attention for the only token.
        assert_eq!(flop(&[1]), 12.0 * (1_769_472.0 + 768.0));
        assert_eq!(flop(&[2]) - 2.0 * flop(&[1]), 12.0 * 2.0 * 768.0, "attention is quadratic");
        assert_eq!(flop(&[3, 5]), flop(&[3]) + flop(&[5]));
    }

    #[test]
    fn fields_are_written_as_protocol_buffers_are() {
        let mut message = Message::default();
        message.number(1, 150).bytes(2, b"testing");
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
    }
}
