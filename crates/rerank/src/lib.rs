//! Query and document to a score.
//!
//! A cross-encoder reads a query and a document together and says how well they fit: slower than
//! comparing embeddings, and more exact, so it puts the best of a first search in order.
//! [`TextCrossEncoder`] opens such a model from its description and files. Documents may come from
//! any iterator; scores come back lazily, in input order, while worker threads run batches of
//! similar length.
//!
//! ```no_run
//! use embedkit_core::registry;
//! use embedkit_rerank::{TextCrossEncoder, sigmoid};
//! use embedkit_types::{LoadOptions, ModelFiles, TaskKind};
//!
//! let spec = registry::find_task("Xenova/ms-marco-MiniLM-L-6-v2", TaskKind::Rerank)?;
//! let files = ModelFiles::in_dir("models/ms-marco-MiniLM-L-6-v2", spec);
//! let model = TextCrossEncoder::from_files(spec, &files, &LoadOptions::default())?;
//!
//! let documents = ["Paris is the capital of France.", "Berlin is the capital of Germany."];
//! for score in model.rerank("What is the capital of France?", documents) {
//!     let score = score?; // a logit: any number, higher is better
//!     println!("{score} {}", sigmoid(score));
//! }
//! let best = model.top_k("What is the capital of France?", documents, 1)?;
//! assert_eq!(best[0].index, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Causal language models, such as Qwen3-Reranker, are opened the same way: their description has a
//! template for the pair, and the score is `logit(yes) - logit(no)` after it.
//!
//! Documents are a list, also where there is only one; a string is none:
//!
//! ```compile_fail,E0277
//! # fn score(model: &embedkit_rerank::TextCrossEncoder) {
//! model.rerank("query", "a document");
//! # }
//! ```
//!
//! Not here: downloading models by id (`embedkit`), the first search (the families of embeddings).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod error;
mod model;
mod pairs;
mod sigmoid;

pub use embedkit_types::Error;
pub use error::NotANumber;
pub use model::TextCrossEncoder;
pub use sigmoid::sigmoid;
