//! Facts of late-interaction models: many vectors per input, compared one by one (MaxSim).

use std::borrow::Cow;

use crate::{List, Str};

use super::{GraphOutput, Layer};

/// Facts of a model that turns a text into one vector per token.
///
/// The ColBERT family puts a marker after the first token and pads queries with mask tokens, so that
/// the model can add terms of its own; a plain encoder of tokens does neither.
#[derive(Debug, Clone, PartialEq)]
pub struct LateText {
    /// Dimension of the vectors.
    pub dim: usize,
    /// The graph output that is read, `(texts, tokens, dim)`.
    pub output: GraphOutput,
    /// Layers that each vector goes through.
    pub layers: List<Layer>,
    /// Tokens that tell the model whether it has a query or a document before it, put at index 1,
    /// after the first token. A model with markers truncates at the right whatever its tokenizer
    /// says.
    pub markers: Option<Markers>,
    /// Tokens by which the tokenizer's limit is lowered, to make room for the marker. Zero where the
    /// limit in `tokenizer_config.json` leaves that room already.
    pub reserve: usize,
    /// The most tokens of a query, with its marker; a longer one is cut. `None` where queries may be as
    /// long as documents.
    pub query_limit: Option<usize>,
    /// How queries are padded; `None` where they are padded like documents.
    pub query_padding: Option<QueryPadding>,
    /// Whether a document's punctuation gets no vector. For each of the 32 ASCII punctuation
    /// characters, alone and without special tokens, the tokenizer's first id is on the list.
    pub skip_punctuation: bool,
    /// Whether a document's tokens with the padding id get no vector even where they stand in the
    /// text itself.
    pub skip_padding_id: bool,
    /// Whether the vectors of documents are scaled to unit length (L2).
    pub normalize: bool,
    /// Whether the vectors of queries are. Many graphs do that themselves.
    pub normalize_queries: bool,
}

impl LateText {
    /// A plain encoder of tokens: no markers, nothing skipped, not normalised. For struct update
    /// syntax.
    pub const DEFAULT: Self = Self {
        dim: 0,
        output: GraphOutput::Index(0),
        layers: Cow::Borrowed(&[]),
        markers: None,
        reserve: 0,
        query_limit: None,
        query_padding: None,
        skip_punctuation: false,
        skip_padding_id: false,
        normalize: false,
        normalize_queries: false,
    };
}

/// Ids of the tokens that mark queries and documents. They are not always in the tokenizer's
/// vocabulary under a name, hence ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Markers {
    /// After the first token of a query.
    pub query: u32,
    /// After the first token of a document.
    pub document: u32,
}

/// How queries are padded at the right, before the marker is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct QueryPadding {
    /// The special token that fills a query up, usually the mask token.
    pub token: Str,
    /// Length to which shorter queries are filled up, without the marker: their padding has vectors
    /// of its own (query expansion). Longer ones stay as they are. `None`: the token only evens out a
    /// batch and has no vectors.
    #[cfg_attr(feature = "serde", serde(default))]
    pub length: Option<usize>,
    /// Whether the model attends to the padding up to `length`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub attend: bool,
}

/// Facts of a model that turns a text or the image of a page into many vectors. The graph normalises
/// them itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LateMultimodal {
    /// Dimension of the vectors.
    pub dim: usize,
    /// The graph output that is read, `(inputs, tokens, dim)`.
    pub output: GraphOutput,
    /// What stands before a text. It may contain special tokens, as may all texts here.
    pub text_prefix: Str,
    /// What stands after a text, once or several times: room for terms of the model's own.
    pub text_augmentation: Repeat,
    /// What stands after that.
    pub text_suffix: Str,
    /// How images become inputs, and what texts have in place of an image.
    pub kind: LateMultimodalKind,
}

/// A token that is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Repeat {
    /// The token.
    pub token: Str,
    /// How often.
    pub times: usize,
}

/// How images become inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateMultimodalKind {
    /// An image of fixed size with a fixed prompt.
    ColPali(ColPaliConfig),
    /// An image cut into tiles, with a prompt that names them.
    ColModernVbert(ColModernVbertConfig),
}

impl LateMultimodalKind {
    /// The name in `models.toml`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ColPali(_) => "colpali",
            Self::ColModernVbert(_) => "colmodernvbert",
        }
    }
}

/// Facts of ColPali: one image of fixed size and a prompt that is known as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColPaliConfig {
    /// Ids that replace the first ones of a text, as many as there are.
    pub text_start_ids: List<u32>,
    /// Side of the square image in pixels. A text goes with a black image: zeros of shape
    /// `(texts, 3, image_side, image_side)`.
    pub image_side: usize,
    /// Id that stands for one patch of the image.
    pub image_token_id: u32,
    /// How many of them there are, at the start of the prompt.
    pub image_tokens: usize,
    /// Ids of the rest of the prompt. All of it is attended to.
    pub image_prompt_ids: List<u32>,
}

/// Facts of ColModernVBERT: an image in tiles (Idefics3) and a prompt that names them. How many
/// tokens a tile has and how large it is, the configuration files beside the model say.
///
/// With `I` for the image token, repeated, and `F` for the frame token, an image of one tile becomes
/// `F`, global token, `I`, `F`. For several tiles each has `F`, `<row_R_col_C>`, `I`, each row of them
/// ends in a line feed, and a line feed and the same text as for one tile end the whole. A text goes
/// with one black tile for the whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColModernVbertConfig {
    /// What stands before the image in its prompt.
    pub image_prefix: Str,
    /// What stands after the image in its prompt.
    pub image_suffix: Str,
    /// The token of one patch of a tile.
    pub image_token: Str,
    /// The token around tiles.
    pub frame_token: Str,
    /// The token that announces the whole image, made smaller.
    pub global_token: Str,
}
