//! Embeddings for retrieval on ONNX Runtime: FastEmbed in Rust.
//!
//! This is the crate that applications name. It re-exports the model families, one per feature, and
//! adds the trait `Load`, which opens a model by its id: files are looked up in the cache, or fetched into
//! it, and handed to the family.
//!
//! ```no_run
//! use embedkit::{LoadOptions, TextEmbedding, prelude::*};
//!
//! let model = TextEmbedding::load("BAAI/bge-small-en-v1.5", LoadOptions::default())?;
//! for vector in model.passage_embed(["embedkit is written in Rust", "cats sleep a lot"]) {
//!     println!("{:?}", &vector?[..4]);
//! }
//! # Ok::<(), embedkit::Error>(())
//! ```
//!
//! ONNX Runtime is found on this machine (module `runtime`); `embedkit runtime install` gets it.
//!
//! Features: `text-dense`, `hub` (loading by id) and `load-dynamic` are the default. Execution
//! providers are features of the same names as in ONNX Runtime: `cuda`, `tensorrt`, `coreml`,
//! `directml`, `openvino`, `migraphx`. Instead of `load-dynamic`, `download-binaries` or `system`
//! link the runtime into the program.

#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "hub")]
mod load;

pub use embedkit_core::registry;
#[cfg(any(
    feature = "text-dense",
    feature = "load-dynamic",
    feature = "download-binaries",
    feature = "system"
))]
pub use embedkit_core::runtime;
#[cfg(feature = "hub")]
pub use embedkit_hub as hub;
#[cfg(feature = "text-dense")]
pub use embedkit_text_dense::{self as text_dense, TextEmbedding};
pub use embedkit_types::{
    BatchOptions, Device, Embed, Embedded, LoadOptions, ModelFiles, ModelSpec, PromptUse, Role,
    Task, cache,
};
pub use error::Error;
#[cfg(feature = "hub")]
pub use load::Load;

/// The traits that make the types useful.
pub mod prelude {
    #[cfg(feature = "hub")]
    pub use crate::Load;
    pub use embedkit_types::Embed;
}

/// The model that the command line and the examples use unless another is named.
pub const DEFAULT_MODEL: &str = "BAAI/bge-small-en-v1.5";
