//! Which operators of a graph become integer ones.

use std::collections::{BTreeMap, BTreeSet};

use embedkit_core::onnx::operators::Rows;

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
    /// Nodes that look rows up in a table, by the table.
    pub(super) tables: BTreeMap<usize, &'a str>,
    /// Nodes that are no longer needed: transpositions of matrices, and what products take in.
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

impl Activation<'_> {
    /// How its rows are quantised.
    pub(super) fn rows(&self, smoothed: bool) -> Rows {
        match self.range {
            Range::Symmetric if smoothed => Rows::Smoothed,
            Range::Symmetric => Rows::Plain,
            Range::Gelu => Rows::Gelu,
            Range::Relu => Rows::Relu,
        }
    }
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
    /// The constant vector that is added to it.
    pub(super) bias: Option<&'a str>,
    /// Whether a GELU follows.
    pub(super) gelu: bool,
    /// The value after the product, its bias and its GELU.
    pub(super) output: &'a str,
}

impl<'a> Plan<'a> {
    /// Looks through the graph; with `tables`, for embedding tables, too.
    pub(super) fn of(graph: &Graph<'a>, tables: bool) -> Result<Self, Malformed> {
        let mut plan = Self::default();
        let mut positions = BTreeMap::new();
        let mut gelus = Gelu::all(graph);
        let mut transposes = Transposes::default();
        for (at, node) in graph.nodes.iter().enumerate() {
            if !node.is("MatMul") && !node.is("Gemm") {
                continue;
            }
            let Some(mut product) = product(graph, node, &mut transposes)? else {
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
            plan.take_in(graph, &mut gelus, &mut product);
            plan.activations[product.activation].products.push(at);
            plan.products.insert(at, product);
        }
        // Once for each matrix, however many products share it.
        let matrices: BTreeSet<_> =
            plan.products.keys().map(|product| graph.nodes[*product].inputs[1]).collect();
        for matrix in matrices {
            let Some(&transpose) = graph.producers.get(matrix) else { continue };
            let takers = graph.takers(matrix);
            if takers.iter().all(|taker| plan.products.contains_key(taker))
                && !graph.outputs.contains(matrix)
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

    /// Makes the bias and the GELU after a product part of it, where nothing else needs the values
    /// between.
    fn take_in(
        &mut self,
        graph: &Graph<'a>,
        gelus: &mut BTreeMap<&'a str, Gelu<'a>>,
        product: &mut Product<'a>,
    ) {
        if let (&[add], None) = (graph.takers(product.output), product.bias)
            && !graph.outputs.contains(product.output)
            && let Some(bias) = constant_bias(graph, &graph.nodes[add], product)
            && let &[sum] = graph.nodes[add].outputs.as_slice()
        {
            (product.bias, product.output) = (Some(bias), sum);
            self.dropped.insert(add);
        }
        if let Some(gelu) = gelus.remove(product.output) {
            (product.gelu, product.output) = (true, gelu.value);
            self.dropped.extend(gelu.nodes);
        }
    }
}

/// Which nodes exchange the two dimensions of a matrix: each is asked once, however many products share
/// it.
#[derive(Default)]
struct Transposes(BTreeMap<usize, bool>);

impl Transposes {
    /// The matrix that `value` is with its dimensions exchanged.
    fn undo<'a>(&mut self, graph: &Graph<'a>, value: &str) -> Result<Option<&'a str>, Malformed> {
        let Some(&at) = graph.producers.get(value) else { return Ok(None) };
        let node = &graph.nodes[at];
        let &[input] = node.inputs.as_slice() else { return Ok(None) };
        let transposes = match self.0.get(&at) {
            Some(&transposes) => transposes,
            None => *self.0.entry(at).or_insert(node.transposes_matrix()?),
        };
        Ok(transposes.then_some(input))
    }
}

/// The product that a node is, where it can be one of integers.
fn product<'a>(
    graph: &Graph<'a>,
    node: &Node<'a>,
    transposes: &mut Transposes,
) -> Result<Option<Product<'a>>, Malformed> {
    let (&[activation, mut matrix, ..], [_]) = (node.inputs.as_slice(), node.outputs.as_slice())
    else {
        return Ok(None);
    };
    // A matrix that is needed in both orders is transposed in the graph.
    let mut transposed = false;
    if node.is("MatMul")
        && let Some(input) = transposes.undo(graph, matrix)?
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
    let (activation, gelu, output) = (0, false, node.outputs[0]);
    Ok(Some(Product { activation, matrix, transposed, rows, columns, bias, gelu, output }))
}

/// The vector that `add` adds to a product, if it is a constant.
fn constant_bias<'a>(graph: &Graph<'a>, add: &Node<'a>, product: &Product<'a>) -> Option<&'a str> {
    let (&[a, b], true) = (add.inputs.as_slice(), add.is("Add")) else { return None };
    let bias = if a == product.output { b } else { a };
    let tensor = graph.tensors.get(bias)?;
    (tensor.is_float() && tensor.dims == [product.columns]).then_some(bias)
}

/// The table that a node looks rows up in, where nothing else needs it.
fn table<'a>(graph: &Graph<'a>, node: &Node<'a>) -> Option<&'a str> {
    let (&[name, indices], true) = (node.inputs.as_slice(), node.is("Gather")) else { return None };
    let tensor = graph.tensors.get(name)?;
    let fits = tensor.is_float() && tensor.dims.len() == 2 && TABLE_ROWS <= tensor.dims[0];
    let axis = node.int("axis", 0).ok()?;
    let alone = graph.takers(name).len() == 1 && !graph.outputs.contains(name);
    (fits && axis == 0 && alone && !graph.tensors.contains_key(indices)).then_some(name)
}

/// What the operators before a value say of it.
fn range(graph: &Graph<'_>, value: &str) -> Range {
    let Some(node) = graph.producer(value) else { return Range::Symmetric };
    match (node.domain, node.operator) {
        ("" | "ai.onnx", "Relu") => Range::Relu,
        ("com.microsoft", "BiasGelu" | "FastGelu") => Range::Gelu,
        ("" | "ai.onnx" | "com.microsoft", "Gelu") => Range::Gelu,
        _ if Gelu::of(graph, value).is_some() => Range::Gelu,
        _ => Range::Symmetric,
    }
}

/// `x / 2 (1 + erf(x / sqrt 2))`, as one operator or in whatever order it is multiplied.
struct Gelu<'a> {
    argument: &'a str,
    value: &'a str,
    nodes: BTreeSet<usize>,
}

impl<'a> Gelu<'a> {
    /// Those whose argument and intermediate values nothing else needs, by argument.
    fn all(graph: &Graph<'a>) -> BTreeMap<&'a str, Self> {
        let values = graph.nodes.iter().filter_map(|node| node.outputs.first());
        let gelus = values.filter_map(|value| Self::of(graph, value));
        gelus.filter(|gelu| gelu.is_alone(graph)).map(|gelu| (gelu.argument, gelu)).collect()
    }

    /// The GELU that a value is.
    fn of(graph: &Graph<'a>, value: &'a str) -> Option<Self> {
        let mut nodes = BTreeSet::new();
        if let Some((at, node)) = graph.producers.get(value).map(|&at| (at, &graph.nodes[at]))
            && node.operator == "Gelu"
            && matches!(node.domain, "" | "ai.onnx" | "com.microsoft")
            && let &[argument] = node.inputs.as_slice()
        {
            nodes.insert(at);
            // ONNX's own may be the approximation by a hyperbolic tangent.
            return node.is_exact().then_some(Self { argument, value, nodes });
        }
        let (mut factors, mut constant) = (Vec::new(), 1.0);
        multiply_out(graph, value, &mut factors, &mut constant, &mut nodes, 0);
        let &[a, b] = factors.as_slice() else { return None };
        if (constant - 0.5).abs() > 1e-3 {
            return None;
        }
        let argument = [(a, b), (b, a)].into_iter().find_map(|(x, one_plus_erf)| {
            let erf = other_operand(graph, one_plus_erf, "Add", 1.0)?;
            let scaled = *graph.producer(erf).filter(|node| node.is("Erf"))?.inputs.first()?;
            let found =
                [("Div", std::f32::consts::SQRT_2), ("Mul", std::f32::consts::FRAC_1_SQRT_2)]
                    .into_iter()
                    .any(|(operator, number)| {
                        other_operand(graph, scaled, operator, number) == Some(x)
                    });
            if found {
                let steps = [one_plus_erf, erf, scaled];
                nodes.extend(steps.iter().filter_map(|value| graph.producers.get(value)));
            }
            found.then_some(x)
        })?;
        Some(Self { argument, value, nodes })
    }

    fn is_alone(&self, graph: &Graph<'_>) -> bool {
        let own = self.nodes.iter().filter_map(|&at| graph.nodes[at].outputs.first());
        own.chain([&self.argument]).all(|value| {
            *value == self.value
                || graph.takers(value).iter().all(|taker| self.nodes.contains(taker))
                    && !graph.outputs.contains(value)
        })
    }
}

/// Splits a product into its factors, up to four deep: 16 of them at most, since each `Mul` has two.
fn multiply_out<'a>(
    graph: &Graph<'a>,
    value: &'a str,
    factors: &mut Vec<&'a str>,
    constant: &mut f32,
    nodes: &mut BTreeSet<usize>,
    depth: usize,
) {
    if let Some(number) = graph.scalar(value) {
        *constant *= number;
        return;
    }
    match graph.producer(value) {
        Some(node) if depth < 4 && node.is("Mul") && node.inputs.len() == 2 => {
            nodes.extend(graph.producers.get(value));
            for input in &node.inputs {
                multiply_out(graph, input, factors, constant, nodes, depth + 1);
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
