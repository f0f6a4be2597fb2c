//! Facts of models that score a document for a query.

use crate::{List, Str};

use super::{Activation, GraphOutput};

/// Facts of a cross-encoder: a query and a document go through the graph together, as the two
/// segments of one input or within a template, and one number comes out.
///
/// The score is the raw logit: neither sigmoid nor softmax.
#[derive(Debug, Clone, PartialEq)]
pub struct Rerank {
    /// The graph output that is read, of shape `(pairs, columns)`; with `tokens` also the logits of a
    /// causal language model, `(pairs, tokens, vocabulary)`.
    pub output: GraphOutput,
    /// The column that is the score. FastEmbed always reads column 0, which in a head with two
    /// labels is usually the negative one.
    pub column: usize,
    /// The function that the authors apply to the logit, where they state one. It is not applied here.
    pub activation: Option<Activation>,
    /// For a causal language model, the template of a pair and the tokens whose logits are the score.
    pub tokens: Option<TokenScore>,
}

impl Rerank {
    /// The first column of the first output.
    pub const DEFAULT: Self =
        Self { output: GraphOutput::Index(0), column: 0, activation: None, tokens: None };
}

/// The score of a causal language model: a pair stands in a template that asks whether the document
/// fits, and the logits of the possible answers, as the next token, tell how well.
///
/// The score is `logit(true_token) - logit(false_token)`, whose sigmoid is the softmax of the two, or the
/// logit of `true_token` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScore {
    /// Texts whose tokens follow each other. Each is split into tokens by itself, so that a token never
    /// spans two of them. `{query}` and `{document}` stand for the pair, once each; all else, special
    /// tokens too, stands as it is ([`TemplatePart`](crate::TemplatePart)).
    pub template: List<Str>,
    /// Id of the token that says yes.
    pub true_token: u32,
    /// Id of the token that says no.
    pub false_token: Option<u32>,
}
