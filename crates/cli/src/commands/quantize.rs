//! `embedkit quantize`: an ONNX graph of f32 becomes one of eight-bit integers.

use std::fs;

use anyhow::{Context as _, Result};
use embedkit_convert::{QuantizeOptions, quantize};

use crate::{
    args::{QuantizeArgs, RunArgs},
    report::{Report, failure},
};

pub(crate) fn run(args: &QuantizeArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let graph = &args.input;
    let cannot = || format!("cannot read {}", graph.display());
    if fs::metadata(graph).with_context(cannot)?.is_dir() {
        return Err(failure(format!("{} is a folder", graph.display()))
            .hint("give the file of a graph, such as model.onnx")
            .into());
    }
    let options = QuantizeOptions {
        onnxruntime: run.onnxruntime.clone(),
        cache_dir: run.cache_dir.clone(),
        timeout: run.timeout,
        ..QuantizeOptions::default()
    };
    let busy = report.busy("quantizing");
    let done = quantize(&args.input, &args.output, &options).map_err(embedkit::Error::from);
    drop(busy);
    let done = done?;
    report.inform(&format!(
        "wrote {}: {} matrix products in integers, {} left in f32, {:.1} MB instead of {:.1}",
        args.output.display(),
        done.products,
        done.left,
        done.bytes as f64 / 1e6,
        done.bytes_before as f64 / 1e6,
    ));
    if let Some(reason) = &done.not_calibrated {
        report.warn(&format!("outlying channels were not looked for: {reason}"));
    }
    Ok(())
}
