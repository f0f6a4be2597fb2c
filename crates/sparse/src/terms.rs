//! Weighted terms before they are a vector.

use embedkit_types::{Embedded, SparseEmbedding};

/// Weighted terms in the order of the text, or in that of the vocabulary where the model has no other: pairs
/// of index and weight. Formulas give weights in double precision, graphs in single precision; of
/// MiniCOIL an index may be repeated.
///
/// A [`SparseEmbedding`] is the same by ascending index, and rounded.
pub type Terms = Vec<(u32, f64)>;

/// The vector of terms.
#[must_use]
pub(crate) fn vector(terms: Terms) -> SparseEmbedding {
    #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
    terms.into_iter().map(|(index, weight)| (index, weight as f32)).collect()
}

/// The vector of the terms of an input.
#[must_use]
pub(crate) fn embedded(terms: Embedded<Terms>) -> Embedded<SparseEmbedding> {
    let Embedded { value, tokens, truncated } = terms;
    Embedded { value: vector(value), tokens, truncated }
}
