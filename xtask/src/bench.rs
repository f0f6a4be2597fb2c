//! `cargo xtask bench`: how fast we are, and how that compares with others on the same machine.
//!
//! Contestants are processes that measure themselves ([`contestant`]), started once and then asked
//! in turn, so that whatever else the machine does falls on all of them. All run on the same ONNX
//! file, the same ONNX Runtime, the same texts ([`corpus`]) and as many threads as there are cores,
//! and nothing is timed before their vectors are found to be equal.

mod contestant;
mod corpus;
mod dense;
mod machine;
mod peers;
mod report;
mod roofline;
mod vectors;

use std::path::PathBuf;

use anyhow::Result;

use crate::repo;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Text to one vector: speed, latency, memory and load time, beside FastEmbed and fastembed-rs
    Dense(dense::Arguments),
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Dense(arguments) => dense::run(arguments),
    }
}

/// Everything that the benchmarks make.
fn folder() -> PathBuf {
    repo::root().join(".cache").join("bench")
}
