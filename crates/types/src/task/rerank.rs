//! Facts of models that score a document for a query.

use super::{Activation, GraphOutput};

/// Facts of a cross-encoder: a query and a document go through the graph together, as the two
/// segments of one input, and one number comes out.
///
/// The score is the raw logit: neither sigmoid nor softmax.
#[derive(Debug, Clone, PartialEq)]
pub struct Rerank {
    /// The graph output that is read, of shape `(pairs, columns)`.
    pub output: GraphOutput,
    /// The column that is the score. FastEmbed always reads column 0, which in a head with two
    /// labels is usually the negative one.
    pub column: usize,
    /// The function that the authors apply to the logit, where they state one. It is not applied here.
    pub activation: Option<Activation>,
}

impl Rerank {
    /// The first column of the first output.
    pub const DEFAULT: Self = Self { output: GraphOutput::Index(0), column: 0, activation: None };
}
