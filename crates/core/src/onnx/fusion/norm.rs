//! Finds the layer normalisation of a sum in a graph, as one operator or spelled out by older exporters.

use std::collections::BTreeSet;

use super::model::{Graph, Node, unread};

/// Default of the standard operator.
const EPSILON: f32 = 1e-5;

/// The layer normalisation of a sum.
pub struct AddNorm<'a> {
    pub addends: [&'a str; 2],
    pub weight: &'a str,
    /// Zeros if there is none.
    pub bias: Option<&'a str>,
    /// Length of a row.
    pub width: u64,
    pub epsilon: f32,
    pub output: &'a str,
    /// Nodes that the operator replaces.
    pub nodes: BTreeSet<usize>,
}

impl<'a> AddNorm<'a> {
    /// Matches the node at `last` as the end of a normalisation.
    pub fn of(graph: &Graph<'a>, last: usize) -> Option<Self> {
        let norm = whole(graph, last).or_else(|| spelled_out(graph, last))?;
        let sum = graph.producer(norm.input).filter(|node| node.is("Add"))?;
        let addends = <[&str; 2]>::try_from(sum.inputs.as_slice()).ok()?;
        let width = vector(graph, norm.weight)?;
        if norm.bias.is_some_and(|bias| vector(graph, bias) != Some(width)) {
            return None;
        }
        let mut nodes = norm.nodes;
        nodes.extend(graph.producers.get(norm.input));
        Some(Self {
            addends,
            weight: norm.weight,
            bias: norm.bias,
            width,
            epsilon: norm.epsilon,
            output: norm.output,
            nodes: unread(graph, nodes, last),
        })
    }

    /// The values that the operator reads.
    pub fn inputs(&self) -> impl Iterator<Item = &'a str> {
        self.addends.into_iter().chain([self.weight]).chain(self.bias)
    }
}

/// A normalisation.
struct Norm<'a> {
    input: &'a str,
    weight: &'a str,
    bias: Option<&'a str>,
    epsilon: f32,
    output: &'a str,
    nodes: BTreeSet<usize>,
}

/// The standard operator over the last axis.
fn whole<'a>(graph: &Graph<'a>, at: usize) -> Option<Norm<'a>> {
    let node = &graph.nodes[at];
    let last_axis = (-1i64).cast_unsigned();
    if !node.is("LayerNormalization") || node.int("axis", last_axis).ok()? != last_axis {
        return None;
    }
    let (&[input, weight, ref bias @ ..], &[output]) =
        (node.inputs.as_slice(), node.outputs.as_slice())
    else {
        return None;
    };
    let bias = bias.first().copied().filter(|bias| !bias.is_empty());
    let epsilon = node.float("epsilon", EPSILON).ok()?;
    Some(Norm { input, weight, bias, epsilon, output, nodes: BTreeSet::from([at]) })
}

/// `(x - mean(x)) / sqrt(mean((x - mean(x))²) + epsilon) * weight + bias`.
fn spelled_out<'a>(graph: &Graph<'a>, at: usize) -> Option<Norm<'a>> {
    let mut nodes = BTreeSet::from([at]);
    let &[output] = graph.nodes[at].outputs.as_slice() else { return None };
    let mut find = |value: &str, operator: &str| {
        let node = graph.producer(value).filter(|node| node.is(operator))?;
        nodes.extend(graph.producers.get(value));
        Some(node)
    };
    let (scaled, bias) = with_vector(graph, find(output, "Add")?)?;
    let (normal, weight) = with_vector(graph, find(scaled, "Mul")?)?;
    let &[distance, deviation] = find(normal, "Div")?.inputs.as_slice() else { return None };
    let &[positive] = find(deviation, "Sqrt")?.inputs.as_slice() else { return None };
    let &[a, b] = find(positive, "Add")?.inputs.as_slice() else { return None };
    let (variance, epsilon) = match (graph.scalar(a), graph.scalar(b)) {
        (None, Some(epsilon)) => (a, epsilon),
        (Some(epsilon), None) => (b, epsilon),
        _ => return None,
    };
    let square = mean(graph, find(variance, "ReduceMean")?)?;
    let squared = match find(square, "Pow").map(|node| node.inputs.as_slice()) {
        Some(&[base, exponent]) if graph.scalar(exponent) == Some(2.0) => base,
        Some(_) => return None,
        None => match find(square, "Mul")?.inputs.as_slice() {
            &[a, b] if a == b => a,
            _ => return None,
        },
    };
    let mut centered = |value: &str| {
        let &[x, center] = find(value, "Sub")?.inputs.as_slice() else { return None };
        (mean(graph, find(center, "ReduceMean")?)? == x).then_some(x)
    };
    let input = centered(distance)?;
    // Some exporters compute the difference twice.
    if centered(squared)? != input {
        return None;
    }
    Some(Norm { input, weight, bias: Some(bias), epsilon, output, nodes })
}

/// The input of a mean over the last axis.
fn mean<'a>(graph: &Graph<'a>, node: &Node<'a>) -> Option<&'a str> {
    let axes = node.ints("axes").ok()?;
    let axes: Vec<i64> = match node.inputs.get(1) {
        Some(axes) => graph.integers(axes)?.to_vec(),
        None => axes.into_iter().map(u64::cast_signed).collect(),
    };
    (axes == [-1] && node.int("keepdims", 1).ok()? == 1).then_some(node.inputs.first().copied()?)
}

/// The operands of a node, the second of which is a constant vector.
fn with_vector<'a>(graph: &Graph<'a>, node: &Node<'a>) -> Option<(&'a str, &'a str)> {
    let &[a, b] = node.inputs.as_slice() else { return None };
    match (vector(graph, a), vector(graph, b)) {
        (None, Some(_)) => Some((a, b)),
        (Some(_), None) => Some((b, a)),
        _ => None,
    }
}

/// The length of a constant vector, whose numbers are in the file: it may be taken for memory.
fn vector(graph: &Graph<'_>, value: &str) -> Option<u64> {
    let tensor = graph.tensors.get(value).filter(|tensor| tensor.holds_floats())?;
    match tensor.dims.as_slice() {
        &[length] => Some(length),
        _ => None,
    }
}
