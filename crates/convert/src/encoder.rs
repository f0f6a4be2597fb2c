//! An encoder as data: dimensions, tensor names and the form of each part.
//!
//! The modules of [`arch`](crate::arch) describe checkpoints in these types, and
//! [`network`](crate::network) turns any such description into a graph. Tensor names are complete, with
//! the prefix that this checkpoint uses. Shapes are those of the checkpoint.

use std::sync::Arc;

/// An encoder, from token ids or pixels to hidden states, and its heads.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    /// `model_type` of the configuration.
    pub(crate) model_type: String,
    /// Dimension of the hidden states.
    pub(crate) width: usize,
    pub(crate) input: Input,
    /// At least one.
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Option<Norm>,
    /// One vector for each input, if the architecture has its own way to it.
    pub(crate) pooled: Option<Pooled>,
    /// Head of a masked language model, if the architecture has one.
    pub(crate) masked_lm: Option<MaskedLm>,
    /// Head of a sequence classifier, if the architecture has one.
    pub(crate) classifier: Option<Classifier>,
    /// Head of a causal language model, if the architecture has one.
    pub(crate) causal_lm: Option<CausalLm>,
}

impl Encoder {
    /// The table of words, of an encoder of text.
    pub(crate) fn words(&self) -> Option<&Table> {
        match &self.input {
            Input::Tokens(embeddings) => Some(&embeddings.words),
            Input::Pixels(_) => None,
        }
    }
}

/// First layer, by the kind of input.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Tokens(Embeddings),
    Pixels(Patches),
}

/// First layer of an encoder of images: a projection of each patch, behind a token for the whole image.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    /// Convolution, without `.weight` and `.bias`.
    pub(crate) projection: String,
    pub(crate) bias: bool,
    pub(crate) channels: usize,
    /// Pixels at each side of a patch, and of an image.
    pub(crate) patch: usize,
    pub(crate) image: usize,
    pub(crate) width: usize,
    /// Tensor of the image's own token, and its shape, if there is such a token.
    pub(crate) class: Option<(String, Vec<usize>)>,
    /// Tensor of the positions, and its shape.
    pub(crate) positions: (String, Vec<usize>),
    /// Images of other sizes are taken, with positions between those of the checkpoint.
    pub(crate) any_size: bool,
    pub(crate) norm: Option<Norm>,
}

/// One vector for each input: a state, normalised and projected.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub(crate) pooling: Pooling,
    pub(crate) norm: Option<Norm>,
    pub(crate) projection: Option<Linear>,
}

/// First layer of an encoder of text: rows of tables, added, normalised and projected.
#[derive(Clone, Debug)]
pub(crate) struct Embeddings {
    pub(crate) words: Table,
    /// Factor of the words.
    pub(crate) scale: Option<f32>,
    /// Token types; a table of one row leaves no choice to the caller.
    pub(crate) types: Option<Table>,
    pub(crate) positions: Positions,
    pub(crate) norm: Option<Norm>,
    /// Projection to the width of the hidden states.
    pub(crate) projection: Option<Linear>,
}

/// Positions in the first layer.
#[derive(Clone, Debug)]
pub(crate) enum Positions {
    /// None: positions are part of the attention.
    None,
    /// Row `i` for token `i`.
    Absolute(Table),
    /// As RoBERTa counts: padding has the row of its own id, the other tokens count up from there.
    PastPadding { table: Table, padding: usize },
}

/// Transformer layer: attention and a feed-forward network, each with a residual connection.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attention: Attention,
    pub(crate) attention_residual: Residual,
    pub(crate) mlp: Mlp,
    pub(crate) mlp_residual: Residual,
}

/// Residual connection around a branch `f`: `after(x + end(f(before(x))))`, or
/// `after(x + inner(x + f(x)))`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Residual {
    /// Norm of a pre-norm layer.
    pub(crate) before: Option<Norm>,
    /// Norm of the branch's output.
    pub(crate) end: Option<Norm>,
    /// Norm of a sum of its own at the end of the branch.
    pub(crate) inner: Option<Norm>,
    /// Tensor by which the branch is multiplied.
    pub(crate) scale: Option<String>,
    /// Norm of a post-norm layer.
    pub(crate) after: Option<Norm>,
}

impl Residual {
    /// A residual connection with a norm before its branch.
    pub(crate) fn pre_norm(norm: Option<Norm>) -> Self {
        Self { before: norm, ..Self::default() }
    }

    /// A residual connection with a norm after the sum.
    pub(crate) fn post_norm(norm: Norm) -> Self {
        Self { after: Some(norm), ..Self::default() }
    }
}

/// Self-attention, `softmax(q · kᵀ / scale + bias) · v`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Heads of keys and values; each serves `heads / kv_heads` heads of the queries.
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    /// Norms of queries and keys: of each head if they have a head's width, else of all heads together.
    pub(crate) query_norm: Option<Norm>,
    pub(crate) key_norm: Option<Norm>,
    /// Divisor of the scores, mostly the root of `head_width`.
    pub(crate) scale: f64,
    pub(crate) rotary: Option<Rotary>,
    pub(crate) disentangled: Option<Disentangled>,
    pub(crate) bias: ScoreBias,
}

impl Attention {
    /// Attention as in BERT, with as many heads of keys as of queries; the caller changes what differs.
    pub(crate) fn new(heads: usize, [query, key, value, output]: [Linear; 4]) -> Self {
        let head_width = query.to / heads;
        Self {
            heads,
            kv_heads: heads,
            head_width,
            query,
            key,
            value,
            output,
            query_norm: None,
            key_norm: None,
            scale: (head_width as f64).sqrt(),
            rotary: None,
            disentangled: None,
            bias: ScoreBias::default(),
        }
    }
}

/// Bias of the scores besides the padding mask. Layers with an equal bias share one value of the graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ScoreBias {
    /// There is no padding, or it is seen like other tokens; no bias at all.
    pub(crate) unpadded: bool,
    /// A token sees itself and those before it.
    pub(crate) causal: bool,
    /// Largest distance at which a token sees another.
    pub(crate) window: Option<usize>,
    pub(crate) distance: Option<Distance>,
}

/// Bias by the distance of two tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Distance {
    /// A learned bias for each bucket of distances and each head, as in MPNet and T5. All distances
    /// from `farthest` on are in the last bucket of their direction.
    Buckets { table: Table, farthest: usize },
    /// `ALiBi` in both directions: each head has a slope, by which the bias falls with the distance.
    Linear { slopes: Vec<f32> },
}

/// Scores by content and relative position, as in `DeBERTa`: the keys of the positions meet the queries,
/// and the queries of the positions the keys.
#[derive(Clone, Debug)]
pub(crate) struct Disentangled {
    /// Embeddings of the buckets of distances, from the lowest on.
    pub(crate) table: Table,
    pub(crate) norm: Option<Norm>,
    /// Row of each distance (query position minus key position), from `-(n - 1)` to `n - 1` for `2n - 1`
    /// rows; what is farther has the row at the end.
    pub(crate) rows: Arc<[i64]>,
    /// Keys of the positions.
    pub(crate) key: Option<Linear>,
    /// Queries of the positions.
    pub(crate) query: Option<Linear>,
}

/// Rotary position embedding of the whole head, with its first half paired with the second.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rotary {
    /// Angle per position of each pair, `head_width / 2` in all.
    pub(crate) frequencies: Arc<[f32]>,
    /// Factor of cosines and sines.
    pub(crate) scale: f32,
}

impl Rotary {
    /// Frequencies `θ^(-2i/d)`, rounded where PyTorch rounds: a difference in the last bit is one of
    /// 0.0005 in the angle at position 8000.
    pub(crate) fn new(theta: f64, head_width: usize) -> Self {
        let exponents = (0..head_width / 2).map(|pair| (2 * pair) as f32 / head_width as f32);
        let power = |exponent: f32| theta.powf(exponent.into()) as f32;
        let frequencies = exponents.map(|exponent| 1.0 / power(exponent)).collect();
        Self { frequencies, scale: 1.0 }
    }

    /// The same with other frequencies.
    pub(crate) fn map(self, change: impl FnMut(f32) -> f32) -> Self {
        let frequencies = self.frequencies.iter().copied().map(change).collect();
        Self { frequencies, ..self }
    }
}

/// Feed-forward network.
#[derive(Clone, Debug)]
pub(crate) enum Mlp {
    /// `down(f(up(x)))`.
    Plain {
        up: Linear,
        activation: Activation,
        down: Linear,
    },
    /// `down(f(gate(x)) * up(x))`: `GeGLU`, `SwiGLU` and their like, by `activation`.
    Gated {
        gate: Linear,
        activation: Activation,
        up: Linear,
        down: Linear,
    },
    Experts(Experts),
}

/// Mixture of experts, each `f(x · up) · down`. A router chooses a few for each token and weights their
/// sum by its probabilities.
#[derive(Clone, Debug)]
pub(crate) struct Experts {
    pub(crate) router: Linear,
    /// Tensor of all experts' first matrices, `[count * intermediate, width]`.
    pub(crate) up: String,
    /// Tensor of all experts' second matrices, `[count * intermediate, width]`.
    pub(crate) down: String,
    /// Tensor that is added to the sum.
    pub(crate) bias: String,
    pub(crate) count: usize,
    /// Experts of a token.
    pub(crate) chosen: usize,
    pub(crate) width: usize,
    pub(crate) intermediate: usize,
    pub(crate) activation: Activation,
}

/// Linear layer `x · Wᵀ + b`, with a matrix `[to, from]` in the checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// Name without `.weight` and `.bias`.
    pub(crate) name: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) bias: bool,
    /// The part of a tensor that holds this layer and others, one after the other.
    pub(crate) part: Part,
    pub(crate) adapters: Option<Adapters>,
}

/// Low-rank changes (`LoRA`) of a matrix, one for each task; the graph's input `task_id` chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adapters {
    pub(crate) tasks: usize,
    pub(crate) rank: usize,
    /// Factor of the change.
    pub(crate) scale: f32,
}

impl Adapters {
    /// Names of the matrix and of the two factors of its change, after that of the layer.
    pub(crate) const ORIGINAL: &str = "parametrizations.weight.original";
    pub(crate) const FACTORS: [&str; 2] =
        ["parametrizations.weight.0.lora_A", "parametrizations.weight.0.lora_B"];
}

/// One of `count` equal parts of a tensor's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Part {
    /// The whole tensor.
    pub(crate) const WHOLE: Self = Self { index: 0, count: 1 };
}

impl Linear {
    /// A layer with bias.
    pub(crate) fn new(name: impl Into<String>, from: usize, to: usize) -> Self {
        Self { name: name.into(), from, to, bias: true, part: Part::WHOLE, adapters: None }
    }

    /// The layer with a bias or without.
    pub(crate) fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// Part `index` of `count` layers that share their tensors, such as `Wqkv`.
    pub(crate) fn part(self, index: usize, count: usize) -> Self {
        Self { part: Part { index, count }, ..self }
    }
}

/// Table of embeddings, `[rows, width]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    /// Name without `.weight`.
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) adapters: Option<Adapters>,
}

impl Table {
    pub(crate) fn new(name: impl Into<String>, rows: usize, width: usize) -> Self {
        Self { name: name.into(), rows, width, adapters: None }
    }
}

/// Normalisation over the last dimension.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// Name without `.weight` and `.bias`.
    pub(crate) name: String,
    pub(crate) width: usize,
    pub(crate) epsilon: f32,
    pub(crate) kind: NormKind,
}

/// Form of a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// Layer normalisation, with or without a bias.
    Layer { bias: bool },
    /// Root mean square, times the weight.
    Rms,
    /// Root mean square, times one plus the weight.
    RmsPlusOne,
}

impl Norm {
    /// Layer normalisation with a bias.
    pub(crate) fn layer(name: impl Into<String>, width: usize, epsilon: f32) -> Self {
        Self { name: name.into(), width, epsilon, kind: NormKind::Layer { bias: true } }
    }

    /// Normalisation by the root mean square.
    pub(crate) fn rms(name: impl Into<String>, width: usize, epsilon: f32) -> Self {
        Self { name: name.into(), width, epsilon, kind: NormKind::Rms }
    }

    /// Layer normalisation with a bias or without.
    pub(crate) fn with_bias(self, bias: bool) -> Self {
        Self { kind: NormKind::Layer { bias }, ..self }
    }
}

/// Activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Exact GELU, x Φ(x).
    Gelu,
    /// GELU approximated by tanh.
    GeluTanh,
    /// GELU approximated by x σ(1.702 x).
    QuickGelu,
    Relu,
    /// `SiLU`, x σ(x).
    Silu,
    Tanh,
}

/// Head of a masked language model: `norm(f(dense(x)))` times the vocabulary, plus a bias.
#[derive(Clone, Debug)]
pub(crate) struct MaskedLm {
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    pub(crate) norm: Norm,
    /// Matrix of the last product; the table of word embeddings if there is none.
    pub(crate) decoder: Option<String>,
    /// Names of the bias, in order of preference; none without a bias.
    pub(crate) bias: Vec<String>,
}

/// Head of a sequence classifier: `last(norm(f(dense(pooled))))`.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    pub(crate) pooling: Pooling,
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    pub(crate) norm: Option<Norm>,
    /// Name of the last layer, without `.weight`.
    pub(crate) last: String,
    /// Number of classes, if the configuration says so.
    pub(crate) labels: Option<usize>,
}

/// Head of a causal language model: the product with the vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct CausalLm {
    /// Tensor of the matrix, `[rows, width]`: that of the words, or one of its own.
    pub(crate) matrix: String,
    pub(crate) rows: usize,
}

impl CausalLm {
    /// Its own matrix, or that of the words if the two are `tied`.
    pub(crate) fn new(tied: bool, words: &Table) -> Self {
        let matrix =
            if tied { format!("{}.weight", words.name) } else { "lm_head.weight".to_owned() };
        Self { matrix, rows: words.rows }
    }
}

/// One state of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Pooling {
    /// The state of the first token.
    First,
    /// Mean of all tokens but padding.
    Mean,
    /// The state of the first token with this id.
    TokenId(usize),
    /// The state of the token with the largest id.
    LargestId,
    /// The state of the last token, padding or not.
    Last,
    /// The state of the last token but padding.
    LastAttended,
    /// Attention to all states by a query of its own, followed by a feed-forward network.
    Probe(Box<Probe>),
}

/// Pooling by attention, `x + mlp(norm(x))` for the attention's `x`.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// Tensor of the query, `[1, 1, width]`.
    pub(crate) probe: String,
    /// Tensors of the matrix and the bias of queries, keys and values, one after the other.
    pub(crate) projections: [String; 2],
    pub(crate) output: Linear,
    pub(crate) heads: usize,
    pub(crate) norm: Norm,
    pub(crate) mlp: Mlp,
}
