//! Many vectors per text or page image: one for each token or patch.
//!
//! - [`LateInteractionTextEmbedding`] (feature `text`) opens a model of the ColBERT family, or a plain
//!   encoder of tokens, and embeds documents and queries with it.
//! - [`LateInteractionMultimodalEmbedding`] (feature `multimodal`) opens a model like ColPali or
//!   ColModernVBERT, and embeds texts as queries and the images of pages as documents.
//! - [`MaxSim`] and [`max_sim`] score a query against documents, exactly and on all cores.
//! - [`pool_tokens`] makes a document's vectors fewer: those of similar direction become one.
//!
//! ```
//! use embedkit_late_interaction::{MaxSim, pool_tokens};
//! use embedkit_types::MultiVector;
//!
//! let document = MultiVector::new(vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0], 2)?;
//! let smaller = pool_tokens(&document, 2.0)?;
//! assert_eq!(smaller.len(), 2);
//!
//! let documents = [document, smaller];
//! let query = MultiVector::new(vec![0.0, 1.0], 2)?;
//! assert_eq!(MaxSim::new(&documents)?.score(&query)?, [1.0, 1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A model gives such vectors:
//!
#![cfg_attr(feature = "text", doc = "```no_run")]
#![cfg_attr(not(feature = "text"), doc = "```text")]
//! use embedkit_core::registry;
//! use embedkit_late_interaction::{LateInteractionTextEmbedding, MaxSim};
//! use embedkit_types::{LoadOptions, ModelFiles, TaskKind};
//!
//! let spec = registry::find_task("colbert-ir/colbertv2.0", TaskKind::LateText)?;
//! let files = ModelFiles::in_dir("models/colbertv2.0", spec);
//! let model = LateInteractionTextEmbedding::from_files(spec, &files, &LoadOptions::default())?;
//! let documents: Vec<_> = model.embed(["hello world", "goodbye"]).collect::<Result<_, _>>()?;
//! for query in model.query_embed(["greetings"]) {
//!     let best = MaxSim::new(&documents)?.top_k(&query?, 1)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without features neither ONNX Runtime nor a tokenizer comes along. Not here: downloading models by
//! id (`embedkit`), and one vector in place of many (`embedkit-postprocess`).

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod max_sim;
#[cfg(feature = "multimodal")]
mod multimodal;
mod pooling;
#[cfg(feature = "text")]
mod text;
#[cfg(any(feature = "text", feature = "multimodal"))]
mod vectors;

pub use embedkit_types::Error;
pub use error::LateInteractionError;
pub use max_sim::{MaxSim, max_sim};
#[cfg(feature = "multimodal")]
pub use multimodal::LateInteractionMultimodalEmbedding;
pub use pooling::pool_tokens;
#[cfg(feature = "text")]
pub use text::LateInteractionTextEmbedding;
