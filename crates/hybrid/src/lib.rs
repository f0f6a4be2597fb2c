//! Text to one vector, weighted terms and a vector per token, of one run of one graph.
//!
//! BGE-M3 is trained for three ways of retrieval at once. [`HybridTextEmbedding`] runs its graph once for a
//! text and gives all three, or those of [`HybridOptions`]: `dense` for approximate search, `sparse` for an
//! inverted index, `multi_vector` for the order of the best. Texts may come from any iterator; embeddings come
//! back lazily, in input order, while worker threads run batches of similar length.
//!
//! ```no_run
//! use embedkit_core::registry;
//! use embedkit_hybrid::{HybridOptions, HybridTextEmbedding};
//! use embedkit_types::{LoadOptions, ModelFiles, TaskKind};
//!
//! let spec = registry::find_task("BAAI/bge-m3", TaskKind::TextHybrid)?;
//! let files = ModelFiles::in_dir("models/bge-m3", spec);
//! let options = HybridOptions { outputs: Some("dense,sparse".parse()?) };
//! let model =
//!     HybridTextEmbedding::from_files_with(spec, &files, &LoadOptions::default(), &options)?;
//! let query = model.query_embed_one("what is BGE-M3?")?;
//! assert_eq!(query.dense.unwrap().len(), 1024);
//! assert!(!query.sparse.unwrap().is_empty() && query.multi_vector.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The heads are outputs of the graph, or linear layers behind one that gives token vectors; the model's
//! [`TextHybrid`](embedkit_types::TextHybrid) says which. Not here: downloading models by id (`embedkit`), MaxSim
//! (`embedkit-late-interaction`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod heads;
mod model;

pub use embedkit_types::{Error, HybridEmbedding};
pub use model::{HybridOptions, HybridTextEmbedding};
