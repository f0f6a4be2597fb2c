//! `embedkit quantize`: an ONNX graph of f32 becomes one of eight-bit integers.

use anyhow::Result;
use embedkit_convert::{QuantizeOptions, quantize};

use crate::{
    args::{QuantizeArgs, RunArgs},
    report::Report,
};

pub(crate) fn run(args: &QuantizeArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let options = QuantizeOptions {
        onnxruntime: run.onnxruntime.clone(),
        cache_dir: run.cache_dir.clone(),
        ..QuantizeOptions::default()
    };
    let done = quantize(&args.input, &args.output, &options)?;
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
