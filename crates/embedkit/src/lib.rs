//! Embeddings for retrieval on ONNX Runtime: FastEmbed in Rust.
//!
//! This is the crate that applications name. [`Model`] is any model:
//!
//! ```no_run
//! use embedkit::{Model, Options, Role};
//!
//! let model = Model::load("BAAI/bge-small-en-v1.5", Options::default())?;
//! let query = model.query("which language is it written in?")?;
//! for document in model.embed(Role::Document, ["embedkit is written in Rust", "cats sleep a lot"]) {
//!     println!("{}", query.score(&document?.value)?);
//! }
//! # Ok::<(), embedkit::Error>(())
//! ```
//!
//! Typed models, such as `TextEmbedding`, give plain vectors of one family. All are opened by name: a built-in
//! id, a folder such as `./my-model`, or a repository of the hub, whose own files describe it (the files are
//! looked up in the cache, or fetched into it). They are also opened by a description of your own; they are
//! `Send + Sync`, their methods take `&self`, and a clone is the same model. All functions have one
//! [`Error`]: its [`kind`](Error::kind) is enough to choose what to do next, its [`hint`](Error::hint) tells
//! the user how to go on.
//!
//! ONNX Runtime is found on this machine (module `runtime`); `embedkit runtime install` gets it.
//!
//! # Features
//!
//! `text-dense`, `hub` (fetching files), `convert` and `load-dynamic` are the default.
//!
//! | feature | what it brings |
//! |---|---|
//! | `text-dense` | `TextEmbedding`: text to one vector |
//! | `sparse` | `SparseTextEmbedding`: text to weighted terms; its kinds alone are `bm25`, `splade`, `bm42`, `minicoil` |
//! | `late-interaction` | `LateInteractionTextEmbedding`: text to a vector for each token; MaxSim and token pooling |
//! | `hybrid` | `HybridTextEmbedding`: one vector, weighted terms and a vector for each token in one pass |
//! | `multimodal` | `LateInteractionMultimodalEmbedding`: text or page image to many vectors |
//! | `image` | `ImageEmbedding`: image to one vector; `image-preprocess` is the way to the tensor alone |
//! | `rerank` | `TextCrossEncoder`: query and document to a score |
//! | `postprocess` | `postprocess::Muvera`: many vectors to one |
//! | `hub` | fetching the files of models |
//! | `convert` | checkpoints without an ONNX file: the graph is made once and kept in the cache |
//! | `cuda`, `tensorrt`, `coreml`, `directml`, `openvino`, `migraphx` | execution providers, named as in ONNX Runtime |
//! | `download-binaries`, `system` | instead of `load-dynamic`: ONNX Runtime linked into the program |
//!
//! `bm25` and `postprocess` need no runtime; with `default-features = false` and without `hub` neither
//! ONNX Runtime nor a tokenizer nor an HTTP client is built:
//!
//! ```
//! # #[cfg(feature = "bm25")] {
//! use embedkit::{LoadOptions, SparseOptions, SparseTextEmbedding};
//!
//! let options = SparseOptions { language: Some("german".into()), ..SparseOptions::default() };
//! let model = SparseTextEmbedding::load_with("Qdrant/bm25", LoadOptions::default(), &options)?;
//! let query = model.query_embed_one("Katzen")?;
//! let documents: Vec<_> = model.embed(["die Katze schläft"]).collect::<Result<_, _>>()?;
//! assert!(query.dot(&documents[0]) > 1.0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "any-model")]
pub mod canary;
mod checkpoint;
mod conversion;
mod error;
mod files;
mod load;
#[cfg(feature = "any-model")]
mod model;
#[cfg(feature = "any-model")]
mod options;
mod resolve;
pub mod scoring;
mod try_inputs;

#[cfg(feature = "convert")]
pub use embedkit_convert as convert;
#[cfg(feature = "any-model")]
pub use embedkit_core::pipeline::{Class, Depth, Pending, QueueOptions, Spent};
pub use embedkit_core::registry;
#[cfg(feature = "onnx")]
pub use embedkit_core::runtime;
pub use embedkit_describe as describe;
#[cfg(feature = "hub")]
pub use embedkit_hub as hub;
#[cfg(feature = "hybrid")]
pub use embedkit_hybrid::{self as hybrid, HybridOptions};
#[cfg(feature = "image-preprocess")]
pub use embedkit_image::{self as image, ImageInput, ImageOptions};
#[cfg(feature = "late-interaction")]
pub use embedkit_late_interaction::{self as late_interaction, pool_tokens};
#[cfg(feature = "postprocess")]
pub use embedkit_postprocess as postprocess;
#[cfg(feature = "rerank")]
pub use embedkit_rerank as rerank;
#[cfg(feature = "any-sparse")]
pub use embedkit_sparse::{self as sparse, SparseOptions, Terms};
#[cfg(feature = "text-dense")]
pub use embedkit_text_dense::{self as text_dense, DenseOptions};
pub use embedkit_types::{
    self as types, BatchOptions, Canonical, Device, Embed, Embedded, Error, ErrorKind, Hint,
    HybridEmbedding, LoadOptions, ModelFiles, ModelSpec, MultiVector, Outputs, Precision, Profile,
    Prompts, Role, SparseEmbedding, SpecError, Task, TaskKind, Token, Variant, cache,
    scoring::Ranked,
};
pub use error::ResolveError;
pub use load::{Load, Loaded};
#[cfg(feature = "any-model")]
pub use model::{
    Capabilities, Difference, Input, InputKind, Model, ModelBuilder, Output, OutputKind,
    StreamOptions, select_outputs,
};
#[cfg(feature = "any-model")]
pub use options::Options;
pub use resolve::{Resolved, resolve};
pub use try_inputs::try_inputs;

/// A model that turns a text into one vector.
#[cfg(feature = "text-dense")]
pub type TextEmbedding = Loaded<embedkit_text_dense::TextEmbedding>;
/// A model that turns a text into weighted terms.
#[cfg(feature = "any-sparse")]
pub type SparseTextEmbedding = Loaded<embedkit_sparse::SparseTextEmbedding>;
/// A model that turns a text into one vector per token.
#[cfg(feature = "late-interaction")]
pub type LateInteractionTextEmbedding =
    Loaded<embedkit_late_interaction::LateInteractionTextEmbedding>;
/// A model that turns a text into one vector, weighted terms and a vector per token at once.
#[cfg(feature = "hybrid")]
pub type HybridTextEmbedding = Loaded<embedkit_hybrid::HybridTextEmbedding>;
/// A model that turns a text, or the image of a page, into many vectors.
#[cfg(feature = "multimodal")]
pub type LateInteractionMultimodalEmbedding =
    Loaded<embedkit_late_interaction::LateInteractionMultimodalEmbedding>;
/// A model that turns an image into one vector.
#[cfg(feature = "image")]
pub type ImageEmbedding = Loaded<embedkit_image::ImageEmbedding>;
/// A model that scores a document for a query.
#[cfg(feature = "rerank")]
pub type TextCrossEncoder = Loaded<embedkit_rerank::TextCrossEncoder>;

/// Traits for generic code. The models need none of them.
pub mod prelude {
    pub use crate::Load;
    pub use embedkit_types::Embed;
}

/// The model that the command line and the examples use unless another is named.
pub const DEFAULT_MODEL: &str = "BAAI/bge-small-en-v1.5";
