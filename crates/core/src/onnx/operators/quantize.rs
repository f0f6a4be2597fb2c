//! Rows of f32 to integers.

use std::ops::RangeInclusive;

use ort::{
    operator::{
        BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput,
    },
    value::TensorElementType::{Float32, Uint8},
};

use super::{
    super::int8, Argument, MOST_PARTS, Rows, VERSIONS, elements_mut, for_each, kernel, refuse,
};

/// Numbers that are worth a thread's waking: some tens of microseconds.
const LEAST_WORK: usize = 1 << 16;

/// The operator for one kind of rows.
pub(super) struct Quantize {
    pub(super) rows: Rows,
    /// Whether the session has more threads than one.
    pub(super) parallel: bool,
}

impl Operator for Quantize {
    type Kernel<'a> = BoxedKernel<'a>;

    fn name(&self) -> &str {
        self.rows.operator()
    }

    fn versions(&self) -> RangeInclusive<u32> {
        VERSIONS
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let count = if self.rows == Rows::Smoothed { 2 } else { 1 };
        std::iter::repeat_n(Float32, count).map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [Uint8, Float32].map(OperatorOutput::required)
    }

    fn create_kernel<'a>(&self, _: &KernelContext<'a>) -> ort::Result<BoxedKernel<'a>> {
        let Self { rows, parallel } = *self;
        Ok(kernel(rows.operator(), move |context| quantize(context, rows, parallel)))
    }
}

fn quantize(context: &ComputeContext, rows: Rows, parallel: bool) -> ort::Result<()> {
    let operator = rows.operator();
    let x = Argument::of(context, operator, 0, "x")?;
    let Some((&width, before)) = x.shape().split_last() else {
        return Err(x.mismatch("rows of numbers, […, k]"));
    };
    let factors = match rows {
        Rows::Smoothed => Some(Argument::of(context, operator, 1, "factors")?),
        Rows::Plain | Rows::Gelu | Rows::Relu => None,
    };
    if let Some(factors) = &factors {
        factors.expect_shape(&[width])?;
    }
    let numbers = x.elements::<f32>()?;
    let factors = factors.as_ref().map(Argument::elements::<f32>).transpose()?;
    let quantized = context.output(0, x.shape())?;
    let scales = context.output(1, [before, &[1]].concat())?;
    let (Some(mut quantized), Some(mut scales)) = (quantized, scales) else {
        return Err(refuse(operator, "one of its outputs is not wanted"));
    };
    let quantized = elements_mut::<u8>(&mut quantized)?;
    let scales = elements_mut::<f32>(&mut scales)?;
    let Some(width) = usize::try_from(width).ok().filter(|&width| width > 0) else {
        // Rows of no numbers cannot be divided into parts, and have scales all the same.
        int8::quantize_rows(numbers, 0, factors, rows.zero(), quantized, scales);
        return Ok(());
    };
    let parts = if parallel { (numbers.len() / LEAST_WORK).clamp(1, MOST_PARTS) } else { 1 };
    let count = scales.len().div_ceil(parts).max(1);
    let length = count * width; // of rows that are in memory
    let parts =
        numbers.chunks(length).zip(quantized.chunks_mut(length)).zip(scales.chunks_mut(count));
    for_each(context, operator, parts.collect(), |((x, quantized), scales)| {
        int8::quantize_rows(x, width, factors, rows.zero(), quantized, scales);
    })
}
