//! The model as sessions of the CPU get it: operators fused into ours, and large weights left in the file.
//!
//! ONNX Runtime reads a model file whole and copies each of its tensors, once for each session. Tensors with external
//! data it maps instead. So a session gets a model without its large tensors, whose data are the bytes of the model
//! file itself: sessions of one file, in any process, share these bytes in the cache of the system, and those that no
//! run looks at, such as most rows of a vocabulary, need not be in memory at all.
//!
//! In graphs of eight-bit integers, operators that give f32 rows for the next one to quantise do so themselves.
//!
//! Products with constant f32 matrices become [linear layers](Linear), whose packed matrices all sessions of a model
//! share. Attention and layer normalisations become one operator each, where a [`Plan`] finds them.
//!
//! In a file the data of a tensor begin at any byte, in memory the runtime expects them at a multiple of the element's
//! size. A tensor that begins elsewhere is left in the file only if kernels that load from any address read it. Weights
//! in files of their own stay there, or the model is left as it is.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ffi::OsStr,
    fmt,
    path::Path,
    sync::Arc,
};

use embedkit_types::Precision;

use super::{
    fusion::{
        AddNorm, Attention, FLOAT, GRAPH_INITIALIZER, GRAPH_NODE, INT64, MODEL_GRAPH, MODEL_OPSET,
        Model, Node, Plan, Product, Quantized, Tensor, Three, Value, external_entry, fields,
    },
    graph::{self, Outline},
    operators::{ADD_NORM, ATTENTION, ATTENTION_BY_HEAD, DOMAIN, LINEAR, LINEAR_THREE, VERSION},
    sgemm::{Kernel, Linear, Matrix},
};
use crate::error::Error;

/// Smallest tensor that stays in the file, in bytes: some pages, each of which a map has whole.
const LEAST: usize = 64 << 10;
/// ONNX's number for u8.
const UINT8: u64 = 2;
/// Alignment of weights for our operators, a cache line: a product on tiles takes a quarter longer without it.
const LINE: usize = 64;

/// A model for sessions of the CPU.
pub(super) struct InMemory {
    /// The encoded `ModelProto`.
    pub(super) model: Vec<u8>,
    /// The folder of the model file, without links.
    pub(super) folder: String,
    /// The linear layers, by the numbers that the graph's operators have.
    pub(super) linears: Arc<[Linear]>,
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let linears = self.linears.len();
        f.debug_struct("InMemory").field("linears", &linears).finish_non_exhaustive()
    }
}

impl InMemory {
    /// The model at `path`; `None` where its file is as good, or the runtime would not find its weights.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        // A name in a cache may be a link out of its folder, which the runtime does not follow.
        let Ok(resolved) = path.canonicalize() else { return Ok(None) };
        let names = (
            resolved.parent().and_then(Path::to_str),
            resolved.file_name().and_then(OsStr::to_str),
        );
        let (Some(folder), Some(name)) = names else { return Ok(None) };
        let Some(file) = graph::map(&resolved)? else { return Ok(None) };
        let outline = Outline::of(&file);
        let mut maps = Vec::new();
        for name in &outline.external {
            let named = str::from_utf8(name).ok();
            let Some(weights) = named.and_then(|name| Some((name, below(path, name, folder)?)))
            else {
                return Ok(None);
            };
            let (name, relative) = weights;
            match graph::map(&Path::new(folder).join(&relative))? {
                Some(map) => maps.push((name, relative, map)),
                None => return Ok(None),
            }
        }
        let weights = maps.iter().map(|(name, relative, map)| {
            (name.to_string(), Weights { name: relative.clone(), bytes: map })
        });
        Ok(Self::of(&file, name, &weights.collect(), kernel()).map(|(model, linears)| Self {
            model,
            folder: folder.to_owned(),
            linears: linears.into(),
        }))
    }

    /// The encoded model and the linear layers of a file of this name, for a processor with this kernel.
    fn of(
        file: &[u8],
        name: &str,
        weights: &BTreeMap<String, Weights<'_>>,
        kernel: Option<Kernel>,
    ) -> Option<(Vec<u8>, Vec<Linear>)> {
        let outline = Outline::of(file);
        let files = weights.iter().map(|(name, file)| (name.clone(), file.bytes)).collect();
        // What cannot be read is reported by the runtime, which knows better.
        let model = Model::with_files(file, &files).ok()?;
        let is_f32 = outline.precision == Precision::F32 && !outline.depends_on_batch;
        let plan = match kernel {
            Some(_) if is_f32 => Plan::new(&model.graph, false).ok()?,
            _ => Plan::default(),
        };
        let (model, linears) = Writer::new(file, name, weights, &model, &plan).write()?;
        // A constant in a node, whose file keeps the name that it had, is left to the runtime.
        let found = |file: &Vec<u8>| {
            let mut names = weights.values().map(|weights| weights.name.as_str()).chain([name]);
            names.any(|name| name.as_bytes() == file)
        };
        Outline::of(&model).external.iter().all(found).then_some((model, linears))
    }
}

/// A file with weights beside the model file.
struct Weights<'a> {
    /// Its name in the model file's folder, without links.
    name: String,
    bytes: &'a [u8],
}

/// The name in `folder` of a file with weights of the model at `path`.
fn below(path: &Path, name: &str, folder: &str) -> Option<String> {
    let resolved = path.parent()?.join(name).canonicalize().ok()?;
    resolved.strip_prefix(folder).ok()?.to_str().map(str::to_owned)
}

/// The kernel of linear layers, in a build with optimisation: in others it would be many times as slow as the runtime's.
fn kernel() -> Option<Kernel> {
    Kernel::fastest().filter(|_| !cfg!(debug_assertions))
}

/// Writes the model.
struct Writer<'m, 'a> {
    file: &'a [u8],
    /// The name of the file.
    name: &'m str,
    /// Other files, by the names that the graph gives them.
    weights: &'m BTreeMap<String, Weights<'m>>,
    model: &'m Model<'a>,
    plan: &'m Plan<'a>,
    /// Of the names of new tensors.
    prefix: String,
    made: BTreeSet<String>,
    /// Encoded fields of the graph.
    graph: Vec<u8>,
    /// Operators of ours.
    calls: usize,
    /// Tensors that stay in the file.
    in_file: usize,
    linears: Vec<Linear>,
    /// Packed matrices by name, and by whether the file has them transposed. A file may have many layers with one.
    matrices: BTreeMap<(&'a str, bool), Arc<Matrix>>,
    biases: BTreeMap<&'a str, Arc<[f32]>>,
}

impl<'m, 'a> Writer<'m, 'a> {
    fn new(
        file: &'a [u8],
        name: &'m str,
        weights: &'m BTreeMap<String, Weights<'m>>,
        model: &'m Model<'a>,
        plan: &'m Plan<'a>,
    ) -> Self {
        Self {
            file,
            name,
            weights,
            model,
            plan,
            prefix: model.graph.free_prefix("fused."),
            made: BTreeSet::new(),
            graph: Vec::new(),
            calls: 0,
            in_file: 0,
            linears: Vec::new(),
            matrices: BTreeMap::new(),
            biases: BTreeMap::new(),
        }
    }

    /// The encoded `ModelProto` and its linear layers; `None` where it would be that of the file, or where the file
    /// does not hold the numbers of a matrix.
    fn write(mut self) -> Option<(Vec<u8>, Vec<Linear>)> {
        self.nodes()?;
        self.others()?;
        if self.calls + self.in_file == 0 {
            return None;
        }
        let mut model = Vec::new();
        for field in &self.model.fields {
            match field.number {
                MODEL_GRAPH => put(&mut model, MODEL_GRAPH, &self.graph),
                _ => model.extend_from_slice(field.raw),
            }
        }
        if self.calls > 0 {
            let import = [field(1, DOMAIN), int(2, VERSION)].concat();
            put(&mut model, MODEL_OPSET, &import);
        }
        Some((model, self.linears))
    }

    fn nodes(&mut self) -> Option<()> {
        let (model, plan) = (self.model, self.plan);
        let (quantized, mut dropped) = Quantized::all(&model.graph);
        let (threes, others) = Three::all(&model.graph);
        dropped.extend(&others);
        let nodes = model.graph.fields.iter().filter(|field| field.number == GRAPH_NODE);
        for (at, node) in nodes.enumerate() {
            if let Some(product) = plan.products.get(&at) {
                match plan.three(product) {
                    Some(three) if std::ptr::eq(three[0], product) => self.linears(&three)?,
                    Some(_) => {}
                    None => self.linears(&[product])?,
                }
            } else if let Some(attention) = plan.attentions.get(&at) {
                self.attention(attention);
            } else if let Some(norm) = plan.norms.get(&at) {
                self.add_norm(norm);
            } else if let Some(quantized) = quantized.get(&at) {
                self.quantized(quantized);
            } else if let Some(three) = threes.get(&at) {
                self.call(three.operator, &three.inputs, &three.outputs);
            } else if !plan.dropped.contains(&at) && !dropped.contains(&at) {
                self.graph.extend_from_slice(node.raw);
            }
        }
        Some(())
    }

    /// Tensors, and what else the graph has.
    fn others(&mut self) -> Option<()> {
        let graph = &self.model.graph;
        let unused = self.plan.unused_tensors(graph);
        let mut names = graph.tensor_names.iter();
        for field in graph.fields.iter().filter(|field| field.number != GRAPH_NODE) {
            if field.number != GRAPH_INITIALIZER {
                self.graph.extend_from_slice(field.raw);
                continue;
            }
            let name = *names.next()?;
            if unused.contains(name) {
                continue;
            }
            let tensor = field.bytes().ok()?;
            if graph.tensors.get(name).is_some_and(Tensor::is_elsewhere) {
                let reference = self.elsewhere(name, tensor)?;
                put(&mut self.graph, GRAPH_INITIALIZER, &reference);
            } else if let Some(reference) = self.in_file(name, tensor) {
                self.in_file += 1;
                put(&mut self.graph, GRAPH_INITIALIZER, &reference);
            } else {
                self.graph.extend_from_slice(field.raw);
            }
        }
        Some(())
    }

    /// Adds one linear layer, or three of the same rows.
    fn linears(&mut self, products: &[&Product<'a>]) -> Option<()> {
        let first = self.linears.len();
        for product in products {
            let linear = self.linear(product)?;
            self.linears.push(linear);
        }
        let numbers: Vec<i64> = (first..self.linears.len()).map(|number| number as i64).collect();
        let layers = self.ints(&format!("linear_{first}"), &[numbers.len() as u64], &numbers);
        let activation = self.plan.activations[products[0].activation].name;
        let operator = if products.len() == 3 { LINEAR_THREE } else { LINEAR };
        let outputs: Vec<&str> = products.iter().map(|product| product.output).collect();
        self.call(operator, &[activation, &layers], &outputs);
        Some(())
    }

    fn linear(&mut self, product: &Product<'a>) -> Option<Linear> {
        let graph = &self.model.graph;
        let matrix = match self.matrices.entry((product.matrix, product.transposed)) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => {
                let matrix = Matrix::pack(&product.matrix_of(graph)?, product.rows as usize)?;
                Arc::clone(new.insert(Arc::new(matrix)))
            }
        };
        let bias = match product.bias.map(|bias| (bias, self.biases.entry(bias))) {
            None => None,
            Some((_, Entry::Occupied(known))) => Some(Arc::clone(known.get())),
            Some((bias, Entry::Vacant(new))) => {
                let numbers = graph.tensors.get(bias)?.floats()?;
                Some(Arc::clone(new.insert(numbers.into())))
            }
        };
        Linear::new(matrix, bias, product.gelu)
    }

    fn attention(&mut self, attention: &Attention<'a>) {
        let &Attention { query, key, value, by_head, scale, heads, .. } = attention;
        let mask = match attention.mask {
            Some(mask) => mask.to_owned(),
            None => self.floats("no_mask", &[1; 4], &[0.0]),
        };
        let scale = self.floats(&format!("scale_{scale}"), &[], &[scale]);
        let heads = self.ints(&format!("heads_{heads}"), &[1], &[heads]);
        let operator = if by_head { ATTENTION_BY_HEAD } else { ATTENTION };
        self.call(operator, &[query, key, value, &mask, &scale, &heads], &[attention.output]);
    }

    fn add_norm(&mut self, norm: &AddNorm<'a>) {
        let &AddNorm { addends: [a, b], weight, width, epsilon, .. } = norm;
        let bias = match norm.bias {
            Some(bias) => bias.to_owned(),
            // As many as the weights, which are in the file.
            None => self.floats(&format!("zeros_{width}"), &[width], &vec![0.0; width as usize]),
        };
        let epsilon = self.floats(&format!("epsilon_{epsilon}"), &[], &[epsilon]);
        self.call(ADD_NORM, &[a, b, weight, &bias, &epsilon], &[norm.output]);
    }

    fn quantized(&mut self, quantized: &Quantized<'a>) {
        let zero_point = quantized.range.zero_point();
        let zero_point =
            self.constant(&format!("zero_point_{zero_point}"), UINT8, &[], &[zero_point]);
        let factors = match quantized.factors {
            Some(factors) => factors.to_owned(),
            None => self.floats("no_factors", &[0], &[]),
        };
        let inputs = quantized.inputs.iter().copied().chain([factors.as_str(), &zero_point]);
        self.call(quantized.operator, &inputs.collect::<Vec<_>>(), &quantized.outputs);
    }

    /// Adds a call of an operator of ours. Of a `NodeProto` inputs are field 1, outputs field 2, the name is field 3,
    /// the operator field 4 and the domain field 7.
    fn call(&mut self, operator: &str, inputs: &[&str], outputs: &[&str]) {
        let mut node: Vec<u8> = inputs.iter().flat_map(|input| field(1, input)).collect();
        node.extend(outputs.iter().flat_map(|output| field(2, output)));
        for (number, text) in [(3, outputs[0]), (4, operator), (7, DOMAIN)] {
            put(&mut node, number, text.as_bytes());
        }
        put(&mut self.graph, GRAPH_NODE, &node);
        self.calls += 1;
    }

    fn floats(&mut self, name: &str, shape: &[u64], numbers: &[f32]) -> String {
        let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, FLOAT, shape, &data)
    }

    fn ints(&mut self, name: &str, shape: &[u64], numbers: &[i64]) -> String {
        let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, INT64, shape, &data)
    }

    /// Adds a tensor, unless it exists already. Of a `TensorProto` dims are field 1, the element type is field 2, the
    /// name field 8, and numbers as bytes are field 9.
    fn constant(&mut self, name: &str, element: u64, shape: &[u64], data: &[u8]) -> String {
        let name = format!("{}{name}", self.prefix);
        if self.made.insert(name.clone()) {
            let dims = shape.iter().flat_map(|&dim| int(1, dim));
            let mut tensor: Vec<u8> = dims.chain(int(2, element)).collect();
            put(&mut tensor, 8, name.as_bytes());
            put(&mut tensor, 9, data);
            put(&mut self.graph, GRAPH_INITIALIZER, &tensor);
        }
        name
    }

    /// A `TensorProto` whose numbers are bytes of the file; `None` for one that is not to stay there. Numbers as bytes
    /// are field 9, fields 13 and 14 say that they are in a file.
    fn in_file(&self, name: &str, tensor: &[u8]) -> Option<Vec<u8>> {
        if tensor.len() < LEAST {
            return None;
        }
        let (mut element, mut data, mut rest) = (0, None, Vec::new());
        for field in fields(tensor).ok()? {
            match (field.number, field.value) {
                (9, Value::Bytes(bytes)) if data.is_none() => {
                    data = Some(bytes);
                    continue;
                }
                (9 | 13 | 14, _) => return None,
                (2, Value::Number(number)) => element = number,
                _ => {}
            }
            rest.extend_from_slice(field.raw);
        }
        let data = data.filter(|data| data.len() >= LEAST)?;
        let offset = data.as_ptr().addr() - self.file.as_ptr().addr();
        if !offset.is_multiple_of(self.alignment(name, element)?) {
            return None;
        }
        let (offset, length) = (offset.to_string(), data.len().to_string());
        for (key, value) in [("location", self.name), ("offset", &offset), ("length", &length)] {
            put(&mut rest, 13, &[field(1, key), field(2, value)].concat());
        }
        rest.extend(int(14, 1));
        Some(rest)
    }

    /// A `TensorProto` in a file of its own, by the file's name without links; `None` where its readers could not use it
    /// there.
    fn elsewhere(&self, name: &str, tensor: &[u8]) -> Option<Vec<u8>> {
        let (mut moved, mut element, mut offset) = (Vec::new(), 0, 0);
        for part in fields(tensor).ok()? {
            match (part.number, part.value) {
                (2, Value::Number(number)) => element = number,
                (13, Value::Bytes(entry)) => match external_entry(entry).ok()? {
                    ("location", file) => {
                        let file = &self.weights.get(file)?.name;
                        put(&mut moved, 13, &[field(1, "location"), field(2, file)].concat());
                        continue;
                    }
                    ("offset", number) => offset = number.parse().ok()?,
                    _ => {}
                },
                _ => {}
            }
            moved.extend_from_slice(part.raw);
        }
        let offset: usize = offset;
        offset.is_multiple_of(self.alignment(name, element)?).then_some(moved)
    }

    /// Alignment in bytes that the readers of a tensor need; `None` for text, complex numbers and parts of bytes.
    fn alignment(&self, name: &str, element: u64) -> Option<usize> {
        let graph = &self.model.graph;
        let readers = || graph.takers(name).iter().map(|&at| &graph.nodes[at]);
        if readers().any(|node| node.domain == DOMAIN) {
            return Some(LINE);
        }
        Some(match element {
            // Rows are copied byte by byte, and a matrix is packed by vector loads that need no alignment.
            FLOAT if readers().all(|node| loads_from_any_address(node, name)) => 1,
            2 | 3 | 9 => 1,       // u8, i8, bool
            4 | 5 | 10 | 16 => 2, // u16, i16, f16, bf16
            FLOAT | 6 | 12 => 4,  // f32, i32, u32
            INT64 | 11 | 13 => 8, // i64, f64, u64
            _ => return None,
        })
    }
}

fn loads_from_any_address(node: &Node<'_>, name: &str) -> bool {
    let at = match node {
        _ if node.is("Gather") => 0,
        _ if node.is("MatMul") || node.is("Gemm") => 1,
        _ => return false,
    };
    // A subgraph may read it, too, but these operators have none.
    node.inputs.iter().enumerate().all(|(index, input)| (index == at) == (*input == name))
}

/// Appends a field of bytes.
fn put(to: &mut Vec<u8>, number: u64, content: &[u8]) {
    varint(to, number << 3 | 2);
    varint(to, content.len() as u64);
    to.extend_from_slice(content);
}

fn field(number: u64, text: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    put(&mut encoded, number, text.as_bytes());
    encoded
}

fn int(number: u64, value: u64) -> Vec<u8> {
    let mut encoded = Vec::new();
    varint(&mut encoded, number << 3);
    varint(&mut encoded, value);
    encoded
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
