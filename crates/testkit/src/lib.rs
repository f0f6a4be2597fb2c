//! Tiny models, golden values from FastEmbed 0.9.1, and the comparisons that tests need.
//!
//! - [`dense_cases`]: one folder for each case with a graph or table of a few kilobytes, its tokenizer
//!   files, its [`ModelSpec`](embedkit_types::ModelSpec) and FastEmbed's results, vectors or an error.
//!   [`DenseCase::expected`] is the result of a correct implementation.
//! - [`stored`]: texts and vectors of real models, whose files [`asset`] looks for.
//! - [`bm25_cases`], [`sparse_cases`]: the same for sparse vectors; [`rerank_cases`] for scores.
//! - [`image_cases`], [`picture`], [`stored_images`]: the same for images.
//! - [`late_cases`]: the same for vectors of tokens; [`pooling_cases`] for pooled ones.
//! - [`multimodal_cases`]: the same for models of text and page images.
//! - [`assert_close`], [`assert_rows_close`]: comparisons that report the position and the difference;
//!   [`zip_equal`] for streams.
//! - [`fault`]: graphs that fail or never end for some inputs; [`texts_with_a_long_one`] makes the
//!   inputs, and [`fails_alone`] checks the results.
//! - [`sentence_folder`]: a checkpoint with the files of sentence-transformers; module [`hub`]: a hub on
//!   loopback.
//! - [`runtime_library`], [`asset`]: external needs of a test, which fails or is skipped without them.
//! - [`load_options`]: the device for tests, which `cargo xtask matrix` varies.
//!
//! `data/README.md` explains how to make the files again.
//!
//! ```
//! use embedkit_testkit::{Expected, dense_case};
//! use embedkit_types::Role;
//!
//! let case = dense_case("mean-normalized");
//! let files = case.files();
//! assert!(files.model.is_file() && files.path("tokenizer.json").is_file());
//! let Expected::Vectors(vectors) = case.expected(Role::Raw) else { panic!("not an error case") };
//! assert_eq!(vectors.len(), case.golden.texts.len());
//! ```

#![forbid(unsafe_code)]

mod case;
mod compare;
mod dense;
mod faults;
mod files;
mod folder;
pub mod hub;
mod image;
mod late;
mod machine;
mod multimodal;
mod outside;
mod pixels;
mod rerank;
mod sparse;
mod stored;
mod text;

pub use case::Case;
pub use compare::{assert_close, assert_rows_close, cosine, max_abs_diff, zip_equal};
pub use dense::{
    DenseCase, DenseGolden, Expected, Failure, Repair, Repaired, Stage, dense_case, dense_cases,
};
pub use faults::{FAULT_TOKENS, fails_alone, fault, one_batch, texts_with_a_long_one};
pub use folder::{TINY_TEXT, TINY_VECTOR, sentence_folder};
pub use image::{
    ImageCase, ImageGolden, StoredImages, image_case, image_cases, picture, stored_images,
};
pub use late::{
    LateCase, LateCounts, LateGolden, PoolingCase, StoredLate, late_case, late_cases,
    pooling_cases, stored_late,
};
pub use machine::load_options;
pub use multimodal::{
    MultimodalCase, MultimodalGolden, MultimodalResults, multimodal_case, multimodal_cases,
    multimodal_image,
};
pub use outside::{asset, runtime_library};
pub use pixels::{
    FileCase, ResizeCase, ScaledCase, TensorCase, TensorGolden, TiffCase, TiffGolden, file_cases,
    noise, resize_cases, scaled_cases, tensor_cases, tiff_cases,
};
pub use rerank::{RerankCase, RerankGolden, rerank_case, rerank_cases, rerank_stored};
pub use sparse::{
    Bm25Case, Bm25Document, Bm25Params, Bm25Query, SparseCase, SparseGolden, bm25_cases,
    bm25_unicode_digests, sparse_case, sparse_cases, sparse_stored,
};
pub use stored::{Stored, stored};

/// Folder of this crate's files.
fn data_dir() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}
