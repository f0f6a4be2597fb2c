//! Reranking against FastEmbed 0.9.1, on tiny graphs and on a real encoder.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod behaviour;
mod golden;
mod real;

use embedkit_rerank::{Error, TextCrossEncoder};
use embedkit_testkit::{RerankCase, load_options, runtime_library};
use embedkit_types::LoadOptions;

/// How tests open models; `None` without a runtime.
fn options() -> Option<LoadOptions> {
    Some(LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() })
}

fn open(case: &RerankCase, options: &LoadOptions) -> Result<TextCrossEncoder, Error> {
    TextCrossEncoder::from_files(&case.spec, &case.files(), options)
}
