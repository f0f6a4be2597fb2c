//! Quantised graphs in the ONNX Runtime, tiny ones and a real model.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod damage;
mod draft;
mod minilm;
mod rows;
mod tokens;
