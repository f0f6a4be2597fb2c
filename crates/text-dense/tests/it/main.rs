//! Dense text embedding against FastEmbed 0.9.1, on tiny graphs and on real models.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity, reason = "in tests")]

mod behaviour;
mod golden;
mod real;

use std::path::PathBuf;

use embedkit_text_dense::{Error, TextEmbedding};
use embedkit_types::{Device, LoadOptions, ModelFiles, ModelSpec};

/// Options for tests: the CPU, whatever else this machine has.
fn options() -> LoadOptions {
    LoadOptions { device: Device::Cpu, ..LoadOptions::default() }
}

fn open(spec: &ModelSpec, files: &ModelFiles, library: PathBuf) -> Result<TextEmbedding, Error> {
    let options = LoadOptions { onnxruntime: Some(library), ..options() };
    TextEmbedding::from_files(spec, files, &options)
}
