//! Scores of embeddings and the best of them, without a model and without a runtime.
//!
//! | embeddings | score |
//! |---|---|
//! | dense | [`cosine`]; [`dot`] where the vectors have unit length, as those of most models |
//! | sparse | [`SparseEmbedding::dot`](crate::SparseEmbedding::dot); [`Idf`] where the model leaves the inverse document frequency to the index |
//! | multi-vector | `MaxSim` and `max_sim` (feature `late-interaction`) |
//!
//! [`top_k`] and [`TopK`] keep the best of any score, and [`reciprocal_rank_fusion`] makes one ranking
//! of several, such as those of a dense and a sparse search.

#[cfg(feature = "late-interaction")]
pub use embedkit_late_interaction::{MaxSim, max_sim};
pub use embedkit_types::scoring::{
    DimMismatch, Idf, RRF_K, Ranked, TopK, cosine, dot, reciprocal_rank_fusion, top_k,
};
