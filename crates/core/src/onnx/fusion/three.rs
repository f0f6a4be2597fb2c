//! Finds three products of ours of the same rows, as attention has for queries, keys and values.

use std::collections::{BTreeMap, BTreeSet};

use super::super::operators::{
    BF16_MAT_MUL, BF16_MAT_MUL_THREE, DOMAIN, Q_MAT_MUL, Q_MAT_MUL_THREE,
};
use super::model::Graph;

/// Three products that are one operator.
pub(in crate::onnx) struct Three<'a> {
    /// Its name.
    pub(in crate::onnx) operator: &'static str,
    /// The rows, then the inputs of each product.
    pub(in crate::onnx) inputs: Vec<&'a str>,
    pub(in crate::onnx) outputs: Vec<&'a str>,
}

impl<'a> Three<'a> {
    /// All of them by the node that they replace, the first of each three, and the nodes that go.
    pub(in crate::onnx) fn all(graph: &Graph<'a>) -> (BTreeMap<usize, Self>, BTreeSet<usize>) {
        let mut products: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            let (three, rows) = match node.operator {
                _ if node.domain != DOMAIN || node.outputs.len() != 1 => continue,
                Q_MAT_MUL => (Q_MAT_MUL_THREE, 3),
                BF16_MAT_MUL => (BF16_MAT_MUL_THREE, 1),
                _ => continue,
            };
            let Some((rows, others)) = node.inputs.split_at_checked(rows) else { continue };
            // What a node computes may come too late.
            if others.iter().all(|other| graph.tensors.contains_key(other)) {
                products.entry((three, rows)).or_default().push(at);
            }
        }
        let (mut all, mut dropped) = (BTreeMap::new(), BTreeSet::new());
        for ((operator, rows), products) in products {
            let &[first, second, third] = products.as_slice() else { continue };
            let nodes = [first, second, third].map(|at| &graph.nodes[at]);
            let others = nodes.iter().flat_map(|node| &node.inputs[rows.len()..]);
            let inputs = rows.iter().chain(others).copied().collect();
            let outputs = nodes.iter().map(|node| node.outputs[0]).collect();
            all.insert(first, Self { operator, inputs, outputs });
            dropped.extend([second, third]);
        }
        (all, dropped)
    }
}
