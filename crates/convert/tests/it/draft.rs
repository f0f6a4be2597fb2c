//! Tiny graphs for the tests, with known weights.

use std::path::Path;

use embedkit_convert::onnx::{Attribute, BATCH, Dim, FLOAT, Graph, Port, Value, encode};

/// Numbers with a bell-shaped distribution around 0 and a deviation of about 0.5.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (0..4).map(|_| uniform()).sum()).collect()
}

/// A graph that takes rows of `x`, f32 `[batch_size, width]`.
pub(crate) struct Draft {
    pub(crate) graph: Graph,
    seed: u64,
}

impl Draft {
    pub(crate) fn new(width: usize) -> Self {
        let mut graph = Graph::default();
        let shape = vec![BATCH, Dim::Fixed(width)];
        graph.inputs.push(Port { name: "x".to_owned(), element: FLOAT, shape });
        Self { graph, seed: 0 }
    }

    /// A noise tensor.
    pub(crate) fn weight(&mut self, shape: &[u64]) -> Value {
        self.seed += 1;
        let numbers = noise(self.seed, shape.iter().product::<u64>() as usize);
        self.graph.floats(&format!("weight_{}", self.seed), shape, &numbers)
    }

    /// `input` times a noise matrix.
    pub(crate) fn product(&mut self, input: &str, rows: u64, columns: u64) -> Value {
        let matrix = self.weight(&[rows, columns]);
        self.node("MatMul", &[input, &matrix])
    }

    pub(crate) fn node(&mut self, operator: &str, inputs: &[&str]) -> Value {
        self.graph.add_with(operator, inputs, &[])
    }

    pub(crate) fn transpose(&mut self, input: &str, perm: &[i64]) -> Value {
        self.graph.add_with("Transpose", &[input], &[("perm", Attribute::Ints(perm))])
    }

    pub(crate) fn concat(&mut self, inputs: &[&str], axis: i64) -> Value {
        self.graph.add_with("Concat", inputs, &[("axis", Attribute::Int(axis))])
    }

    pub(crate) fn softmax(&mut self, input: &str) -> Value {
        self.graph.add_with("Softmax", &[input], &[("axis", Attribute::Int(-1))])
    }

    pub(crate) fn gemm(&mut self, inputs: &[&str], transposed: bool) -> Value {
        let attributes = [("transB", Attribute::Int(transposed.into()))];
        self.graph.add_with("Gemm", inputs, &attributes)
    }

    /// Writes the graph. Its output is `value`, with rows of `width` numbers.
    pub(crate) fn write(mut self, value: &str, width: usize, path: &Path) {
        let shape = vec![BATCH, Dim::Fixed(width)];
        self.graph.output = Port { name: value.to_owned(), element: FLOAT, shape };
        std::fs::write(path, encode(&self.graph)).unwrap();
    }
}
