//! Facts of models that turn a text into weighted terms.

use crate::{List, Str};

use super::{DenseLayer, GraphOutput};

/// Facts of a model that turns a text into a sparse vector: indices of terms with their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// Whether the weights are term weights only, which the search engine has to multiply by the
    /// inverse document frequency. Where this is false it must not.
    pub requires_idf: bool,
    /// Size of the vocabulary that the graph or the word list has: the dimension of the logits for
    /// SPLADE, the number of words and one for MiniCOIL. `None` where terms are hashed without any
    /// (BM25).
    pub vocab_size: Option<usize>,
    /// How terms and weights come about.
    pub kind: SparseKind,
}

/// How terms and weights come about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SparseKind {
    /// Okapi BM25's document side; no graph.
    Bm25(Bm25Config),
    /// SPLADE++: documents and queries alike go through the graph.
    Splade(SpladeConfig),
    /// SPLADE for documents, a table of term weights for queries.
    IfSplade(IfSpladeConfig),
    /// Words weighted by the attention that the first token pays them.
    Bm42(Bm42Config),
    /// BM25 whose known words carry a few numbers for their meaning in the context.
    MiniCoil(MiniCoilConfig),
    /// Tokens, each with a weight by its vector: the sparse part of BGE-M3.
    TokenWeights(TokenWeightsConfig),
}

impl SparseKind {
    /// The name in `models.toml`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bm25(_) => "bm25",
            Self::Splade(_) => "splade",
            Self::IfSplade(_) => "if-splade",
            Self::Bm42(_) => "bm42",
            Self::MiniCoil(_) => "minicoil",
            Self::TokenWeights(_) => "token-weights",
        }
    }
}

/// Facts of BM25. A term's index is the absolute value of the 32-bit MurmurHash3 of its stem; its
/// weight `f·(k + 1) / (f + k·((1 − b) + b·n/avg_len))` for `f` occurrences among `n` stems.
#[derive(Debug, Clone, PartialEq)]
pub struct Bm25Config {
    /// Saturation of repeated terms.
    pub k: f64,
    /// Strength of the length normalisation.
    pub b: f64,
    /// Assumed mean length of a document, in stems.
    pub avg_len: f64,
    /// Language of the stemmer, and of the list of stopwords `<language>.txt`: a lower-case English
    /// name.
    pub language: Str,
    /// Longest token that is kept, in characters, before stemming.
    pub token_max_length: usize,
}

/// Facts of SPLADE: `ln(1 + max(x, 0))` of each logit, the largest or the sum over the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpladeConfig {
    /// The graph output with the logits, `(texts, tokens, vocabulary)`.
    pub output: GraphOutput,
    /// `true` if weights are summed over the tokens, as in the first SPLADE, in place of the largest.
    pub sum: bool,
    /// `true` if the logarithm is taken twice: `ln(1 + ln(1 + max(x, 0)))`.
    pub log_twice: bool,
}

impl SpladeConfig {
    /// SPLADE++ with the logits as the first output, for struct update syntax.
    pub const DEFAULT: Self = Self { output: GraphOutput::Index(0), sum: false, log_twice: false };
}

/// Facts of inference-free SPLADE: SPLADE for documents; a look-up for queries, without the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfSpladeConfig {
    /// The weights of documents.
    pub documents: SpladeConfig,
    /// File with the weights of query tokens: a JSON object from token to number, or a safetensors file
    /// whose tensor `weight` has one for each id.
    pub idf_file: Str,
    /// `true` if special tokens are terms like any other: those around a document, and those in the text of a
    /// query. FastEmbed leaves them out, sentence-transformers does not.
    pub special_tokens: bool,
}

/// Facts of BM42. A document word weighs `ln(1 + w)^alpha` for the attention `w` that the first
/// token pays it, mean over the heads; queries need no graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Bm42Config {
    /// The graph output with the attention, `(texts, heads, tokens, tokens)`.
    pub output: GraphOutput,
    /// Exponent of the weight.
    pub alpha: f64,
    /// Language of the stemmer.
    pub language: Str,
    /// File with the stopwords, one a line; none are used where it is missing.
    pub stopwords_file: Str,
}

/// Facts of MiniCOIL: words of its list become a few numbers, computed from their token vectors and
/// weighted as in BM25; all others are BM25 terms, with indices above those of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct MiniCoilConfig {
    /// The graph output with the token vectors, `(texts, tokens, hidden)`.
    pub output: GraphOutput,
    /// Saturation of repeated words.
    pub k: f64,
    /// Strength of the length normalisation.
    pub b: f64,
    /// Assumed mean length of a document, in words.
    pub avg_len: f64,
    /// Language of the stemmer.
    pub language: Str,
    /// NumPy file of one matrix per word, `(words + 1, hidden, numbers per word)`.
    pub weights_file: Str,
    /// JSON file of the words and of the stems that stand for them.
    pub vocab_file: Str,
    /// File with the stopwords, one a line; none are used where it is missing.
    pub stopwords_file: Str,
}

/// Facts of token weights. A term is the id of a token, with its largest weight in the text; a weight
/// that is not positive is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWeightsConfig {
    /// The graph output that is read: with `head` the vectors of tokens, `(texts, tokens, width)`, else the
    /// weights, `(texts, tokens, 1)` or `(texts, tokens)`.
    pub output: GraphOutput,
    /// Layer from a token's vector to its weight, one number.
    pub head: Option<DenseLayer>,
    /// Tokens that are no terms, such as `<s>`.
    pub skip_tokens: List<Str>,
}
