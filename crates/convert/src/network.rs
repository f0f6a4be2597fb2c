//! Encoders of the BERT family as a graph.
//!
//! One transformer covers all of them; a [`Family`] differs in tensor names, in how it counts
//! positions, and in its bias of the attention scores. The graph uses the operators of PyTorch's own
//! export. Matrices are stored transposed (`x · W`), which saves the runtime a sixth of the load time.
//! ONNX Runtime fuses this form: bias with GELU, and scale with the score product. Other forms
//! (queries, keys and values as one product, `Gemm` on flattened rows, scale folded into the query
//! matrix, opset 23's `Attention`) were as fast: medians within 3 %, while two copies of one file
//! differ by 5 %.

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::config::{Activation, Config, Family};
use crate::graph::{Attribute, Graph, Value};

/// Maximum elements of a matrix that is transposed here, in memory (32 MiB).
const TURNED_LIMIT: usize = 1 << 23;

/// Builder of the graph, with the source of its weights.
pub(crate) struct Network<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a Config,
    /// Prefix of the encoder's tensor names in this checkpoint, such as `bert.`.
    prefix: &'static str,
    pub(crate) graph: Graph,
}

/// Names of one layer's tensors.
struct LayerNames {
    query: String,
    key: String,
    value: String,
    attention_output: String,
    attention_norm: String,
    up: String,
    down: String,
    output_norm: String,
}

/// End of the encoder.
pub(crate) enum End<'a> {
    /// After all layers; the hidden states get this name.
    Hidden(&'a str),
    /// After all layers, followed by a head.
    Inner,
    /// At the last layer's attention weights, under this name.
    Attention(&'a str),
}

impl<'a> Network<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, config: &'a Config) -> Result<Self, Error> {
        let model = match config.family {
            Family::Bert => "bert.",
            Family::Roberta => "roberta.",
            Family::DistilBert => "distilbert.",
            Family::MpNet => "mpnet.",
        };
        // A model with a head stores its encoder under a prefix; an encoder saved alone has none.
        let words = |prefix: &str| format!("{prefix}embeddings.word_embeddings.weight");
        let (found, _) = checkpoint.find(&[words(model), words("")])?;
        let prefix = if found.starts_with(model) { model } else { "" };
        Ok(Self { checkpoint, config, prefix, graph: Graph::default() })
    }

    /// Builds the encoder and returns its last value.
    pub(crate) fn encode(&mut self, token_types: bool, end: &End<'_>) -> Result<Value, Error> {
        self.graph.input("input_ids");
        self.graph.input("attention_mask");
        let mut x = self.embed(token_types)?;
        let mask = self.score_bias()?;
        let last = self.config.layers - 1;
        for layer in 0..=last {
            let names = self.layer_names(layer);
            let attention = match end {
                End::Attention(name) if layer == last => Some(*name),
                _ => None,
            };
            let weights = self.attention_weights(&x, &mask, &names, attention)?;
            if attention.is_some() {
                return Ok(weights);
            }
            let output = match end {
                End::Hidden(name) if layer == last => Some(*name),
                _ => None,
            };
            x = self.finish_layer(&x, &weights, &names, output)?;
        }
        Ok(x)
    }

    /// Sum of word, type and position embeddings, normalised.
    fn embed(&mut self, token_types: bool) -> Result<Value, Error> {
        let config = self.config;
        let width = config.hidden;
        let table = self.word_table()?;
        let mut x = self.graph.add("Gather", &[&table, "input_ids"]);
        if config.token_types > 0 {
            let table = self.own_weight(
                "embeddings.token_type_embeddings.weight",
                &[config.token_types, width],
            )?;
            // A table of one row leaves no choice to the caller.
            let types = if token_types && config.token_types > 1 {
                self.graph.input("token_type_ids")
            } else {
                self.graph.ints(&[0])
            };
            let rows = self.graph.add("Gather", &[&table, &types]);
            x = self.graph.add("Add", &[&x, &rows]);
        }
        let table =
            self.own_weight("embeddings.position_embeddings.weight", &[config.positions, width])?;
        let rows = match config.family {
            Family::Bert | Family::DistilBert => {
                let (zero, length) = (self.graph.ints(&[0]), self.length());
                self.graph.add("Slice", &[&table, &zero, &length, &zero])
            }
            Family::Roberta | Family::MpNet => {
                let positions = self.positions_past_padding();
                self.graph.add("Gather", &[&table, &positions])
            }
        };
        x = self.graph.add("Add", &[&x, &rows]);
        let norm = self.own("embeddings.LayerNorm");
        self.norm(&x, &norm, None)
    }

    /// Positions as RoBERTa counts them: padding has the position of its own id, the other tokens count
    /// up from there in order, wherever the padding is.
    fn positions_past_padding(&mut self) -> Value {
        let graph = &mut self.graph;
        let (padding, axis) = (graph.int(self.config.padding as i64), graph.int(1));
        let padded = graph.add("Equal", &["input_ids", &padding]);
        let real = graph.add("Not", &[&padded]);
        let real = graph.add_with("Cast", &[&real], &[("to", Attribute::Int(crate::graph::INT64))]);
        let count = graph.add("CumSum", &[&real, &axis]);
        let count = graph.add("Mul", &[&count, &real]);
        graph.add("Add", &[&count, &padding])
    }

    /// Bias of every layer's scores: the lowest f32 at padding, and MPNet's bias by distance.
    fn score_bias(&mut self) -> Result<Value, Error> {
        let graph = &mut self.graph;
        let (axes, one, lowest) = (graph.ints(&[1, 2]), graph.float(1.0), graph.float(f32::MIN));
        let mask = graph.add("Unsqueeze", &["attention_mask", &axes]);
        let mask = graph.add_with("Cast", &[&mask], &[("to", Attribute::Int(crate::graph::FLOAT))]);
        let mask = graph.add("Sub", &[&one, &mask]);
        let mask = graph.add("Mul", &[&mask, &lowest]);
        if self.config.buckets == 0 {
            return Ok(mask);
        }
        let bias = self.relative_bias()?;
        Ok(self.graph.add("Add", &[&bias, &mask]))
    }

    /// MPNet's bias by the distance of two tokens, `[heads, sequence_length, sequence_length]`, shared
    /// by all layers. A table holds the bucket of every distance.
    fn relative_bias(&mut self) -> Result<Value, Error> {
        let config = self.config;
        let reach = config.positions as i64 - 1;
        let buckets: Vec<_> = (-reach..=reach)
            .map(|distance| relative_bucket(distance, config.buckets as i64))
            .collect();
        let biases = self.own_weight(
            "encoder.relative_attention_bias.weight",
            &[config.buckets, config.heads],
        )?;
        let length = self.length();
        let graph = &mut self.graph;
        graph.int_table("relative_buckets", &buckets);
        let (zero, one, origin) = (graph.int(0), graph.int(1), graph.int(reach));
        let (as_row, as_column) = (graph.ints(&[0]), graph.ints(&[1]));
        let length = graph.add("Squeeze", &[&length]);
        let range = graph.add("Range", &[&zero, &length, &one]);
        let to = graph.add("Unsqueeze", &[&range, &as_row]);
        let from = graph.add("Unsqueeze", &[&range, &as_column]);
        let distance = graph.add("Sub", &[&to, &from]);
        let index = graph.add("Add", &[&distance, &origin]);
        let bucket = graph.add("Gather", &["relative_buckets", &index]);
        let bias = graph.add("Gather", &[&biases, &bucket]);
        Ok(graph.add_with("Transpose", &[&bias], &[("perm", Attribute::Ints(&[2, 0, 1]))]))
    }

    /// `softmax(q · kᵀ / √d + bias)`.
    fn attention_weights(
        &mut self,
        x: &str,
        bias: &str,
        names: &LayerNames,
        output: Option<&str>,
    ) -> Result<Value, Error> {
        let query = self.split_heads(x, &names.query, &[0, 2, 1, 3])?;
        let key = self.split_heads(x, &names.key, &[0, 2, 3, 1])?;
        let graph = &mut self.graph;
        let root = graph.float(((self.config.hidden / self.config.heads) as f64).sqrt() as f32);
        let scores = graph.add("MatMul", &[&query, &key]);
        let scores = graph.add("Div", &[&scores, &root]);
        let scores = graph.add("Add", &[&scores, bias]);
        let axis = [("axis", Attribute::Int(-1))];
        Ok(match output {
            Some(name) => {
                graph.add_named("Softmax", &[&scores], &axis, name);
                name.to_owned()
            }
            None => graph.add_with("Softmax", &[&scores], &axis),
        })
    }

    /// Rest of a layer, from its attention weights to its output.
    fn finish_layer(
        &mut self,
        x: &str,
        weights: &str,
        names: &LayerNames,
        output: Option<&str>,
    ) -> Result<Value, Error> {
        let (width, intermediate) = (self.config.hidden, self.config.intermediate);
        let value = self.split_heads(x, &names.value, &[0, 2, 1, 3])?;
        let context = self.graph.add("MatMul", &[weights, &value]);
        let perm = [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
        let context = self.graph.add_with("Transpose", &[&context], &perm);
        let shape = self.graph.ints(&[0, 0, width as i64]);
        let context = self.graph.add("Reshape", &[&context, &shape]);
        let context = self.linear(&context, &names.attention_output, width, width)?;
        let sum = self.graph.add("Add", &[&context, x]);
        let x = self.norm(&sum, &names.attention_norm, None)?;
        let inner = self.linear(&x, &names.up, width, intermediate)?;
        let inner = self.activate(&inner, self.config.activation);
        let inner = self.linear(&inner, &names.down, intermediate, width)?;
        let sum = self.graph.add("Add", &[&inner, &x]);
        self.norm(&sum, &names.output_norm, output)
    }

    /// Projects `x`, splits it into heads and transposes it by `perm`.
    fn split_heads(&mut self, x: &str, name: &str, perm: &[i64]) -> Result<Value, Error> {
        let (width, heads) = (self.config.hidden, self.config.heads);
        let x = self.linear(x, name, width, width)?;
        let shape = self.graph.ints(&[0, 0, heads as i64, (width / heads) as i64]);
        let x = self.graph.add("Reshape", &[&x, &shape]);
        Ok(self.graph.add_with("Transpose", &[&x], &[("perm", Attribute::Ints(perm))]))
    }

    /// `x · Wᵀ + b` with the checkpoint's `W` of shape `[to, from]`.
    pub(crate) fn linear(
        &mut self,
        x: &str,
        name: &str,
        from: usize,
        to: usize,
    ) -> Result<Value, Error> {
        let matrix = self.matrix(&[format!("{name}.weight")], from, to)?;
        let bias = self.weight(&[format!("{name}.bias")], &[to], false)?;
        let product = self.graph.add("MatMul", &[x, &matrix]);
        Ok(self.graph.add("Add", &[&product, &bias]))
    }

    /// A matrix of the checkpoint, `[to, from]`, transposed to `[from, to]`.
    pub(crate) fn matrix(
        &mut self,
        names: &[String],
        from: usize,
        to: usize,
    ) -> Result<Value, Error> {
        let small = from.saturating_mul(to) <= TURNED_LIMIT;
        let matrix = self.weight(names, &[to, from], small)?;
        Ok(if small { matrix } else { self.turn(&matrix) })
    }

    /// A matrix that the runtime transposes once, at load time.
    pub(crate) fn turn(&mut self, matrix: &str) -> Value {
        self.graph.add_with("Transpose", &[matrix], &[("perm", Attribute::Ints(&[1, 0]))])
    }

    /// Layer normalisation over the hidden dimension, with either spelling of its two tensors.
    pub(crate) fn norm(
        &mut self,
        x: &str,
        name: &str,
        output: Option<&str>,
    ) -> Result<Value, Error> {
        let width = [self.config.hidden];
        let spellings = |new: &str, old: &str| [format!("{name}.{new}"), format!("{name}.{old}")];
        let scale = self.weight(&spellings("weight", "gamma"), &width, false)?;
        let shift = self.weight(&spellings("bias", "beta"), &width, false)?;
        let attributes =
            [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(self.config.norm_epsilon))];
        Ok(match output {
            Some(output) => {
                self.graph.add_named(
                    "LayerNormalization",
                    &[x, &scale, &shift],
                    &attributes,
                    output,
                );
                output.to_owned()
            }
            None => self.graph.add_with("LayerNormalization", &[x, &scale, &shift], &attributes),
        })
    }

    pub(crate) fn activate(&mut self, x: &str, activation: Activation) -> Value {
        let graph = &mut self.graph;
        let gate = match activation {
            Activation::Relu => return graph.add("Relu", &[x]),
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

    /// The table of word embeddings, `[vocabulary, width]`.
    pub(crate) fn word_table(&mut self) -> Result<Value, Error> {
        let config = self.config;
        self.own_weight("embeddings.word_embeddings.weight", &[config.vocabulary, config.hidden])
    }

    /// The first of `names` that the checkpoint has, checked against `shape` (as in the checkpoint).
    pub(crate) fn weight(
        &mut self,
        names: &[String],
        shape: &[usize],
        transposed: bool,
    ) -> Result<Value, Error> {
        let (name, located) = self.checkpoint.find_shaped(names, shape)?;
        Ok(self.graph.weight(name, located, transposed))
    }

    fn own_weight(&mut self, name: &str, shape: &[usize]) -> Result<Value, Error> {
        let name = self.own(name);
        self.weight(&[name], shape, false)
    }

    /// Name of an encoder tensor in this checkpoint.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Sequence length, as a list of one.
    fn length(&mut self) -> Value {
        let attributes = [("start", Attribute::Int(1)), ("end", Attribute::Int(2))];
        self.graph.add_with("Shape", &["input_ids"], &attributes)
    }

    fn layer_names(&self, layer: usize) -> LayerNames {
        let [query, key, value, attention_output, attention_norm, up, down, output_norm] =
            match self.config.family {
                Family::Bert | Family::Roberta => [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "attention.output.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ],
                Family::DistilBert => [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "sa_layer_norm",
                    "ffn.lin1",
                    "ffn.lin2",
                    "output_layer_norm",
                ],
                Family::MpNet => [
                    "attention.attn.q",
                    "attention.attn.k",
                    "attention.attn.v",
                    "attention.attn.o",
                    "attention.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ],
            }
            .map(|name| {
                let stack = if self.config.family == Family::DistilBert {
                    "transformer"
                } else {
                    "encoder"
                };
                self.own(&format!("{stack}.layer.{layer}.{name}"))
            });
        LayerNames { query, key, value, attention_output, attention_norm, up, down, output_norm }
    }
}

/// Bucket of a distance (key position minus query position), as MPNet and T5 define it. Half of the
/// buckets are for each direction. Half of these are for one small distance each, the rest for
/// logarithmic steps up to 128. Computed in f32 like the original, because truncation makes the last
/// bit count.
fn relative_bucket(distance: i64, buckets: i64) -> i64 {
    const FARTHEST: f64 = 128.0;
    let each = buckets / 2;
    let exact = each / 2;
    let side = if distance > 0 { each } else { 0 };
    let far = distance.abs();
    if far < exact {
        return side + far;
    }
    let steps = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f64).ln() as f32
        * (each - exact) as f32;
    side + (exact + steps as i64).min(each - 1)
}

#[cfg(test)]
mod tests {
    use super::relative_bucket;

    /// Distances at which the bucket changes in MPNet's PyTorch implementation, with the new bucket.
    #[test]
    fn buckets_change_where_pytorch_changes_them() {
        const BORDERS: [(i64, i64); 31] = [
            (-1024, 15),
            (-90, 14),
            (-63, 13),
            (-45, 12),
            (-31, 11),
            (-22, 10),
            (-15, 9),
            (-11, 8),
            (-7, 7),
            (-6, 6),
            (-5, 5),
            (-4, 4),
            (-3, 3),
            (-2, 2),
            (-1, 1),
            (0, 0),
            (1, 17),
            (2, 18),
            (3, 19),
            (4, 20),
            (5, 21),
            (6, 22),
            (7, 23),
            (8, 24),
            (12, 25),
            (16, 26),
            (23, 27),
            (32, 28),
            (46, 29),
            (64, 30),
            (91, 31),
        ];
        for distance in -1024..=1024 {
            let border = BORDERS.iter().rev().find(|(from, _)| *from <= distance).unwrap();
            assert_eq!(relative_bucket(distance, 32), border.1, "distance {distance}");
        }
    }
}
