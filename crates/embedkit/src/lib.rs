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
//! `load_with` takes options of the family as well, `load_spec` a description of your own, and the family's
//! `from_files` a folder. A model is `Send + Sync` and all of its methods take `&self`. Errors of every family
//! become an [`Error`], whose [`hint`](Error::hint) says what to do.
//!
//! ONNX Runtime is found on this machine (module `runtime`); `embedkit runtime install` gets it.
//!
//! # Features
//!
//! `text-dense`, `hub` (loading by id) and `load-dynamic` are the default.
//!
//! | feature | what it brings |
//! |---|---|
//! | `text-dense` | `TextEmbedding`: text to one vector |
//! | `sparse` | `SparseTextEmbedding`: text to weighted terms; its kinds alone are `bm25`, `splade`, `bm42`, `minicoil` |
//! | `late-interaction` | `LateInteractionTextEmbedding`: text to a vector for each token; MaxSim and token pooling |
//! | `multimodal` | `LateInteractionMultimodalEmbedding`: text or page image to many vectors |
//! | `image` | `ImageEmbedding`: image to one vector; `image-preprocess` is the way to the tensor alone |
//! | `rerank` | `TextCrossEncoder`: query and document to a score |
//! | `postprocess` | `postprocess::Muvera`: many vectors to one |
//! | `hub` | the trait `Load`: models by id |
//! | `cuda`, `tensorrt`, `coreml`, `directml`, `openvino`, `migraphx` | execution providers, named as in ONNX Runtime |
//! | `download-binaries`, `system` | instead of `load-dynamic`: ONNX Runtime linked into the program |
//!
//! `bm25` and `postprocess` need no runtime; with `default-features = false` and without `hub` neither
//! ONNX Runtime nor a tokenizer nor an HTTP client is built:
//!
//! ```
//! # #[cfg(feature = "bm25")] {
//! use embedkit::{LoadOptions, Role, SparseOptions, SparseTextEmbedding, TaskKind, registry};
//!
//! let spec = registry::find_task("Qdrant/bm25", TaskKind::Sparse)?;
//! let options = SparseOptions { language: Some("german".into()), ..SparseOptions::default() };
//! let model = SparseTextEmbedding::without_files(spec, &LoadOptions::default(), &options)?;
//! let query = model.query_embed_one("Katzen")?;
//! let documents = model.embed_batch(Role::Document, &["die Katze schläft"])?;
//! assert!(query.dot(&documents[0]) > 1.0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "hub")]
mod load;
pub mod scoring;

pub use embedkit_core::registry;
#[cfg(feature = "onnx")]
pub use embedkit_core::runtime;
#[cfg(feature = "hub")]
pub use embedkit_hub as hub;
#[cfg(feature = "image")]
pub use embedkit_image::ImageEmbedding;
#[cfg(feature = "image-preprocess")]
pub use embedkit_image::{self as image, ImageInput, ImageOptions};
#[cfg(feature = "multimodal")]
pub use embedkit_late_interaction::LateInteractionMultimodalEmbedding;
#[cfg(feature = "late-interaction")]
pub use embedkit_late_interaction::{
    self as late_interaction, LateInteractionTextEmbedding, pool_tokens,
};
#[cfg(feature = "postprocess")]
pub use embedkit_postprocess as postprocess;
#[cfg(feature = "rerank")]
pub use embedkit_rerank::{self as rerank, TextCrossEncoder};
#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
pub use embedkit_sparse::{self as sparse, SparseOptions, SparseTextEmbedding};
#[cfg(feature = "text-dense")]
pub use embedkit_text_dense::{self as text_dense, DenseOptions, TextEmbedding};
pub use embedkit_types::{
    self as types, BatchOptions, Device, Embed, Embedded, LoadOptions, ModelFiles, ModelSpec,
    MultiVector, Profile, Prompts, Role, SparseEmbedding, Task, TaskKind, cache, scoring::Ranked,
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
