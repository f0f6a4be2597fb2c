//! Text to one dense vector.
//!
//! [`TextEmbedding`] opens a model from its description and files and embeds texts with it. Texts
//! may come from any iterator; vectors come back lazily, in input order, while worker threads run
//! batches of similar length. What the model does with token vectors (pooling, normalisation, which
//! output) is data in its [`embedkit_types::TextDense`].
//!
//! ```no_run
//! use embedkit_core::registry;
//! use embedkit_text_dense::TextEmbedding;
//! use embedkit_types::{LoadOptions, ModelFiles, Role, TaskKind};
//!
//! let spec = registry::find_task("sentence-transformers/all-MiniLM-L6-v2", TaskKind::TextDense)?;
//! let files = ModelFiles::in_dir("models/all-MiniLM-L6-v2", spec);
//! let model = TextEmbedding::from_files(spec, &files, &LoadOptions::default())?;
//! for vector in model.embed(["hello world", "goodbye"]) {
//!     assert_eq!(vector?.len(), 384);
//! }
//! let query = model.embed_batch(Role::Query, &["greetings"])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `transformer` (ONNX graphs, the usual kind) and `static` (lookup tables, which need no
//! runtime). Not here: downloading models by id (`embedkit`), other kinds of vectors (their crates).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(any(feature = "transformer", feature = "static"))]
mod error;
#[cfg(all(feature = "static", any(test, fuzzing)))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(feature = "transformer", feature = "static"))]
mod model;
#[cfg(any(feature = "transformer", feature = "static"))]
mod options;
#[cfg(feature = "static")]
mod table;
#[cfg(feature = "transformer")]
mod transformer;

pub use embedkit_types::Error;
#[cfg(any(feature = "transformer", feature = "static"))]
pub use error::WrongBuffer;
#[cfg(any(feature = "transformer", feature = "static"))]
pub use model::TextEmbedding;
#[cfg(any(feature = "transformer", feature = "static"))]
pub use options::DenseOptions;
