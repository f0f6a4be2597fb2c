//! `cargo xtask matrix`: the same tests repeatedly, with one thing changed.

mod cpu;
mod features;
mod gpu;
mod models;

use std::path::PathBuf;

use anyhow::Result;

/// Matrices.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    which: Which,
}

#[derive(clap::Subcommand)]
enum Which {
    /// The golden tests on the lowest and newest ONNX Runtime, with several threads and replicas
    Cpu,
    /// Feature sets of every published crate, built but not linked, and what they must not pull in
    Features,
    /// The golden tests on each GPU, on all of them together, and through TensorRT
    Gpu {
        /// The ONNX Runtime library with CUDA; by default an installed one, else one that is fetched
        #[arg(long, value_name = "FILE")]
        onnxruntime: Option<PathBuf>,
    },
    /// Every registered model against its published values, or its shape, norm and repeatability
    Models {
        /// Leave out models with larger files
        #[arg(long, value_name = "GB", default_value_t = 1.0)]
        largest: f32,
        /// Only models whose id contains this
        #[arg(value_name = "PART")]
        part: Option<String>,
    },
}

/// Runs one matrix and ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.which {
        Which::Cpu => cpu::run(),
        Which::Features => features::run(),
        Which::Gpu { onnxruntime } => gpu::run(onnxruntime.as_deref()),
        Which::Models { largest, part } => models::run(*largest, part.as_deref()),
    }
}
