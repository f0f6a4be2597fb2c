//! The vocabulary of embedkit, shared by all of its crates.
//!
//! A [`ModelSpec`] says what a model is: where its files come from, what it accepts, and in its
//! [`Task`] everything that its family needs to turn graph outputs into embeddings. Built-in models
//! and models of your own are the same type. [`ModelFiles`] names the files of one model on disk;
//! [`LoadOptions`] says how to open it. [`Embed`] is the trait that every embedding model has.
//!
//! Module [`scoring`] compares embeddings and keeps the best.
//!
//! Nothing here reads a file, opens a socket or looks at the environment.
//!
//! ```
//! use embedkit_types::{ModelSpec, Pooling, Source, Task, TextDense};
//!
//! let spec = ModelSpec {
//!     id: "me/my-model".into(),
//!     source: Source { repo: Some("me/my-model-onnx".into()), ..Source::default() },
//!     file: "onnx/model.onnx".into(),
//!     task: Task::TextDense(TextDense {
//!         dim: 384,
//!         pooling: Pooling::Mean,
//!         normalize: true,
//!         ..TextDense::DEFAULT
//!     }),
//!     ..ModelSpec::DEFAULT
//! };
//! assert_eq!(spec.task.dim(), Some(384));
//! ```
//!
//! Feature `serde` reads a [`ModelSpec`] from a row in the form of the project's `models.toml`; module
//! `row` has the rules.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod cache;
mod canonical;
mod device;
mod embed;
mod error;
mod files;
mod hybrid;
mod multi_vector;
mod options;
mod precision;
#[cfg(feature = "serde")]
pub mod row;
pub mod scoring;
mod sparse;
mod spec;
mod spec_error;
mod task;
mod variant;

pub use canonical::Canonical;
pub use device::{Device, DeviceError};
pub use embed::{Embed, Embedded, Role, Token};
pub use error::{Error, ErrorKind, Hint};
pub use files::ModelFiles;
pub use hybrid::HybridEmbedding;
pub use multi_vector::{MultiVector, MultiVectorError, MultiVectorModel};
pub use options::{BatchOptions, LoadOptions, OptionsError, Profile, Prompts};
pub use precision::{Precision, PrecisionError};
#[cfg(feature = "serde")]
pub use row::{ModelFile, RowError};
pub use sparse::{SparseEmbedding, SparseError};
pub use spec::{FileDigest, List, ModelPrompts, ModelSpec, Source, Str, TokenizerFiles};
pub use spec_error::SpecError;
pub use task::{
    Activation, AdapterTasks, Bm25Config, Bm42Config, ColModernVbertConfig, ColPaliConfig,
    DenseLayer, Encoder, GraphOutput, HybridHeads, IfSpladeConfig, Image, ImagePooling,
    LateMultimodal, LateMultimodalKind, LateText, Layer, Markers, MiniCoilConfig, Outputs,
    OutputsError, Pooling, QueryPadding, Repeat, Rerank, Sparse, SparseKind, SpladeConfig, Task,
    TaskKind, TemplateError, TemplatePart, TextDense, TextHybrid, TokenScore, TokenWeightsConfig,
};
pub use variant::{Variant, VariantError};
