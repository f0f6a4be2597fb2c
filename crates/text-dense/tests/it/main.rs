//! Dense text embedding against FastEmbed 0.9.1, on tiny graphs and on real models.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity, reason = "in tests")]

mod behaviour;
mod golden;
mod real;

use std::path::PathBuf;

use embedkit_testkit::load_options;
use embedkit_text_dense::{Error, TextEmbedding};
use embedkit_types::{LoadOptions, ModelFiles, ModelSpec};

fn open(spec: &ModelSpec, files: &ModelFiles, library: PathBuf) -> Result<TextEmbedding, Error> {
    let options = LoadOptions { onnxruntime: Some(library), ..load_options() };
    TextEmbedding::from_files(spec, files, &options)
}
