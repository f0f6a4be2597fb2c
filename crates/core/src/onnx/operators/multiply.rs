//! Integers times a matrix of integers.

use std::ops::RangeInclusive;

use ort::{
    operator::{
        BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput,
    },
    value::TensorElementType::{Float32, Int8, Int32, Int64, Uint8},
};

use super::{
    super::int8::{Block, Product},
    MOST_PARTS, MULTIPLY_INPUTS, MULTIPLY_ROWS, MULTIPLY_ROWS_GELU, VERSIONS, elements,
    elements_mut, for_each, input, refuse,
};

/// Multiplications that are worth a thread's waking: some tens of microseconds.
const LEAST_WORK: usize = 1 << 20;
/// Fewer rows than this for each part, and columns are divided instead, so that not every thread
/// reads all weights.
const LEAST_ROWS: usize = 24;

/// The operator with or without a GELU.
pub(super) struct Multiply {
    pub(super) gelu: bool,
    /// Whether the session has more threads than one.
    pub(super) parallel: bool,
}

impl Operator for Multiply {
    type Kernel<'a> = BoxedKernel<'a>;

    fn name(&self) -> &str {
        name(self.gelu)
    }

    fn versions(&self) -> RangeInclusive<u32> {
        VERSIONS
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Uint8, Float32, Uint8, Int8, Int32, Float32, Float32, Int64].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'a>(&self, _: &KernelContext<'a>) -> ort::Result<BoxedKernel<'a>> {
        let Self { gelu, parallel } = *self;
        Ok(Box::new(move |context: &ComputeContext| multiply(context, gelu, parallel)))
    }
}

fn name(gelu: bool) -> &'static str {
    if gelu { MULTIPLY_ROWS_GELU } else { MULTIPLY_ROWS }
}

fn multiply(context: &ComputeContext, gelu: bool, parallel: bool) -> ort::Result<()> {
    let refuse = |reason: String| refuse(name(gelu), &reason);
    let inputs: Vec<_> =
        (0..MULTIPLY_INPUTS.len()).map(|at| input(context, at)).collect::<Result<_, _>>()?;
    let [quantized, scale, zero, weights, sums, scales, bias, size] = inputs.as_slice() else {
        return Err(refuse(format!("{} inputs", inputs.len())));
    };
    let &[k, n] = elements::<i64>(size)? else {
        return Err(refuse("the size of the matrix is not two numbers".to_owned()));
    };
    let &[zero] = elements::<u8>(zero)? else {
        return Err(refuse("zero is not one number".to_owned()));
    };
    let shape = quantized.shape();
    let Some((_, before)) = shape.split_last().filter(|(width, _)| **width == k) else {
        return Err(refuse(format!("rows {shape} for a matrix of {k} rows")));
    };
    let (Ok(k), Ok(columns)) = (usize::try_from(k), usize::try_from(n)) else {
        return Err(refuse(format!("a matrix of {k} rows and {n} columns")));
    };
    let product = Product {
        rows: elements(quantized)?,
        row_scales: elements(scale)?,
        zero,
        k,
        weights: elements(weights)?,
        sums: elements(sums)?,
        scales: elements(scales)?,
        bias: Some(elements(bias)?),
        gelu,
    };
    if !product.is_consistent() || product.scales.len() != columns {
        let found: Vec<_> = inputs.iter().map(|input| input.shape().to_string()).collect();
        let found = found.join(", ");
        return Err(refuse(format!("inputs {found} for a matrix of {k} rows, {n} columns")));
    }
    let Some(mut output) = context.output(0, [before, &[n]].concat())? else {
        return Err(refuse("its output is not wanted".to_owned()));
    };
    let output = elements_mut(&mut output)?;
    if output.is_empty() {
        return Ok(());
    }
    let whole = Block::new(output, columns);
    let work = product.rows.len().saturating_mul(columns);
    let parts = if parallel { (work / LEAST_WORK).clamp(1, MOST_PARTS) } else { 1 };
    let blocks = whole.divide(parts, LEAST_ROWS);
    for_each(context, blocks, |block| product.compute(block))
}
