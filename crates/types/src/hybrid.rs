//! Several kinds of embedding of one text.

use crate::{MultiVector, SparseEmbedding};

/// The embeddings of one text by a model that gives several; those that were not asked for are `None`.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HybridEmbedding {
    /// One vector, of unit length.
    pub dense: Option<Vec<f32>>,
    /// Weighted terms.
    pub sparse: Option<SparseEmbedding>,
    /// A vector of unit length per token.
    pub multi_vector: Option<MultiVector>,
}
