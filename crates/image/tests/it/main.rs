//! Preprocessing against the original and against Pillow.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

#[cfg(feature = "preprocess")]
mod preprocess;
