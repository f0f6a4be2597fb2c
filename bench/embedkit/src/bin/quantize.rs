//! `quantize IN OUT LIBRARY`: what `embedkit quantize` does, with the ONNX Runtime of the benchmarks.

use std::path::PathBuf;

use embedkit_convert::{QuantizeOptions, quantize};

fn main() -> bench_contestant::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = |what| arguments.next().ok_or(what);
    let (input, output) = (next("which graph?")?, next("which file to write?")?);
    let onnxruntime = Some(next("which ONNX Runtime?")?);
    quantize(&input, &output, &QuantizeOptions { onnxruntime, ..QuantizeOptions::default() })?;
    Ok(())
}
