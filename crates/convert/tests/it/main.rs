//! Quantised graphs in the ONNX Runtime, tiny ones and a real model.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod architectures;
mod damage;
mod draft;
mod environment;
mod minilm;
mod rows;
mod shared;
mod tokens;
