//! Products of bf16 in place of those of f32.

use std::path::Path;

use embedkit_core::onnx::fusion::{Model, Plan};

use super::rewrite::{Numbers, Rewriter};
use super::{check, check_output, read, unwritable, write};
use crate::Error;
use crate::model::MESSAGE_LIMIT;

/// Report of [`to_bf16`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bf16Report {
    /// Number of products with a constant matrix that are bf16 now.
    pub products: usize,
    /// Number of such products that stayed f32: few columns, other types, or an unsupported form of
    /// `Gemm`.
    pub left: usize,
    /// Number of attentions that are one operator now.
    pub attentions: usize,
    /// Number of layer normalisations of sums that are one operator now.
    pub norms: usize,
    /// Size of the input file in bytes.
    pub bytes_before: u64,
    /// Size of the output file in bytes.
    pub bytes: u64,
}

/// Replaces the products of activations and constant f32 matrices (`MatMul`, `Gemm`) in the ONNX file
/// `input` by products of numbers rounded to bf16 with f32 sums, and writes the result to `output`.
///
/// Weights are stored as bf16, in half the bytes; everything else stays f32. All operators are standard ONNX
/// operators within functions, which embedkit replaces by its own. A text's result is bit-equal alone and in any
/// batch. The same input gives the same file. Neither a runtime nor a processor with bf16 is needed.
///
/// `output` is written under a temporary name in its folder and then renamed.
///
/// # Errors
/// The file is untrusted. [`Error::Onnx`] if it is not a valid ONNX model, [`Error::NotForBf16`] if it has
/// no such product or is quantised, [`Error::TooLarge`] above 2 GiB, and errors of reading and writing.
pub fn to_bf16(input: &Path, output: &Path) -> Result<Bf16Report, Error> {
    let bytes = read(input)?;
    check_output(input, output)?;
    let onnx = |reason| Error::Onnx { path: input.to_owned(), reason };
    let refuse = |reason| Error::NotForBf16 { path: input.to_owned(), reason };
    let model = Model::read(&bytes).map_err(onnx)?;
    check(&model).map_err(refuse)?;
    // Tables are looked up and not multiplied, so that they stay exact.
    let plan = Plan::new(&model.graph, false).map_err(onnx)?;
    if plan.products.is_empty() {
        return Err(refuse("no activation is multiplied by a constant f32 matrix".to_owned()));
    }
    let pieces = Rewriter::new(&model, MESSAGE_LIMIT).replace(&plan, Numbers::Bf16);
    let pieces = pieces.map_err(|error| unwritable(error, input, output))?;
    Ok(Bf16Report {
        products: plan.products.len(),
        left: plan.left,
        attentions: plan.attentions.len(),
        norms: plan.norms.len(),
        bytes_before: bytes.len() as u64,
        bytes: write(&pieces, output)?,
    })
}
