//! What a model does, with the facts that its family needs.
//!
//! Everything in which two models of a family differ is a value here, so no code ever asks which
//! model it has before it.

mod hybrid;
mod image;
mod late;
mod layer;
mod rerank;
mod sparse;
mod template;

use std::{borrow::Cow, fmt};

use crate::{List, Str};

pub use hybrid::{HybridHeads, Outputs, OutputsError, TextHybrid};
pub use image::{Image, ImagePooling};
pub use late::{
    ColModernVbertConfig, ColPaliConfig, LateMultimodal, LateMultimodalKind, LateText, Markers,
    QueryPadding, Repeat,
};
pub use layer::{Activation, DenseLayer, Layer};
pub use rerank::{Rerank, TokenScore};
pub use sparse::{
    Bm25Config, Bm42Config, IfSpladeConfig, MiniCoilConfig, Sparse, SparseKind, SpladeConfig,
    TokenWeightsConfig,
};
pub use template::{TemplateError, TemplatePart};

/// The task of a model; one variant per family.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Task {
    /// Text to one vector.
    TextDense(TextDense),
    /// Text to weighted terms.
    Sparse(Sparse),
    /// Text to one vector per token.
    LateText(LateText),
    /// Text or page image to many vectors.
    LateMultimodal(LateMultimodal),
    /// Image to one vector.
    Image(Image),
    /// Query and document to a score.
    Rerank(Rerank),
    /// Text to one vector, weighted terms and a vector per token at once.
    TextHybrid(TextHybrid),
}

/// The task of a model without the facts: the variants of [`Task`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum TaskKind {
    /// Text to one vector.
    TextDense,
    /// Text to weighted terms.
    Sparse,
    /// Text to one vector per token.
    LateText,
    /// Text or page image to many vectors.
    LateMultimodal,
    /// Image to one vector.
    Image,
    /// Query and document to a score.
    Rerank,
    /// Text to one vector, weighted terms and a vector per token at once.
    TextHybrid,
}

impl TaskKind {
    /// The name in `models.toml` and on the command line, such as `text-dense`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Task::NAMES[self as usize]
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Task {
    /// The names of all tasks, in the order of the variants.
    pub const NAMES: [&'static str; 7] =
        ["text-dense", "sparse", "late-text", "late-multimodal", "image", "rerank", "text-hybrid"];

    /// The kind of task.
    #[must_use]
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::TextDense(_) => TaskKind::TextDense,
            Self::Sparse(_) => TaskKind::Sparse,
            Self::LateText(_) => TaskKind::LateText,
            Self::LateMultimodal(_) => TaskKind::LateMultimodal,
            Self::Image(_) => TaskKind::Image,
            Self::Rerank(_) => TaskKind::Rerank,
            Self::TextHybrid(_) => TaskKind::TextHybrid,
        }
    }

    /// The name of the task in `models.toml` and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Dimension of the vectors, where the model has one.
    #[must_use]
    pub fn dim(&self) -> Option<usize> {
        match self {
            Self::TextDense(task) => Some(task.dim),
            Self::LateText(task) => Some(task.dim),
            Self::LateMultimodal(task) => Some(task.dim),
            Self::Image(task) => Some(task.dim),
            Self::TextHybrid(task) => Some(task.dim),
            Self::Sparse(_) | Self::Rerank(_) => None,
        }
    }

    /// The name of the pooling, where the family pools; `cls+mean` for a concatenation.
    #[must_use]
    pub fn pooling(&self) -> Option<Str> {
        match self {
            Self::TextDense(task) => Some(task.pooling_name()),
            Self::Image(task) => Some(task.pooling.name().into()),
            Self::TextHybrid(_) => Some(Pooling::Cls.name().into()),
            Self::Sparse(_) | Self::LateText(_) | Self::LateMultimodal(_) | Self::Rerank(_) => None,
        }
    }

    /// Whether vectors (late interaction: those of documents) are scaled to unit length after the
    /// graph; `None` where there are no vectors.
    #[must_use]
    pub fn normalize(&self) -> Option<bool> {
        match self {
            Self::TextDense(task) => Some(task.normalize),
            Self::LateText(task) => Some(task.normalize),
            Self::LateMultimodal(_) => Some(false),
            Self::Image(task) => Some(task.normalize),
            Self::TextHybrid(_) => Some(true),
            Self::Sparse(_) | Self::Rerank(_) => None,
        }
    }

    /// Whether the search engine has to multiply the weights by the inverse document frequency;
    /// `None` for models without weighted terms.
    #[must_use]
    pub fn requires_idf(&self) -> Option<bool> {
        match self {
            Self::Sparse(task) => Some(task.requires_idf),
            Self::TextHybrid(task) if task.outputs().sparse => Some(false),
            _ => None,
        }
    }

    /// True where queries and documents may have prompts: the model has roles, and none of its own text
    /// stands before them.
    #[must_use]
    pub fn takes_prompts(&self) -> bool {
        matches!(self, Self::TextDense(_) | Self::LateText(_))
    }
}

/// Facts of a model that turns a text into one vector.
#[derive(Debug, Clone, PartialEq)]
pub struct TextDense {
    /// Dimension of the vectors.
    pub dim: usize,
    /// What computes the token vectors.
    pub encoder: Encoder,
    /// The graph output that is read.
    pub output: GraphOutput,
    /// How the token vectors become one vector.
    pub pooling: Pooling,
    /// Poolings whose vectors follow that of `pooling` in one longer vector; none in most models.
    pub concat: List<Pooling>,
    /// `true` if the tokens of a prompt are pooled, too. `false` for INSTRUCTOR and its like, which pool the
    /// tokens of the text alone.
    pub pool_prompt: bool,
    /// For [`Encoder::Static`]: whether the unknown token has a row of the table like any other. model2vec
    /// leaves it out.
    pub pool_unknown: bool,
    /// With [`Pooling::Cls`]: a rank-2 output, which a graph that pools by itself has, is taken as it
    /// is. FastEmbed does so for its built-in models; for custom ones rank 2 is an error.
    pub accept_pooled: bool,
    /// Layers between pooling and `normalize`; none in most models.
    pub layers: List<Layer>,
    /// `true` if the vector is scaled to unit length (L2), as the last step.
    pub normalize: bool,
    /// Every batch is padded to the tokenizer's limit instead of its longest text, because the graph
    /// reads the last position even where it is padding (SigLIP).
    pub pad_to_limit: bool,
    /// Tasks that the graph takes as an input (Jina v3).
    pub tasks: Option<AdapterTasks>,
}

impl TextDense {
    /// A transformer whose first output is pooled by mean and normalised, for struct update syntax.
    pub const DEFAULT: Self = Self {
        dim: 0,
        encoder: Encoder::Transformer,
        output: GraphOutput::Index(0),
        pooling: Pooling::Mean,
        concat: Cow::Borrowed(&[]),
        pool_prompt: true,
        pool_unknown: false,
        accept_pooled: false,
        layers: Cow::Borrowed(&[]),
        normalize: true,
        pad_to_limit: false,
        tasks: None,
    };

    /// The name of the pooling in `models.toml`; `cls+mean` for a concatenation.
    #[must_use]
    pub fn pooling_name(&self) -> Str {
        let first = self.pooling.name();
        if self.concat.is_empty() {
            return first.into();
        }
        let all = std::iter::once(first).chain(self.concat.iter().map(|pooling| pooling.name()));
        all.collect::<Vec<_>>().join("+").into()
    }

    /// Dimension of the vectors for token vectors of `width`.
    #[must_use]
    pub fn dim_of(&self, width: usize) -> usize {
        let last = self.layers.iter().rev().find_map(Layer::dim);
        last.unwrap_or_else(|| width.saturating_mul(1 + self.concat.len()))
    }
}

/// What computes the token vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Encoder {
    /// An ONNX graph.
    Transformer,
    /// A table with one row per token: no graph and no runtime.
    Static,
}

/// Which output of the graph is read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(untagged))]
pub enum GraphOutput {
    /// By position, from 0.
    Index(usize),
    /// By name.
    Name(Str),
}

/// The step from token vectors to one vector. Padding takes no part in any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Pooling {
    /// The vector of the first token.
    Cls,
    /// The mean over the tokens.
    Mean,
    /// The largest value of each component over the tokens.
    Max,
    /// The sum over the tokens, divided by the square root of their number.
    MeanSqrtLen,
    /// The mean over the tokens, each weighted by its position, from 1.
    WeightedMean,
    /// The vector of the last token.
    LastToken,
    /// None: the graph's output is the vector.
    None,
}

impl Pooling {
    /// All poolings.
    pub const ALL: [Self; 7] = [
        Self::Cls,
        Self::Mean,
        Self::Max,
        Self::MeanSqrtLen,
        Self::WeightedMean,
        Self::LastToken,
        Self::None,
    ];

    /// The name in `models.toml` and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::MeanSqrtLen => "mean-sqrt-len",
            Self::WeightedMean => "weighted-mean",
            Self::LastToken => "last-token",
            Self::None => "none",
        }
    }

    /// The pooling of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pooling| pooling.name() == name)
    }
}

/// Tasks that a graph takes as an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct AdapterTasks {
    /// Name of the graph's input: an int64 scalar.
    pub input: Str,
    /// Names of the tasks; the position is the id that the graph takes.
    pub names: List<Str>,
    /// Id used for raw text unless the caller chooses one.
    pub default: usize,
    /// Id used for queries.
    pub query: usize,
    /// Id used for passages.
    pub passage: usize,
}
