//! Which operators of a graph become integer ones.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Graph, Node};
use super::wire::Malformed;

/// Fewer columns than this are left as they are: a classifier's few scores gain no time.
const COLUMNS: u64 = 16;
/// More rows could overflow the 32 bits that products are summed in.
const ROWS: u64 = 1 << 16;
/// Fewer rows are no embedding table worth a column of scales.
const TABLE_ROWS: u64 = 1024;

/// What is replaced.
#[derive(Default)]
pub(super) struct Plan<'a> {
    /// Activations by name, in the order of their first use.
    pub(super) activations: Vec<Activation<'a>>,
    /// By the node that is replaced.
    pub(super) products: BTreeMap<usize, Product<'a>>,
    /// Additions of a product's constant bias: the node, and the bias.
    pub(super) biases: BTreeMap<usize, (&'a str, &'a str)>,
    /// Nodes that look rows up in a table, by the table.
    pub(super) tables: BTreeMap<usize, &'a str>,
    /// Transpositions of matrices that are no longer needed.
    pub(super) dropped: BTreeSet<usize>,
    /// Products with a constant matrix that stay as they are.
    pub(super) left: usize,
}

/// A value that is quantised, once for all products that take it.
pub(super) struct Activation<'a> {
    pub(super) name: &'a str,
    /// The length of its rows.
    pub(super) width: u64,
    pub(super) range: Range,
    /// The nodes that multiply it, in order.
    pub(super) products: Vec<usize>,
}

/// What is known of an activation's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Nothing: as far below zero as above.
    Symmetric,
    /// The output of a GELU: never below -0.17.
    Gelu,
    /// The output of a ReLU: never below zero.
    Relu,
}

/// A product of an activation and a constant matrix.
pub(super) struct Product<'a> {
    /// Position in [`Plan::activations`].
    pub(super) activation: usize,
    pub(super) matrix: &'a str,
    /// Whether the matrix stands in the file as `[columns, rows]`.
    pub(super) transposed: bool,
    pub(super) rows: u64,
    pub(super) columns: u64,
    /// What `Gemm` adds.
    pub(super) bias: Option<&'a str>,
    /// Whether something else than a constant bias is added to it right away.
    pub(super) added_to: bool,
}

impl<'a> Plan<'a> {
    /// Looks through the graph; with `tables`, for embedding tables, too.
    pub(super) fn of(graph: &Graph<'a>, tables: bool) -> Result<Self, Malformed> {
        let mut plan = Self::default();
        let mut positions = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            if !node.is("MatMul") && !node.is("Gemm") {
                continue;
            }
            let Some(mut product) = product(graph, node)? else {
                let constant = node.inputs.get(1).and_then(|name| graph.tensors.get(name));
                plan.left += usize::from(constant.is_some_and(|matrix| matrix.dims.len() == 2));
                continue;
            };
            let name = node.inputs[0];
            product.activation = *positions.entry(name).or_insert_with(|| {
                let range = range(graph, name);
                let width = product.rows;
                plan.activations.push(Activation { name, width, range, products: Vec::new() });
                plan.activations.len() - 1
            });
            if plan.activations[product.activation].width != product.rows {
                return Err(format!("{name} is multiplied by matrices of different heights"));
            }
            let sums: Vec<usize> = graph
                .takers(node.outputs[0])
                .iter()
                .copied()
                .filter(|&taker| graph.nodes[taker].is("Add"))
                .collect();
            if let &[add] = sums.as_slice()
                && let Some(bias) = constant_bias(graph, &graph.nodes[add], node, &product)
                && graph.takers(node.outputs[0]).len() == 1
                && shared.insert(add)
            {
                plan.biases.insert(add, (node.outputs[0], bias));
            } else {
                product.added_to = !sums.is_empty();
            }
            plan.activations[product.activation].products.push(at);
            plan.products.insert(at, product);
        }
        for product in plan.products.keys() {
            let matrix = graph.nodes[*product].inputs[1];
            let Some(&transpose) = graph.producers.get(matrix) else { continue };
            let takers = graph.takers(matrix);
            if takers.iter().all(|taker| plan.products.contains_key(taker))
                && !graph.outputs.contains(&matrix)
            {
                plan.dropped.insert(transpose);
            }
        }
        if tables {
            plan.tables = graph
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(at, node)| Some((at, table(graph, node)?)))
                .collect();
        }
        Ok(plan)
    }
}

/// The product that a node is, where it can be one of integers.
fn product<'a>(graph: &Graph<'a>, node: &Node<'a>) -> Result<Option<Product<'a>>, Malformed> {
    let (&[activation, mut matrix, ..], [_]) = (node.inputs.as_slice(), node.outputs.as_slice())
    else {
        return Ok(None);
    };
    // A matrix that is needed in both orders is transposed in the graph.
    let mut transposed = false;
    if let (Some(transpose), true) = (graph.producer(matrix), node.is("MatMul"))
        && transpose.transposes_matrix()?
        && let &[input] = transpose.inputs.as_slice()
    {
        (matrix, transposed) = (input, true);
    }
    let Some(tensor) = graph.tensors.get(matrix) else { return Ok(None) };
    let &[first, second] = tensor.dims.as_slice() else { return Ok(None) };
    if !tensor.is_float() || graph.tensors.contains_key(activation) {
        return Ok(None);
    }
    let mut bias = None;
    if node.is("Gemm") {
        let plain = node.float("alpha", 1.0)? == 1.0
            && node.float("beta", 1.0)? == 1.0
            && node.int("transA", 0)? == 0;
        transposed = node.int("transB", 0)? != 0;
        bias = node.inputs.get(2).copied().filter(|name| !name.is_empty());
        let columns = if transposed { first } else { second };
        let constant = bias.is_none_or(|bias| {
            graph.tensors.get(bias).is_some_and(|bias| bias.is_float() && bias.dims == [columns])
        });
        if !plain || !constant {
            return Ok(None);
        }
    }
    let (rows, columns) = if transposed { (second, first) } else { (first, second) };
    if columns < COLUMNS || rows == 0 || ROWS < rows {
        return Ok(None);
    }
    let added_to = false;
    Ok(Some(Product { activation: 0, matrix, transposed, rows, columns, bias, added_to }))
}

/// The vector that `add` adds to the product of `node`, if it is a constant.
fn constant_bias<'a>(
    graph: &Graph<'a>,
    add: &Node<'a>,
    node: &Node<'a>,
    product: &Product<'a>,
) -> Option<&'a str> {
    let &[a, b] = add.inputs.as_slice() else { return None };
    let bias = if a == node.outputs[0] { b } else { a };
    let tensor = graph.tensors.get(bias)?;
    (tensor.is_float() && tensor.dims == [product.columns] && product.bias.is_none())
        .then_some(bias)
}

/// The table that a node looks rows up in, where nothing else needs it.
fn table<'a>(graph: &Graph<'a>, node: &Node<'a>) -> Option<&'a str> {
    let (&[name, indices], true) = (node.inputs.as_slice(), node.is("Gather")) else { return None };
    let tensor = graph.tensors.get(name)?;
    let fits = tensor.is_float() && tensor.dims.len() == 2 && TABLE_ROWS <= tensor.dims[0];
    let axis = node.int("axis", 0).ok()?;
    let alone = graph.takers(name).len() == 1 && !graph.outputs.contains(&name);
    (fits && axis == 0 && alone && !graph.tensors.contains_key(indices)).then_some(name)
}

/// What the operators before a value say of it.
fn range(graph: &Graph<'_>, value: &str) -> Range {
    let Some(node) = graph.producer(value) else { return Range::Symmetric };
    match (node.domain, node.operator) {
        ("" | "ai.onnx", "Relu") => Range::Relu,
        ("" | "ai.onnx" | "com.microsoft", "Gelu") | ("com.microsoft", "BiasGelu" | "FastGelu") => {
            Range::Gelu
        }
        _ if is_gelu(graph, value) => Range::Gelu,
        _ => Range::Symmetric,
    }
}

/// Whether a value is `x / 2 (1 + erf(x / sqrt 2))`, in whatever order it is multiplied.
fn is_gelu(graph: &Graph<'_>, value: &str) -> bool {
    let (mut factors, mut constant) = (Vec::new(), 1.0);
    multiply_out(graph, value, &mut factors, &mut constant, 0);
    let [a, b] = factors.as_slice() else { return false };
    if (constant - 0.5).abs() > 1e-3 {
        return false;
    }
    [(a, b), (b, a)].into_iter().any(|(x, one_plus_erf)| {
        let erf = other_operand(graph, one_plus_erf, "Add", 1.0);
        let argument = erf.and_then(|erf| graph.producer(erf)).filter(|node| node.is("Erf"));
        let Some(argument) = argument.and_then(|node| node.inputs.first()) else { return false };
        [("Div", std::f32::consts::SQRT_2), ("Mul", std::f32::consts::FRAC_1_SQRT_2)]
            .into_iter()
            .any(|(operator, number)| other_operand(graph, argument, operator, number) == Some(*x))
    })
}

/// Splits a product into its factors, up to four deep.
fn multiply_out<'a>(
    graph: &Graph<'a>,
    value: &'a str,
    factors: &mut Vec<&'a str>,
    constant: &mut f32,
    depth: usize,
) {
    if let Some(number) = graph.scalar(value) {
        *constant *= number;
        return;
    }
    match graph.producer(value) {
        Some(node) if depth < 4 && node.is("Mul") => {
            for input in &node.inputs {
                multiply_out(graph, input, factors, constant, depth + 1);
            }
        }
        _ => factors.push(value),
    }
}

/// The first operand where `value` is `operator` of it and `number`.
fn other_operand<'a>(
    graph: &Graph<'a>,
    value: &str,
    operator: &str,
    number: f32,
) -> Option<&'a str> {
    let node = graph.producer(value).filter(|node| node.is(operator))?;
    let &[a, b] = node.inputs.as_slice() else { return None };
    let is = |value| graph.scalar(value).is_some_and(|found| (found - number).abs() < 1e-3);
    match (is(b), operator != "Div" && is(a)) {
        (true, _) => Some(a),
        (_, true) => Some(b),
        _ => None,
    }
}
