//! The base of every model family of embedkit. **Internal**: its API may change in any version.
//!
//! Applications use the crate `embedkit`, or the models of single families (`embedkit-text-dense`, …); what
//! these re-export of this crate, such as the registry, is as stable as they are.
//!
//! - [`registry`]: the built-in models, looked up by id.
//! - `tokenizer` (feature `tokenizer`): a text as token ids, cut at the model's limit.
//! - [`pipeline`]: inputs to outputs in input order, batched by length, with bounded memory.
//! - `runtime` and `onnx` (feature `onnx`): ONNX Runtime found and set up, graphs run by many
//!   callers at once, padding cut off again, token vectors pooled.
//!
//! A family is a [`pipeline::Step`]: it prepares one input, and runs and finishes one batch.
//! Everything between is written here, once.
//!
//! ```
//! use embedkit_core::registry;
//!
//! let models = registry::find("baai/bge-small-en-v1.5").unwrap(); // ids ignore case
//! assert_eq!(models[0].task.dim(), Some(384));
//! let error = registry::find("baai/bge-smal-en").unwrap_err();
//! assert!(error.hint().unwrap().to_string().contains("BAAI/bge-small-en"));
//! ```
//!
//! Not here: downloading (`embedkit-hub`) and anything that knows what a vector is for.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub mod front;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod pipeline;
pub mod registry;
#[cfg(feature = "onnx")]
pub mod runtime;
#[cfg(feature = "onnx")]
mod threads;
#[cfg(feature = "tokenizer")]
pub mod tokenizer;

mod dim;
mod error;
#[cfg(all(feature = "onnx", any(test, fuzzing)))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "layers")]
mod layers;
#[cfg(feature = "mmap")]
mod mapped;
mod norm;
mod sync;

pub use dim::Dim;
pub use error::{Error, read_bounded};
#[cfg(feature = "layers")]
pub use layers::{Layers, read_tensor};
#[cfg(feature = "mmap")]
pub use mapped::MappedFile;
pub use norm::{l2_norm, l2_normalize};
