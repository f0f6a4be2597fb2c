//! Builds the graph of any [`Encoder`].
//!
//! The graph uses the operators of PyTorch's own export. Matrices are stored transposed (`x · W`), which
//! saves the runtime a sixth of the load time. ONNX Runtime fuses this form: bias with GELU, and scale
//! with the score product. Other forms (queries, keys and values as one product, `Gemm` on flattened
//! rows, scale folded into the query matrix, opset 23's `Attention`) were as fast: medians within 3 %,
//! while two copies of one file differ by 5 %. Layers that lie in one tensor are therefore taken apart.

mod adapters;
mod attention;
mod bias;
mod disentangled;
mod embed;
mod experts;
mod patches;
mod pool;

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    Activation, Adapters, Encoder, Input, Layer, Linear, Mlp, Norm, NormKind, Part, Residual,
    Rotary, ScoreBias, Table,
};
use crate::graph::{Attribute, FLOAT, Graph, INT64, Value};
use crate::options::Precision;

/// Maximum elements of a matrix that is transposed here, in memory (32 MiB).
const TURNED_LIMIT: usize = 1 << 23;

/// Builder of the graph, with the source of its weights.
pub(crate) struct Network<'a> {
    checkpoint: &'a Checkpoint,
    pub(crate) graph: Graph,
    /// Values that layers share.
    biases: Vec<(ScoreBias, Value)>,
    rotations: Vec<(Rotary, attention::Rotation)>,
    distance_rows: Vec<(disentangled::Direction, Value)>,
    length: Option<Value>,
    task: Option<Value>,
}

/// Last value of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Hidden states after all layers.
    Hidden,
    /// Attention weights of the last layer.
    Attention,
}

impl<'a> Network<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, precision: Precision) -> Self {
        let mut graph = Graph::default();
        graph.half = precision == Precision::F16;
        Self {
            checkpoint,
            graph,
            biases: Vec::new(),
            rotations: Vec::new(),
            distance_rows: Vec::new(),
            length: None,
            task: None,
        }
    }

    /// Builds the encoder and returns its last value.
    pub(crate) fn encode(
        &mut self,
        encoder: &Encoder,
        token_types: bool,
        end: End,
    ) -> Result<Value, Error> {
        let mut x = match &encoder.input {
            Input::Tokens(embeddings) => {
                self.graph.input("input_ids");
                if encoder.layers.iter().any(|layer| !layer.attention.bias.unpadded) {
                    self.graph.input("attention_mask");
                }
                self.embed(embeddings, token_types)?
            }
            Input::Pixels(patches) => self.embed_patches(patches)?,
        };
        for (index, layer) in encoder.layers.iter().enumerate() {
            if end == End::Attention && index + 1 == encoder.layers.len() {
                return self.attention_of(&x, layer);
            }
            x = self.layer(&x, layer)?;
        }
        match &encoder.final_norm {
            Some(norm) => self.norm(&x, norm),
            None => Ok(x),
        }
    }

    fn layer(&mut self, x: &str, layer: &Layer) -> Result<Value, Error> {
        let width = layer.attention.output.to;
        let x = self.residual(x, width, &layer.attention_residual, |network, x| {
            network.attend(x, &layer.attention)
        })?;
        self.residual(&x, width, &layer.mlp_residual, |network, x| network.mlp(x, &layer.mlp))
    }

    /// Attention weights of a layer.
    fn attention_of(&mut self, x: &str, layer: &Layer) -> Result<Value, Error> {
        let x = self.optional_norm(x, layer.attention_residual.before.as_ref())?;
        self.attention_weights(&x, &layer.attention)
    }

    fn residual(
        &mut self,
        x: &str,
        width: usize,
        residual: &Residual,
        branch: impl FnOnce(&mut Self, &str) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        let start = self.optional_norm(x, residual.before.as_ref())?;
        let end = branch(self, &start)?;
        let mut end = self.optional_norm(&end, residual.end.as_ref())?;
        if let Some(inner) = &residual.inner {
            let sum = self.graph.add("Add", &[&end, x]);
            end = self.norm(&sum, inner)?;
        }
        if let Some(scale) = &residual.scale {
            let scale = self.weight(std::slice::from_ref(scale), &[width])?;
            end = self.graph.add("Mul", &[&end, &scale]);
        }
        let sum = self.graph.add("Add", &[&end, x]);
        self.optional_norm(&sum, residual.after.as_ref())
    }

    fn mlp(&mut self, x: &str, mlp: &Mlp) -> Result<Value, Error> {
        match mlp {
            Mlp::Plain { up, activation, down } => {
                let inner = self.linear(x, up)?;
                let inner = self.activate(&inner, *activation);
                self.linear(&inner, down)
            }
            Mlp::Gated { gate, activation, up, down } => {
                let gate = self.linear(x, gate)?;
                let gate = self.activate(&gate, *activation);
                let inner = self.linear(x, up)?;
                let inner = self.graph.add("Mul", &[&gate, &inner]);
                self.linear(&inner, down)
            }
            Mlp::Experts(experts) => self.experts(x, experts),
        }
    }

    /// `x · Wᵀ + b` with the checkpoint's `W` of shape `[to, from]`.
    pub(crate) fn linear(&mut self, x: &str, linear: &Linear) -> Result<Value, Error> {
        let &Linear { ref name, from, to, bias, part, adapters } = linear;
        let matrix = self.matrix(&weight_name(name, adapters), from, to, part)?;
        let bias =
            if bias { Some(self.weight_part(&format!("{name}.bias"), &[to], part)?) } else { None };
        let mut product = self.graph.add("MatMul", &[x, &matrix]);
        if let Some(adapters) = adapters {
            let change = self.adapted_product(x, linear, adapters)?;
            product = self.graph.add("Add", &[&product, &change]);
        }
        Ok(match bias {
            Some(bias) => self.graph.add("Add", &[&product, &bias]),
            None => product,
        })
    }

    /// A matrix of the checkpoint, `[to, from]`, transposed to `[from, to]`.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        from: usize,
        to: usize,
        part: Part,
    ) -> Result<Value, Error> {
        let small = from.saturating_mul(to) <= TURNED_LIMIT;
        let matrix = self.stored(&[name.to_owned()], &[to, from], part, small)?;
        Ok(if small { matrix } else { self.turn(&matrix) })
    }

    /// A matrix that the runtime transposes once, at load time.
    pub(crate) fn turn(&mut self, matrix: &str) -> Value {
        self.graph.add_with("Transpose", &[matrix], &[("perm", Attribute::Ints(&[1, 0]))])
    }

    pub(crate) fn optional_norm(&mut self, x: &str, norm: Option<&Norm>) -> Result<Value, Error> {
        match norm {
            Some(norm) => self.norm(x, norm),
            None => Ok(x.to_owned()),
        }
    }

    /// Normalisation over the last dimension, with either spelling of its tensors.
    pub(crate) fn norm(&mut self, x: &str, norm: &Norm) -> Result<Value, Error> {
        let &Norm { ref name, width, epsilon, kind } = norm;
        let spellings = |new: &str, old: &str| [format!("{name}.{new}"), format!("{name}.{old}")];
        let scale = self.weight(&spellings("weight", "gamma"), &[width])?;
        match kind {
            NormKind::Layer { bias } => {
                let mut inputs = vec![x.to_owned(), scale];
                if bias {
                    inputs.push(self.weight(&spellings("bias", "beta"), &[width])?);
                }
                let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
                let attributes =
                    [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon))];
                Ok(self.graph.add_with("LayerNormalization", &inputs, &attributes))
            }
            NormKind::Rms => Ok(self.rms_norm(x, &scale, epsilon)),
            NormKind::RmsPlusOne => {
                let one = self.graph.float(1.0);
                let scale = self.graph.add("Add", &[&scale, &one]);
                Ok(self.rms_norm(x, &scale, epsilon))
            }
        }
    }

    /// `x / √(mean(x²) + ε) * scale`, in the form that ONNX Runtime fuses.
    fn rms_norm(&mut self, x: &str, scale: &str, epsilon: f32) -> Value {
        // Squares exceed f16 soon.
        let x = self.full(x);
        let graph = &mut self.graph;
        let two = graph.full_floats("two", &[], &[2.0]);
        let epsilon = graph.full_floats(&format!("epsilon_{epsilon:e}"), &[], &[epsilon]);
        let square = graph.add("Pow", &[&x, &two]);
        let axes = [("axes", Attribute::Ints(&[-1]))];
        let mean = graph.add_with("ReduceMean", &[&square], &axes);
        let mean = graph.add("Add", &[&mean, &epsilon]);
        let root = graph.add("Sqrt", &[&mean]);
        let x = graph.add("Div", &[&x, &root]);
        let x = self.own(&x);
        self.graph.add("Mul", &[&x, scale])
    }

    pub(crate) fn activate(&mut self, x: &str, activation: Activation) -> Value {
        let graph = &mut self.graph;
        let gate = match activation {
            Activation::Relu => return graph.add("Relu", &[x]),
            Activation::Tanh => return graph.add("Tanh", &[x]),
            Activation::Silu => {
                let gate = graph.add("Sigmoid", &[x]);
                return graph.add("Mul", &[x, &gate]);
            }
            Activation::QuickGelu => {
                let factor = graph.float(1.702);
                let gate = graph.add("Mul", &[x, &factor]);
                let gate = graph.add("Sigmoid", &[&gate]);
                return graph.add("Mul", &[x, &gate]);
            }
            Activation::Gelu => {
                let root = graph.float(std::f32::consts::SQRT_2);
                let scaled = graph.add("Div", &[x, &root]);
                graph.add("Erf", &[&scaled])
            }
            // tanh(√(2/π) x (1 + 0.044715 x²))
            Activation::GeluTanh => {
                let (one, cubic) = (graph.float(1.0), graph.float(0.044_715));
                let root = graph.float((2.0 / std::f64::consts::PI).sqrt() as f32);
                let square = graph.add("Mul", &[x, x]);
                let square = graph.add("Mul", &[&square, &cubic]);
                let factor = graph.add("Add", &[&square, &one]);
                let scaled = graph.add("Mul", &[x, &root]);
                let inner = graph.add("Mul", &[&scaled, &factor]);
                graph.add("Tanh", &[&inner])
            }
        };
        let (one, half) = (graph.float(1.0), graph.float(0.5));
        let gate = graph.add("Add", &[&gate, &one]);
        let product = graph.add("Mul", &[x, &gate]);
        graph.add("Mul", &[&product, &half])
    }

    pub(crate) fn table(&mut self, table: &Table) -> Result<Value, Error> {
        self.weight(&[weight_name(&table.name, table.adapters)], &[table.rows, table.width])
    }

    /// The first of `names` that the checkpoint has, checked against `shape`.
    pub(crate) fn weight(&mut self, names: &[String], shape: &[usize]) -> Result<Value, Error> {
        self.stored(names, shape, Part::WHOLE, false)
    }

    fn weight_part(&mut self, name: &str, shape: &[usize], part: Part) -> Result<Value, Error> {
        self.stored(&[name.to_owned()], shape, part, false)
    }

    /// The first of `names` that the checkpoint has. `shape` is that of the part, as in the checkpoint.
    fn stored(
        &mut self,
        names: &[String],
        shape: &[usize],
        part: Part,
        transposed: bool,
    ) -> Result<Value, Error> {
        let Part { index, count } = part;
        let mut whole = shape.to_vec();
        whole[0] *= count;
        let (name, located) = self.checkpoint.find_shaped(names, &whole)?;
        if part == Part::WHOLE {
            return Ok(self.graph.weight(name, located.clone(), transposed));
        }
        Ok(self.graph.weight(&format!("{name}.{index}"), located.part(index, count), transposed))
    }

    /// Sequence length, as a list of one.
    fn length(&mut self) -> Value {
        let graph = &mut self.graph;
        let shape = || {
            let attributes = [("start", Attribute::Int(1)), ("end", Attribute::Int(2))];
            graph.add_with("Shape", &["input_ids"], &attributes)
        };
        self.length.get_or_insert_with(shape).clone()
    }

    /// The numbers from 0 to the sequence length.
    fn range(&mut self) -> Value {
        let length = self.length();
        let graph = &mut self.graph;
        let (zero, one) = (graph.int(0), graph.int(1));
        let length = graph.add("Squeeze", &[&length]);
        graph.add("Range", &[&zero, &length, &one])
    }

    /// Integers or truth values as numbers of the graph's type.
    fn cast_float(&mut self, x: &str) -> Value {
        self.cast(x, self.graph.element())
    }

    fn cast_int(&mut self, x: &str) -> Value {
        self.cast(x, INT64)
    }

    fn cast(&mut self, x: &str, element: i64) -> Value {
        self.graph.add_with("Cast", &[x], &[("to", Attribute::Int(element))])
    }

    /// Numbers of the graph's type as f32.
    pub(crate) fn full(&mut self, x: &str) -> Value {
        if self.graph.half { self.cast(x, FLOAT) } else { x.to_owned() }
    }

    /// f32 as the graph's type.
    fn own(&mut self, x: &str) -> Value {
        if self.graph.half { self.cast_float(x) } else { x.to_owned() }
    }
}

/// Name of a matrix, which is another where adapters change it.
fn weight_name(name: &str, adapters: Option<Adapters>) -> String {
    format!("{name}.{}", if adapters.is_some() { Adapters::ORIGINAL } else { "weight" })
}
