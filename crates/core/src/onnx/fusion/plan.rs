//! Selection of the operators that are replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::super::operators::ActivationRange;
use super::attention::Attention;
use super::model::{Graph, Node};
use super::norm::AddNorm;
use super::wire::Malformed;

/// Minimum columns of a matrix; the few scores of a classifier gain no time.
const COLUMNS: u64 = 16;
/// Maximum rows of a matrix; more could overflow the 32-bit accumulators.
const ROWS: u64 = 1 << 16;
/// Minimum rows of an embedding table; a column of scales does not pay for fewer.
const TABLE_ROWS: u64 = 1024;

/// The operators to replace.
#[derive(Default)]
pub struct Plan<'a> {
    /// Activations in the order of their first use.
    pub activations: Vec<Activation<'a>>,
    /// Products by the index of the node that is replaced.
    pub products: BTreeMap<usize, Product<'a>>,
    /// Name of the embedding table by the index of the node that looks rows up in it.
    pub tables: BTreeMap<usize, &'a str>,
    /// Attention by the index of its last node, which is replaced.
    pub attentions: BTreeMap<usize, Attention<'a>>,
    /// Layer normalisations of sums by the index of their last node, which is replaced.
    pub norms: BTreeMap<usize, AddNorm<'a>>,
    /// Nodes that become unused: transposes of matrices, and nodes fused into others.
    pub dropped: BTreeSet<usize>,
    /// Number of products with a constant matrix that stay f32.
    pub left: usize,
}

/// A value that is quantised once for all products that read it.
pub struct Activation<'a> {
    pub name: &'a str,
    /// Length of a row.
    pub width: u64,
    pub range: ActivationRange,
    /// Indices of the nodes that multiply it, in order.
    pub products: Vec<usize>,
}

impl Activation<'_> {
    /// Range for quantisation, with or without smoothing factors.
    pub fn quantized_range(&self, smoothed: bool) -> ActivationRange {
        match self.range {
            ActivationRange::Symmetric if smoothed => ActivationRange::Smoothed,
            range => range,
        }
    }
}

/// A product of an activation and a constant matrix.
pub struct Product<'a> {
    /// Position in [`Plan::activations`].
    pub activation: usize,
    pub matrix: &'a str,
    /// The file stores the matrix as `[columns, rows]`.
    pub transposed: bool,
    pub rows: u64,
    pub columns: u64,
    /// Constant vector that is added to the product.
    pub bias: Option<&'a str>,
    /// A GELU follows the product.
    pub gelu: bool,
    /// Name of the value after product, bias and GELU.
    pub output: &'a str,
}

impl Product<'_> {
    /// The matrix with one row for each input channel; `None` if the file does not hold its numbers.
    #[must_use]
    pub fn matrix_of(&self, graph: &Graph<'_>) -> Option<Vec<f32>> {
        let numbers = graph.tensors.get(self.matrix)?.floats()?;
        if !self.transposed {
            return Some(numbers);
        }
        let (rows, columns) = (self.rows as usize, self.columns as usize);
        let mut turned = vec![0.0; numbers.len()];
        for (column, line) in numbers.chunks(rows).enumerate() {
            for (row, number) in line.iter().enumerate() {
                turned[row * columns + column] = *number;
            }
        }
        Some(turned)
    }
}

impl<'a> Plan<'a> {
    /// Plans the replacement of products and, with `tables`, of embedding tables.
    pub fn new(graph: &Graph<'a>, tables: bool) -> Result<Self, Malformed> {
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
            plan.fuse(graph, &mut gelus, &mut product);
            plan.activations[product.activation].products.push(at);
            plan.products.insert(at, product);
        }
        // Once for each matrix, even if several products share it.
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
        plan.fuse_layers(graph);
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

    /// The three products of the rows that `product` multiplies, if there are as many and no GELU follows: queries, keys
    /// and values of attention.
    #[must_use]
    pub fn three(&self, product: &Product<'a>) -> Option<[&Product<'a>; 3]> {
        let products = self.activations.get(product.activation)?.products.as_slice();
        let three = <[usize; 3]>::try_from(products).ok()?;
        let three = three.map(|at| &self.products[&at]);
        three.iter().all(|product| !product.gelu).then_some(three)
    }

    /// Tensors that no node reads once the operators are replaced: operators of attentions and normalisations read
    /// their inputs, the others have matrices, biases and tables in a form of their own.
    #[must_use]
    pub fn unused_tensors(&self, graph: &Graph<'a>) -> BTreeSet<&'a str> {
        let read: BTreeSet<&str> = self.attentions.values().flat_map(Attention::inputs).collect();
        let read = &read | &self.norms.values().flat_map(AddNorm::inputs).collect();
        let is_unused = |name: &str| {
            let replaced = |taker: &usize| {
                self.dropped.contains(taker)
                    || self
                        .products
                        .get(taker)
                        .is_some_and(|product| product.matrix == name || product.bias == Some(name))
                    || self.tables.contains_key(taker)
                    || self.attentions.contains_key(taker)
                    || self.norms.contains_key(taker)
            };
            let takers = graph.takers(name);
            !read.contains(name)
                && !takers.is_empty()
                && takers.iter().all(replaced)
                && !graph.outputs.contains(name)
        };
        graph.tensors.keys().copied().filter(|name| is_unused(name)).collect()
    }

    /// Finds attention and layer normalisations, as far as the values that they read remain.
    fn fuse_layers(&mut self, graph: &Graph<'a>) {
        let nodes = 0..graph.nodes.len();
        let softmaxes = nodes.clone().filter(|&at| graph.nodes[at].is("Softmax"));
        self.attentions = softmaxes.filter_map(|at| Attention::of(graph, at)).collect();
        let ends = nodes.filter(|at| !self.products.contains_key(at) && !self.dropped.contains(at));
        self.norms = ends.filter_map(|at| Some((at, AddNorm::of(graph, at)?))).collect();
        // Those that go make the others no worse, so that one pass finds all.
        let dropped = self.dropped_with_layers();
        let products = &self.products;
        let outputs: BTreeSet<&str> = products.values().map(|product| product.output).collect();
        let remains = |value: &str| match graph.producers.get(value) {
            Some(at) => match products.get(at) {
                Some(product) => product.output == value,
                None => !dropped.contains(at) || outputs.contains(value),
            },
            None => true,
        };
        self.attentions
            .retain(|last, attention| !dropped.contains(last) && attention.inputs().all(remains));
        self.norms.retain(|last, norm| !dropped.contains(last) && norm.inputs().all(remains));
        self.dropped = self.dropped_with_layers();
    }

    /// Nodes that are dropped already, and those of attentions and normalisations but their last ones.
    fn dropped_with_layers(&self) -> BTreeSet<usize> {
        let mut dropped = self.dropped.clone();
        for (last, attention) in &self.attentions {
            dropped.extend(attention.nodes.iter().filter(|at| *at != last));
        }
        for (last, norm) in &self.norms {
            dropped.extend(norm.nodes.iter().filter(|at| *at != last));
        }
        dropped
    }

    /// Fuses a following bias and GELU into a product, unless another node reads the intermediate values.
    fn fuse(
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

/// Cache of the nodes that transpose a matrix, since products may share one.
#[derive(Default)]
struct Transposes(BTreeMap<usize, bool>);

impl Transposes {
    /// The matrix whose transpose is `value`.
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

/// Reads a node as a matrix product; `None` if it cannot become int8.
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

/// The constant vector that `add` adds to a product.
fn constant_bias<'a>(graph: &Graph<'a>, add: &Node<'a>, product: &Product<'a>) -> Option<&'a str> {
    let (&[a, b], true) = (add.inputs.as_slice(), add.is("Add")) else { return None };
    let bias = if a == product.output { b } else { a };
    let tensor = graph.tensors.get(bias)?;
    (tensor.is_float() && tensor.dims == [product.columns]).then_some(bias)
}

/// The embedding table that a node looks rows up in, if no other node reads it.
fn table<'a>(graph: &Graph<'a>, node: &Node<'a>) -> Option<&'a str> {
    let (&[name, indices], true) = (node.inputs.as_slice(), node.is("Gather")) else { return None };
    let tensor = graph.tensors.get(name)?;
    let fits = tensor.is_float() && tensor.dims.len() == 2 && TABLE_ROWS <= tensor.dims[0];
    let axis = node.int("axis", 0).ok()?;
    let alone = graph.takers(name).len() == 1 && !graph.outputs.contains(name);
    (fits && axis == 0 && alone && !graph.tensors.contains_key(indices)).then_some(name)
}

/// Range of a value by the operator that produces it.
fn range(graph: &Graph<'_>, value: &str) -> ActivationRange {
    let Some(node) = graph.producer(value) else { return ActivationRange::Symmetric };
    match (node.domain, node.operator) {
        ("" | "ai.onnx", "Relu") => ActivationRange::Relu,
        ("com.microsoft", "BiasGelu" | "FastGelu") => ActivationRange::Gelu,
        ("" | "ai.onnx" | "com.microsoft", "Gelu") => ActivationRange::Gelu,
        _ if Gelu::of(graph, value).is_some() => ActivationRange::Gelu,
        _ => ActivationRange::Symmetric,
    }
}

/// `x / 2 (1 + erf(x / sqrt 2))`, as one operator or as products in any order.
struct Gelu<'a> {
    argument: &'a str,
    value: &'a str,
    nodes: BTreeSet<usize>,
}

impl<'a> Gelu<'a> {
    /// All GELUs by argument, without those with an intermediate value that another node reads.
    fn all(graph: &Graph<'a>) -> BTreeMap<&'a str, Self> {
        let values = graph.nodes.iter().filter_map(|node| node.outputs.first());
        let gelus = values.filter_map(|value| Self::of(graph, value));
        gelus.filter(|gelu| gelu.is_alone(graph)).map(|gelu| (gelu.argument, gelu)).collect()
    }

    /// Matches a GELU that produces `value`.
    fn of(graph: &Graph<'a>, value: &'a str) -> Option<Self> {
        let mut nodes = BTreeSet::new();
        if let Some((at, node)) = graph.producers.get(value).map(|&at| (at, &graph.nodes[at]))
            && node.operator == "Gelu"
            && matches!(node.domain, "" | "ai.onnx" | "com.microsoft")
            && let &[argument] = node.inputs.as_slice()
        {
            nodes.insert(at);
            // The standard operator may be the tanh approximation.
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

/// Splits a product into its factors, up to four levels deep: at most 16, since each `Mul` has two.
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

/// The other operand if `value` is `operator` of it and `number`.
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
