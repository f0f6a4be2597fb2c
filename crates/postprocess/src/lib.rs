//! MUVERA: fixed-dimensional encodings of multi-vectors.
//!
//! Late-interaction models give one vector for each token and compare a query with a document by the
//! best match of each query vector (MaxSim). Indexes need one vector for each input. [`Muvera`] makes
//! one, so that the dot product of a query's and a document's encoding approximates their MaxSim:
//! search an index of encodings, then score the candidates exactly.
//!
//! ```
//! use embedkit_postprocess::{Form, Muvera, MuveraOptions};
//! use embedkit_types::MultiVector;
//!
//! let options = MuveraOptions { k_sim: 4, ..MuveraOptions::default() };
//! let muvera = Muvera::new(128, options)?;
//! assert_eq!(muvera.embedding_size(), 20 * 16 * 16); // r_reps * 2^k_sim * dim_proj
//!
//! // A document of 32 tokens, and a query of one token that the document has too.
//! let tokens = (0..32 * 128).map(|i| (i as f32 * 0.37).sin()).collect();
//! let document = MultiVector::new(tokens, 128)?;
//! let query = MultiVector::new(document.row(3).expect("32 rows").to_vec(), 128)?;
//!
//! let documents = muvera.process_batch(&[document], Form::DOCUMENT, None)?;
//! let query = muvera.process_query(&query)?;
//! let score: f64 = query.iter().zip(&documents[0]).map(|(q, d)| q * d).sum();
//! assert!(score > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The numbers are those of FastEmbed's `Muvera` for the same parameters and seed: the random matrices
//! come from a bit-exact port of NumPy's generator, and sums are in NumPy's order. [`Muvera::new_f32`]
//! computes in `f32` instead, with the same clusters: faster, in half the memory.
//!
//! This crate needs no model and no runtime. Feature `serde` reads and writes [`MuveraOptions`].

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod clusters;
mod encode;
mod error;
mod hyperplanes;
mod muvera;
mod numpy;
mod options;
mod precision;
mod product;
mod simd;
#[cfg(test)]
mod tests;
mod vectors;

pub use embedkit_types::Error;
pub use error::MuveraError;
pub use muvera::Muvera;
pub use options::{Form, MuveraOptions};
pub use precision::Precision;
pub use vectors::{AsVectors, Vectors};
