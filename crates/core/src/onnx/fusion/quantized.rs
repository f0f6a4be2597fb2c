//! Finds operators of ours whose rows the next operator quantises.

use std::collections::{BTreeMap, BTreeSet};

use super::super::operators::{
    ADD_NORM, ADD_NORM_QUANTIZED, ATTENTION, ATTENTION_BY_HEAD, ATTENTION_BY_HEAD_QUANTIZED,
    ATTENTION_QUANTIZED, ActivationRange, DOMAIN, Q_MAT_MUL_GELU, Q_MAT_MUL_GELU_QUANTIZED,
};
use super::model::{Graph, Node};

/// An operator that quantises its rows itself.
pub(in crate::onnx) struct Quantized<'a> {
    /// Its name.
    pub(in crate::onnx) operator: &'static str,
    /// Inputs of the operator that gives f32.
    pub(in crate::onnx) inputs: Vec<&'a str>,
    /// Smoothing scales of the rows' columns.
    pub(in crate::onnx) factors: Option<&'a str>,
    pub(in crate::onnx) range: ActivationRange,
    /// The rows of f32 where it gives them, too, quantised rows, and their scales.
    pub(in crate::onnx) outputs: Vec<&'a str>,
}

impl<'a> Quantized<'a> {
    /// All of them by the node that they replace, and the nodes that go.
    pub(in crate::onnx) fn all(graph: &Graph<'a>) -> (BTreeMap<usize, Self>, BTreeSet<usize>) {
        let (mut all, mut dropped) = (BTreeMap::new(), BTreeSet::new());
        for (at, node) in graph.nodes.iter().enumerate() {
            // Of several that quantise the same rows, the first.
            if let Some((producer, quantized)) = Self::of(graph, node)
                && !all.contains_key(&producer)
            {
                all.insert(producer, quantized);
                dropped.insert(at);
            }
        }
        (all, dropped)
    }

    fn of(graph: &Graph<'a>, quantizer: &Node<'a>) -> Option<(usize, Self)> {
        let range = ActivationRange::ALL
            .into_iter()
            .find(|range| quantizer.domain == DOMAIN && quantizer.operator == range.operator())?;
        let (&x, factors) = quantizer.inputs.split_first()?;
        let factors = match factors {
            [] => None,
            // What a node computes may come too late.
            &[factors] if graph.tensors.contains_key(factors) => Some(factors),
            _ => return None,
        };
        let &producer = graph.producers.get(x)?;
        let node = &graph.nodes[producer];
        if node.domain != DOMAIN || node.outputs != [x] || quantizer.outputs.len() != 2 {
            return None;
        }
        let keeps_f32 = node.operator == ADD_NORM;
        let operator = match node.operator {
            ADD_NORM => ADD_NORM_QUANTIZED,
            ATTENTION => ATTENTION_QUANTIZED,
            ATTENTION_BY_HEAD => ATTENTION_BY_HEAD_QUANTIZED,
            Q_MAT_MUL_GELU => Q_MAT_MUL_GELU_QUANTIZED,
            _ => return None,
        };
        let is_read = graph.takers(x).len() > 1 || graph.outputs.contains(x);
        if is_read && !keeps_f32 {
            return None;
        }
        let f32 = keeps_f32.then_some(x);
        let outputs = f32.into_iter().chain(quantizer.outputs.iter().copied()).collect();
        let inputs = node.inputs.clone();
        Some((producer, Self { operator, inputs, factors, range, outputs }))
    }
}
