//! Image embedding against FastEmbed 0.9.1, on tiny graphs and on a real model.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod behaviour;
mod golden;
mod real;

use embedkit_testkit::{load_options, runtime_library};
use embedkit_types::LoadOptions;

/// Options for tests; `None` where there is no runtime.
fn options() -> Option<LoadOptions> {
    Some(LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() })
}
