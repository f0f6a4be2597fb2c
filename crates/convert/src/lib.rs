//! Turns a checkpoint of an encoder (`config.json` beside `model.safetensors`) into an ONNX graph, without
//! Python and without an ONNX Runtime.
//!
//! [`convert`] reads checkpoints with f32, f16 or bf16 weights, in one file or in shards, of
//!
//! - BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, MPNet, ALBERT, ELECTRA, DeBERTa-v2 and -v3,
//! - ModernBERT, GTE v1.5 and multilingual, NomicBERT v1.5 and v2, Jina's BERT v2 and embeddings v3,
//! - Llama, Mistral, Qwen2, Qwen3 and Gemma 3, causal or in both directions,
//! - the encoders of T5, mT5 and umT5,
//! - CLIP, SigLIP, ViT and DINOv2,
//!
//! and writes one of several graphs, chosen by [`Head`]. The result is a plain ONNX model (opset 17) that
//! takes int64 tensors `[batch_size, sequence_length]` named `input_ids`, `attention_mask` and, where the
//! model distinguishes token types, `token_type_ids`. A model with an adapter for each task takes the
//! number of a task as the scalar `task_id`, too. An encoder of images takes f32 `pixel_values`,
//! `[batch_size, channels, height, width]`, normalised as the model wants them.
//!
//! ```
//! use std::path::Path;
//! use embedkit_convert::{ConvertOptions, Head, convert};
//!
//! # let folder = tempfile::tempdir()?;
//! # let out = &folder.path().join("model.onnx");
//! # let checkpoint = Path::new("tests/data/bert-plain");
//! let options = ConvertOptions { head: Head::Hidden, ..ConvertOptions::default() };
//! let done = convert(checkpoint, out, &options)?;
//! assert_eq!(done.inputs, ["input_ids", "attention_mask", "token_type_ids"]);
//! assert_eq!(done.output, "last_hidden_state"); // [batch_size, sequence_length, done.width]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The feature `quantize` adds the function `quantize`, which turns such a graph, or another f32 graph,
//! into an int8 graph with batch-invariant results, and `to_bf16`, which makes its products those of bf16.
//!
//! A failure leaves an existing output file as it was.
//!
//! One module for each step: `fields` reads the configuration, `checkpoint` checks every header and finds
//! tensors, a module of `arch` describes the model as an `encoder`, `network` and `heads` build its
//! graph, `model` writes it with `protobuf`. Weights are streamed: memory holds at most one matrix, and
//! only a part of a large one.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod arch;
mod checkpoint;
mod encoder;
mod error;
mod fields;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod graph;
mod heads;
mod model;
mod network;
mod options;
mod protobuf;
#[cfg(feature = "quantize")]
mod quantize;
mod safetensors;
mod unfinished;

use std::path::Path;

/// The ONNX writer, for the project's own tools.
#[doc(hidden)]
pub mod onnx {
    pub use crate::graph::{Attribute, BATCH, Dim, FLOAT, Graph, Port, Value};
    pub use crate::model::encode;
}

pub use error::Error;
pub use options::{ConvertOptions, Converted, Head, Precision};
#[cfg(feature = "quantize")]
pub use quantize::{Bf16Report, QuantizeOptions, QuantizeReport, quantize, to_bf16};
pub use unfinished::discard_unfinished;

/// Converts the checkpoint in `dir` to the ONNX file `out`.
///
/// `dir` holds `config.json` and either `model.safetensors` or `model.safetensors.index.json` with its
/// shards; other files are ignored. Weights are stored as f32 unless [`Precision::F16`] is asked for,
/// because CPUs widen half precision in every run. The same input gives the same bytes.
///
/// `out` is written under a temporary name in its folder and then renamed, so a failure leaves an
/// existing file as it was. Call [`discard_unfinished`] before ending the process at once. A model
/// above 2 GiB, the limit of one protobuf message, gets a second file with its weights:
/// `model.onnx_data` beside `model.onnx`.
///
/// # Errors
/// Every file is taken as untrusted. [`Error`] tells files that are missing, damaged or too large,
/// configurations outside what is supported, tensors that are missing or of the wrong shape or type,
/// and an output that cannot be written; [`Error::hint`] says what to do about it.
pub fn convert(dir: &Path, out: &Path, options: &ConvertOptions) -> Result<Converted, Error> {
    convert_with_progress(dir, out, options, &mut |_, _| {})
}

/// [`convert`], which tells `on_progress` of the bytes that are written so far and of all, in this order.
///
/// # Errors
/// As [`convert`].
pub fn convert_with_progress(
    dir: &Path,
    out: &Path,
    options: &ConvertOptions,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<Converted, Error> {
    convert_within(dir, out, options, model::MESSAGE_LIMIT, on_progress)
}

/// Version of the converter: another one may write another graph for the same checkpoint.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Checks that [`convert`] knows the architecture in `config.json` of `dir` with this head. No weights are
/// read.
///
/// # Errors
/// A configuration that is missing, damaged or too large, or of a model that is not supported.
pub fn check(dir: &Path, head: Head) -> Result<(), Error> {
    let fields = fields::Fields::read(dir)?;
    arch::Architecture::of(&fields, head).map(drop)
}

/// [`convert_with_progress`] with the size in bytes from which weights go to a file of their own.
fn convert_within(
    dir: &Path,
    out: &Path,
    options: &ConvertOptions,
    limit: u64,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<Converted, Error> {
    let fields = fields::Fields::read(dir)?;
    let architecture = arch::Architecture::of(&fields, options.head)?;
    let checkpoint = checkpoint::Checkpoint::open(dir)?;
    let encoder = (architecture.describe)(&fields, &checkpoint)?;
    let graph = heads::build(&checkpoint, &encoder, options)?;
    let target = model::Target::new(out, dir, &checkpoint)?;
    let (bytes, external_data) = model::write(&graph, &checkpoint, &target, limit, on_progress)?;
    Ok(Converted {
        layers: encoder.layers.len(),
        width: encoder.width,
        model_type: encoder.model_type,
        inputs: graph.inputs.iter().map(|input| input.name.clone()).collect(),
        output: graph.output.name,
        bytes,
        external_data,
    })
}

#[cfg(test)]
mod tests;
