//! Text to weighted terms: BM25, SPLADE++, inference-free SPLADE, BM42 and MiniCOIL.
//!
//! [`SparseTextEmbedding`] opens a model from its description and files and embeds texts with it.
//! Texts may come from any iterator; vectors come back lazily, in input order. BM25 needs no files
//! and no runtime:
//!
//! ```
//! use embedkit_core::registry;
//! use embedkit_sparse::{SparseOptions, SparseTextEmbedding};
//! use embedkit_types::{LoadOptions, Role, TaskKind};
//!
//! let spec = registry::find_task("Qdrant/bm25", TaskKind::Sparse)?;
//! let options = SparseOptions { avg_len: Some(40.0), ..SparseOptions::default() };
//! let model = SparseTextEmbedding::without_files(spec, &LoadOptions::default(), &options)?;
//! let query = &model.embed_batch(Role::Query, &["rusty boats"])?[0];
//! for document in model.embed(["the boat is of rust", "cats sleep a lot"]) {
//!     println!("{}", query.dot(&document?));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Vectors have the indices and weights of FastEmbed 0.9.1, sorted by index. Where
//! [`requires_idf`](SparseTextEmbedding::requires_idf) is true, whoever searches has to multiply by
//! the inverse document frequency.
//!
//! Features: `bm25` (neither runtime nor tokenizer), `splade` (both of its kinds), `bm42` and
//! `minicoil` (on ONNX Runtime). Not here: downloading models by id (`embedkit`), searching.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "bm25")]
mod bm25;
mod error;
#[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
mod graph;
#[cfg(any(feature = "bm25", feature = "bm42", feature = "minicoil"))]
mod hash;
#[cfg(any(feature = "bm25", feature = "bm42", feature = "minicoil"))]
mod language;
#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
mod model;
mod options;
#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
mod packed;
#[cfg(any(feature = "bm25", feature = "bm42", feature = "minicoil"))]
mod stemmer;
#[cfg(any(feature = "bm25", feature = "bm42", feature = "minicoil"))]
mod stopwords;
#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
mod terms;
#[cfg(any(feature = "bm25", feature = "minicoil"))]
mod word_ranges;
#[cfg(any(feature = "bm25", feature = "minicoil"))]
mod words;

#[cfg(all(feature = "minicoil", any(test, fuzzing)))]
#[doc(hidden)]
pub use graph::minicoil::fuzzing;

#[cfg(feature = "bm25")]
pub use bm25::{Bm25, StopwordLists};
pub use embedkit_types::Error;
pub use error::OptionError;
#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
pub use model::SparseTextEmbedding;
pub use options::SparseOptions;
#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
pub use terms::Terms;
#[cfg(feature = "bm25")]
pub use {
    hash::term_index,
    language::stopwords,
    stemmer::{Snowball, Stemmer},
};
