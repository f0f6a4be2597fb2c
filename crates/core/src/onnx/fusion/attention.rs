//! Finds multi-head attention in a graph: `Softmax` between two products of values that are split into heads.
//!
//! ```text
//! query ─ Reshape ─ Transpose ─┐
//! key ─── Reshape ─ Transpose ─ MatMul ─ scale ─ mask ─ Softmax ─ MatMul ─ Transpose ─ Reshape ─ output
//! value ─ Reshape ─ Transpose ───────────────────────────────────┘
//! ```
//!
//! Queries and keys may also be changed after they are split, as rotary positions do.

use std::collections::BTreeSet;

use super::model::{Graph, Node, unread};

/// Orders of a `Transpose` from `[batch, rows, heads, width]`, and from keys by head.
const BY_HEAD: [u64; 4] = [0, 2, 1, 3];
const KEYS: [u64; 4] = [0, 2, 3, 1];
const KEYS_BY_HEAD: [u64; 4] = [0, 1, 3, 2];
/// Maximum operators between a split and a product by head.
const DEPTH: usize = 8;

/// Multi-head attention as one operator.
pub struct Attention<'a> {
    pub query: &'a str,
    pub key: &'a str,
    /// Queries and keys are separated by head.
    pub by_head: bool,
    pub value: &'a str,
    /// Added to the scores.
    pub mask: Option<&'a str>,
    /// Factor of the scores.
    pub scale: f32,
    pub heads: i64,
    pub output: &'a str,
    /// Nodes that the operator replaces.
    pub nodes: BTreeSet<usize>,
}

impl<'a> Attention<'a> {
    /// Matches the attention whose softmax is the node at `softmax`, with the index of its last node.
    pub fn of(graph: &Graph<'a>, softmax: usize) -> Option<(usize, Self)> {
        let mut nodes = BTreeSet::from([softmax]);
        let (scores, weights) = last_axis(&graph.nodes[softmax])?;
        let (scores, mask) = masked(graph, scores, &mut nodes);
        let mut scale = 1.0;
        let scores = scaled(graph, scores, &mut scale, &mut nodes);
        let [query, key] = product(graph, scores, &mut nodes)?;

        let (context, product_at) = only_reader(graph, weights)?;
        let product_node = &graph.nodes[product_at];
        let &[found, values] = product_node.inputs.as_slice() else { return None };
        if !product_node.is("MatMul") || found != weights {
            return None;
        }
        nodes.insert(product_at);
        let (context, transpose_at) = only_reader(graph, context)?;
        transposed(graph, context, &BY_HEAD)?;
        nodes.insert(transpose_at);
        let (output, last) = only_reader(graph, context)?;
        nodes.insert(last);

        let (value, heads) = split(graph, values, &BY_HEAD, &mut nodes)?;
        if !is_together(graph, &graph.nodes[last], heads) {
            return None;
        }
        let mut own = nodes.clone();
        let whole = split(graph, query, &BY_HEAD, &mut own).zip(split(graph, key, &KEYS, &mut own));
        let (by_head, query, key) = match whole {
            Some(((query, of_query), (key, of_key))) if of_query == heads && of_key == heads => {
                nodes = own;
                (false, query, key)
            }
            _ => {
                let by_head = transposed(graph, key, &KEYS_BY_HEAD)?;
                if !is_by_head(graph, query, 0) || !is_by_head(graph, by_head, 0) {
                    return None;
                }
                nodes.extend(graph.producers.get(key));
                (true, query, by_head)
            }
        };
        // A value that another node reads stays.
        let nodes = unread(graph, nodes, last);
        let heads = heads.number;
        let found = Self { query, key, by_head, value, mask, scale, heads, output, nodes };
        found.nodes.contains(&softmax).then_some((last, found))
    }

    /// The values that the operator reads.
    pub fn inputs(&self) -> impl Iterator<Item = &'a str> {
        [self.query, self.key, self.value].into_iter().chain(self.mask)
    }
}

/// Input and output of a softmax over the last of four axes.
fn last_axis<'a>(node: &Node<'a>) -> Option<(&'a str, &'a str)> {
    // Without the attribute, older versions take another axis.
    let axis = node.int("axis", 0).ok()?;
    let last = node.is("Softmax") && (axis == 3 || axis == (-1i64).cast_unsigned());
    match (node.inputs.as_slice(), node.outputs.as_slice()) {
        (&[input], &[output]) if last => Some((input, output)),
        _ => None,
    }
}

/// The scores and what is added to them.
fn masked<'a>(
    graph: &Graph<'a>,
    value: &'a str,
    nodes: &mut BTreeSet<usize>,
) -> (&'a str, Option<&'a str>) {
    let Some(node) = graph.producer(value).filter(|node| node.is("Add")) else {
        return (value, None);
    };
    let &[a, b] = node.inputs.as_slice() else { return (value, None) };
    let is_score = |value| {
        let value = scaled(graph, value, &mut 1.0, &mut BTreeSet::new());
        graph.producer(value).is_some_and(|node| node.is("MatMul"))
    };
    let (scores, mask) = if is_score(a) { (a, b) } else { (b, a) };
    nodes.extend(graph.producers.get(value));
    (scores, Some(mask))
}

/// Strips a factor or divisor.
fn scaled<'a>(
    graph: &Graph<'a>,
    value: &'a str,
    scale: &mut f32,
    nodes: &mut BTreeSet<usize>,
) -> &'a str {
    let Some(node) = graph.producer(value) else { return value };
    let &[a, b] = node.inputs.as_slice() else { return value };
    let (inner, factor) = match (graph.scalar(a), graph.scalar(b)) {
        (_, Some(divisor)) if node.is("Div") => (a, 1.0 / divisor),
        (_, Some(factor)) if node.is("Mul") => (a, factor),
        (Some(factor), _) if node.is("Mul") => (b, factor),
        _ => return value,
    };
    *scale *= factor;
    nodes.extend(graph.producers.get(value));
    inner
}

/// The operands of a product of two values.
fn product<'a>(
    graph: &Graph<'a>,
    value: &str,
    nodes: &mut BTreeSet<usize>,
) -> Option<[&'a str; 2]> {
    let node = graph.producer(value).filter(|node| node.is("MatMul"))?;
    nodes.extend(graph.producers.get(value));
    node.inputs.as_slice().try_into().ok()
}

/// The output of the only node that reads a value, and its index.
fn only_reader<'a>(graph: &Graph<'a>, value: &str) -> Option<(&'a str, usize)> {
    match (graph.takers(value), graph.outputs.contains(value)) {
        (&[at], false) => match graph.nodes[at].outputs.as_slice() {
            &[output] => Some((output, at)),
            _ => None,
        },
        _ => None,
    }
}

/// The input of the `Transpose` with an order that produces `value`.
fn transposed<'a>(graph: &Graph<'a>, value: &str, order: &[u64; 4]) -> Option<&'a str> {
    let node = graph.producer(value).filter(|node| node.is("Transpose"))?;
    let found = node.ints("perm").ok()?;
    match node.inputs.as_slice() {
        &[input] if found == order => Some(input),
        _ => None,
    }
}

/// Number of heads, and their width unless the graph leaves it to the runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Heads {
    number: i64,
    width: i64,
}

/// The value that is split into heads and transposed in an order, with the heads.
fn split<'a>(
    graph: &Graph<'a>,
    value: &str,
    order: &[u64; 4],
    nodes: &mut BTreeSet<usize>,
) -> Option<(&'a str, Heads)> {
    let by_token = transposed(graph, value, order)?;
    let node = graph.producer(by_token).filter(|node| node.is("Reshape"))?;
    let &whole = node.inputs.first()?;
    let &[batch, rows, Size::Fixed(number), Size::Fixed(width)] = sizes(graph, node)?.as_slice()
    else {
        return None;
    };
    if !is_batch_and_rows(batch, rows) || number < 1 || width < 1 {
        return None;
    }
    nodes.extend([value, by_token].iter().filter_map(|value| graph.producers.get(value)));
    Some((whole, Heads { number, width }))
}

/// Returns `true` for a `Reshape` to `[batch, rows, heads * width]`.
fn is_together(graph: &Graph<'_>, node: &Node<'_>, heads: Heads) -> bool {
    match sizes(graph, node).as_deref() {
        Some(&[batch, rows, Size::Fixed(all)]) => {
            is_batch_and_rows(batch, rows)
                && (all == -1 && rows != Size::Fixed(-1)
                    || Some(all) == heads.number.checked_mul(heads.width))
        }
        _ => false,
    }
}

/// Returns `true` for the first two dims of a value of tokens.
fn is_batch_and_rows(batch: Size, rows: Size) -> bool {
    matches!(batch, Size::Fixed(0) | Size::Dim(0))
        && matches!(rows, Size::Fixed(0 | -1) | Size::Dim(1))
}

/// A size within a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// A number, or -1 for what is left, or 0 for the dim of the input.
    Fixed(i64),
    /// A dim of some value, by its index.
    Dim(i64),
}

/// The sizes to which a `Reshape` goes.
fn sizes(graph: &Graph<'_>, reshape: &Node<'_>) -> Option<Vec<Size>> {
    let &[_, shape] = reshape.inputs.as_slice() else { return None };
    if !reshape.is("Reshape") || reshape.int("allowzero", 0).ok()? != 0 {
        return None;
    }
    if let Some(integers) = graph.integers(shape) {
        return Some(integers.iter().copied().map(Size::Fixed).collect());
    }
    let node = graph.producer(shape).filter(|node| node.is("Concat"))?;
    let size = |value: &&str| match graph.integers(value) {
        Some(&[number]) => Some(Size::Fixed(number)),
        Some(_) => None,
        None => dim(graph, value, 0).map(Size::Dim),
    };
    node.inputs.iter().map(size).collect()
}

/// The index of the dim that a value of one element is.
fn dim(graph: &Graph<'_>, value: &str, depth: usize) -> Option<i64> {
    let node = graph.producer(value)?;
    let input = node.inputs.first()?;
    if depth < DEPTH && (node.is("Unsqueeze") || node.is("Squeeze") || node.is("Cast")) {
        return dim(graph, input, depth + 1);
    }
    if node.is("Shape") {
        let start = node.int("start", 0).ok()?.cast_signed();
        let end = node.int("end", u64::MAX >> 1).ok()?.cast_signed();
        return (0 <= start && start.checked_add(1) == Some(end)).then_some(start);
    }
    let shape = graph.producer(input).filter(|node| node.is("Shape"))?;
    let whole = shape.int("start", 0).ok()? == 0;
    match node.inputs.as_slice() {
        &[_, index] if node.is("Gather") && whole => match graph.integers(index) {
            Some(&[index]) if 0 <= index => Some(index),
            _ => None,
        },
        _ => None,
    }
}

/// Returns `true` for a value of four dims that comes from a `Transpose` by head.
fn is_by_head(graph: &Graph<'_>, value: &str, depth: usize) -> bool {
    if transposed(graph, value, &BY_HEAD).is_some() {
        return true;
    }
    let Some(node) = graph.producer(value) else { return false };
    let elementwise = ["Add", "Sub", "Mul", "Div", "Neg", "Concat", "Split", "Slice"];
    depth < DEPTH
        && elementwise.iter().any(|operator| node.is(operator))
        && node.inputs.first().is_some_and(|input| is_by_head(graph, input, depth + 1))
}
