//! What the benchmarks set; what is absent is left to the library.

use std::thread::available_parallelism;

use bench_contestant::{Load, Result};
use embedkit_types::{BatchOptions, Device, LoadOptions};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    replicas: Option<usize>,
    threads: Option<usize>,
    batch_tokens: Option<usize>,
    /// Configuration entries of ONNX Runtime's session.
    session: Vec<(String, String)>,
}

/// The options to open a model with. Threads are left to the library where it may take all cores.
pub(crate) fn read(load: &Load) -> Result<LoadOptions> {
    let options = if load.options.is_null() {
        Options::default()
    } else {
        Options::deserialize(&load.options)?
    };
    let (mut replicas, mut threads) = (options.replicas, options.threads);
    if load.threads != available_parallelism()?.get() && replicas.is_none() && threads.is_none() {
        replicas = Some(1);
        threads = Some(load.threads);
    }
    let batch = BatchOptions { tokens: options.batch_tokens, ..BatchOptions::default() };
    Ok(LoadOptions {
        device: Device::Cpu,
        replicas,
        threads,
        batch,
        provider_options: options.session,
        onnxruntime: Some(load.onnxruntime.clone()),
        ..LoadOptions::default()
    })
}
