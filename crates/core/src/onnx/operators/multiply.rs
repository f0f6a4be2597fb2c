//! Integers times a matrix of integers.

use std::ops::RangeInclusive;

use ort::{
    operator::{
        BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput,
    },
    value::TensorElementType::{Float32, Int8, Int32, Int64, Uint8},
};

use super::{
    super::int8::{Block, COLUMNS, DEPTH, Product},
    Argument, MOST_PARTS, MULTIPLY_INPUTS, MULTIPLY_ROWS, MULTIPLY_ROWS_GELU, VERSIONS,
    elements_mut, for_each, kernel, refuse,
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
        Ok(kernel(name(gelu), move |context| multiply(context, gelu, parallel)))
    }
}

fn name(gelu: bool) -> &'static str {
    if gelu { MULTIPLY_ROWS_GELU } else { MULTIPLY_ROWS }
}

fn multiply(context: &ComputeContext, gelu: bool, parallel: bool) -> ort::Result<()> {
    let operator = name(gelu);
    let input = |index: usize| Argument::of(context, operator, index, MULTIPLY_INPUTS[index]);
    let [quantized, scale, zero, weights] = [input(0)?, input(1)?, input(2)?, input(3)?];
    let [sums, scales, bias, size] = [input(4)?, input(5)?, input(6)?, input(7)?];

    size.expect_shape(&[2])?;
    let &[k, n] = size.elements::<i64>()? else { return Err(size.mismatch("[2]")) };
    let (Ok(rows), Ok(columns)) = (usize::try_from(k), usize::try_from(n)) else {
        let reason =
            format!("input `size` is [{k}, {n}], expected are numbers of rows and columns");
        return Err(refuse(operator, &reason));
    };
    let Some((_, before)) = quantized.shape().split_last().filter(|(width, _)| **width == k) else {
        return Err(quantized.mismatch(&format!("[…, {k}]")));
    };
    scale.expect_shape(&[before, &[1]].concat())?;
    if !matches!(zero.shape(), [] | [1]) {
        return Err(zero.mismatch("[]"));
    }
    let &[zero] = zero.elements::<u8>()? else { return Err(zero.mismatch("[]")) };
    // Both fit: they are not larger than numbers that came out of an i64.
    let panels = [columns.div_ceil(COLUMNS) as i64, rows.div_ceil(DEPTH) as i64];
    weights.expect_shape(&[panels[0], panels[1], COLUMNS as i64, DEPTH as i64])?;
    for of_columns in [&sums, &scales, &bias] {
        of_columns.expect_shape(&[n])?;
    }
    // Columns of no rows add up to zero, whatever the file says.
    let zeros = if rows == 0 { vec![0; columns] } else { Vec::new() };
    let product = Product {
        rows: quantized.elements()?,
        row_scales: scale.elements()?,
        zero,
        k: rows,
        weights: weights.elements()?,
        sums: if rows == 0 { &zeros } else { sums.elements()? },
        scales: scales.elements()?,
        bias: Some(bias.elements()?),
        gelu,
    };
    if !product.is_consistent() {
        return Err(refuse(operator, "the lengths of its inputs contradict their shapes"));
    }
    let Some(mut output) = context.output(0, [before, &[n]].concat())? else {
        return Err(refuse(operator, "its output is not wanted"));
    };
    let output = elements_mut(&mut output)?;
    if output.is_empty() {
        return Ok(());
    }
    let whole = Block::new(output, columns);
    let work = product.rows.len().saturating_mul(columns);
    let parts = if parallel { (work / LEAST_WORK).clamp(1, MOST_PARTS) } else { 1 };
    let blocks = whole.divide(parts, LEAST_ROWS);
    for_each(context, operator, blocks, |block| product.compute(block))
}
