//! Rewrites ONNX graphs from f32 to int8 or bf16 with batch-invariant results.
//!
//! `embedkit_core` reads the file and selects operators, `calibrate` finds outlier channels, `weights` quantises
//! matrices, and `rewrite` writes calls of the `functions` that the file defines.

mod bf16;
mod calibrate;
mod functions;
mod rewrite;
mod weights;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::model::MESSAGE_LIMIT;
use crate::unfinished::Unfinished;
pub use bf16::{Bf16Report, to_bf16};
use calibrate::{Feed, RowMaxima};
use embedkit_core::onnx::fusion::{Graph, Model, Plan};
use embedkit_core::onnx::operators;
use embedkit_types::LoadOptions;
use rewrite::{Numbers, Pieces, Rewriter, Unwritable};

/// Minimum opset with all operators of the new graph.
const OLDEST_OPSET: u64 = 11;
/// Operators of graphs that are quantised already.
const INTEGER_OPERATORS: [&str; 6] = [
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QLinearMatMul",
    "MatMulNBits",
];

/// Options of [`quantize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizeOptions {
    /// Quantises embedding tables, too, with a scale for each row. A small model's file shrinks to a
    /// quarter instead of two thirds.
    pub tables: bool,
    /// ONNX Runtime library for calibration. `None` searches for one, as models do.
    pub onnxruntime: Option<PathBuf>,
    /// Cache folder that may hold an installed library. `None` is the default folder.
    pub cache_dir: Option<PathBuf>,
    /// Time limit for one calibration run. `None` sets no limit.
    pub timeout: Option<Duration>,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self { tables: true, onnxruntime: None, cache_dir: None, timeout: None }
    }
}

/// Report of [`quantize`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuantizeReport {
    /// Number of products with a constant matrix that are int8 now.
    pub products: usize,
    /// Number of such products that stayed f32: few columns, other types, or an unsupported form of
    /// `Gemm`.
    pub left: usize,
    /// Number of attentions that are one operator now.
    pub attentions: usize,
    /// Number of layer normalisations of sums that are one operator now.
    pub norms: usize,
    /// Number of embedding tables that are int8 now.
    pub tables: usize,
    /// Number of activations with smoothed outlier channels.
    pub smoothed: usize,
    /// Reason why the graph was not calibrated: it has inputs other than tokens. Its results may be
    /// less precise.
    pub not_calibrated: Option<String>,
    /// Size of the input file in bytes.
    pub bytes_before: u64,
    /// Size of the output file in bytes.
    pub bytes: u64,
}

/// Quantises the products of activations and constant matrices (`MatMul`, `Gemm`) in the ONNX file
/// `input` to int8 and writes the result to `output`.
///
/// Weights have a scale for each output channel. Activations are quantised dynamically with a scale for
/// each row, that is, for each token. `DynamicQuantizeLinear` has one scale for the whole batch; here a
/// text's result is bit-equal alone and in any batch. All operators are standard ONNX operators.
/// Attention, normalisation and activation functions stay f32.
///
/// Graphs that take token ids are calibrated: the original runs on a few random tokens to find outlier
/// channels, which needs an ONNX Runtime. See [`QuantizeReport::not_calibrated`] for others. The same
/// input and runtime give the same file.
///
/// `output` is written under a temporary name in its folder and then renamed.
///
/// # Errors
/// The file is untrusted. [`Error::Onnx`] if it is not a valid ONNX model, [`Error::NotQuantizable`] if
/// no product can be quantised or the graph is quantised already, [`Error::TooLarge`] above 2 GiB,
/// [`Error::Calibration`] if the graph does not run, and errors of reading and writing.
pub fn quantize(
    input: &Path,
    output: &Path,
    options: &QuantizeOptions,
) -> Result<QuantizeReport, Error> {
    let bytes = read(input)?;
    check_output(input, output)?;
    let onnx = |reason| Error::Onnx { path: input.to_owned(), reason };
    let refuse = |reason| Error::NotQuantizable { path: input.to_owned(), reason };
    let model = Model::read(&bytes).map_err(onnx)?;
    check(&model).map_err(refuse)?;
    let plan = Plan::new(&model.graph, options.tables).map_err(onnx)?;
    if plan.products.is_empty() {
        return Err(refuse("no activation is multiplied by a constant f32 matrix".to_owned()));
    }
    let mut factors = vec![None; plan.activations.len()];
    let mut not_calibrated = None;
    let unwritable = |error| unwritable(error, input, output);
    match Feed::new(&model.graph, &plan) {
        Ok(feed) => {
            let measured = calibrate::measured(&plan);
            if !measured.is_empty() {
                let rewriter = Rewriter::new(&model, MESSAGE_LIMIT);
                let probe = rewriter.with_ranges(&measured).map_err(unwritable)?;
                calibrate(&model.graph, &plan, &feed, probe, &mut factors, input, options)?;
            }
        }
        Err(reason) => not_calibrated = Some(reason),
    }
    let rewriter = Rewriter::new(&model, MESSAGE_LIMIT);
    let pieces = rewriter.replace(&plan, Numbers::Int8(&factors)).map_err(unwritable)?;
    let written = write(&pieces, output)?;
    Ok(QuantizeReport {
        products: plan.products.len(),
        left: plan.left,
        attentions: plan.attentions.len(),
        norms: plan.norms.len(),
        tables: plan.tables.len(),
        smoothed: factors.iter().flatten().count(),
        not_calibrated,
        bytes_before: bytes.len() as u64,
        bytes: written,
    })
}

/// The error for a graph that cannot be written.
fn unwritable(error: Unwritable, input: &Path, output: &Path) -> Error {
    match error {
        Unwritable::NotNumbers(tensor) => Error::Onnx {
            path: input.to_owned(),
            reason: format!("tensor {tensor} is not of finite numbers, as many as its shape says"),
        },
        Unwritable::TooLarge(found) => {
            Error::TooLarge { path: output.to_owned(), what: "graph", found, limit: MESSAGE_LIMIT }
        }
    }
}

/// Checks that the graph can be rewritten. The error is the reason why not.
fn check(model: &Model<'_>) -> Result<(), String> {
    if model.opset < OLDEST_OPSET {
        let found = model.opset;
        return Err(format!("its operators are of version {found}, not {OLDEST_OPSET} or later"));
    }
    if let Some(node) =
        model.graph.nodes.iter().find(|node| {
            INTEGER_OPERATORS.contains(&node.operator) || node.domain == operators::DOMAIN
        })
    {
        return Err(format!("it is quantised already, with {}", node.operator));
    }
    match model.graph.tensors.iter().find(|(_, tensor)| tensor.is_external()) {
        Some((name, _)) => Err(format!("tensor {name} is in another file")),
        None => Ok(()),
    }
}

/// Runs the original, extended to `probe` by an output of ranges, and fills in the smoothing factors of
/// activations with outlier channels.
fn calibrate(
    graph: &Graph<'_>,
    plan: &Plan<'_>,
    feed: &Feed<'_>,
    (probe, ranges): (Pieces<'_>, String),
    factors: &mut [Option<Vec<f32>>],
    input: &Path,
    options: &QuantizeOptions,
) -> Result<(), Error> {
    let failed = |source| Error::Calibration { path: input.to_owned(), source: Box::new(source) };
    let measured = calibrate::measured(plan);
    let width = measured.iter().map(|activation| activation.width as usize).sum();
    let file = Unfinished::scratch()
        .and_then(|mut file| write_to(&probe, &mut file).map(|()| file))
        .map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
    let load = LoadOptions {
        onnxruntime: options.onnxruntime.clone(),
        cache_dir: options.cache_dir.clone(),
        timeout: options.timeout,
        ..LoadOptions::default()
    };
    let channels = feed.run(file.path(), &ranges, width, &load).map_err(failed)?;
    let mut rest = channels.as_slice();
    let mut maxima = RowMaxima::default();
    for (activation, factors) in plan.activations.iter().zip(factors) {
        if !calibrate::is_measured(activation) {
            continue;
        }
        let Some(channels) = rest.split_off(..activation.width as usize) else { break };
        if let Some(found) = channels.iter().find(|channel| !channel.is_finite()) {
            return Err(Error::NotQuantizable {
                path: input.to_owned(),
                reason: format!("{} becomes {found} for random tokens", activation.name),
            });
        }
        *factors = calibrate::factors(graph, plan, activation, channels, &mut maxima);
    }
    Ok(())
}

/// Rewrites a file in memory, without calibration.
///
/// # Panics
/// If the new file is too large, cannot be read again, or lacks operators of some product.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzzed(bytes: &[u8]) {
    const LIMIT: u64 = 1 << 22;
    let Ok(model) = Model::read(bytes) else { return };
    let Ok(plan) = Plan::new(&model.graph, true) else { return };
    let read_again = |pieces: Pieces<'_>, most: usize| {
        let file = pieces.concat();
        assert!(file.len() <= most, "{} bytes", file.len());
        let again = Model::read(&file).expect("what is written can be read");
        again.graph.nodes.iter().filter(|node| node.domain == operators::DOMAIN).count()
    };
    // Everything else in the file, and the functions.
    let most = LIMIT as usize + bytes.len() + (1 << 16);
    let activations: Vec<_> = plan.activations.iter().collect();
    if let Ok((probe, _)) = Rewriter::new(&model, LIMIT).with_ranges(&activations) {
        read_again(probe, most);
    }
    if check(&model).is_ok() {
        let products = plan.products.len();
        for (numbers, calls) in
            [(Numbers::Int8(&[]), plan.activations.len() + products), (Numbers::Bf16, products)]
        {
            if let Ok(pieces) = Rewriter::new(&model, LIMIT).replace(&plan, numbers) {
                assert_eq!(
                    read_again(pieces, most),
                    calls + plan.attentions.len() + plan.norms.len()
                );
            }
        }
    }
}

/// Reads a whole file of at most one protobuf message.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    let too_large = |found| Error::TooLarge {
        path: path.to_owned(),
        what: "graph",
        found,
        limit: MESSAGE_LIMIT,
    };
    if MESSAGE_LIMIT < found {
        return Err(too_large(found));
    }
    let mut bytes = Vec::with_capacity(found as usize);
    file.take(MESSAGE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if MESSAGE_LIMIT < bytes.len() as u64 {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

fn check_output(input: &Path, output: &Path) -> Result<(), Error> {
    let refuse = |reason| Error::Output { path: output.to_owned(), reason };
    if output.file_name().is_none() {
        return Err(refuse("it does not name a file"));
    }
    if output.is_dir() {
        return Err(refuse("it is a folder"));
    }
    match (input.canonicalize(), output.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => Err(refuse("it is the input")),
        _ => Ok(()),
    }
}

fn write(pieces: &Pieces<'_>, output: &Path) -> Result<u64, Error> {
    let failed = |source| Error::Write { path: output.to_owned(), source };
    let mut file = Unfinished::beside(output, ".quantizing-").map_err(failed)?;
    write_to(pieces, &mut file).map_err(failed)?;
    Unfinished::persist([(file, output)])?;
    Ok(pieces.iter().map(|piece| piece.len() as u64).sum())
}

fn write_to(pieces: &Pieces<'_>, file: &mut Unfinished) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, file);
    for piece in pieces {
        file.write_all(piece)?;
    }
    file.flush()
}
