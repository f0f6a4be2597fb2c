//! Rows of f32 to integers.

use std::ops::RangeInclusive;

use ort::{
    operator::{
        BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput,
    },
    value::TensorElementType::{Float32, Uint8},
};

use super::{
    super::int8, MOST_PARTS, Rows, VERSIONS, elements, elements_mut, for_each, input, refuse,
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
        Ok(Box::new(move |context: &ComputeContext| quantize(context, rows, parallel)))
    }
}

fn quantize(context: &ComputeContext, rows: Rows, parallel: bool) -> ort::Result<()> {
    let x = input(context, 0)?;
    let shape = x.shape();
    let Some((&width, before)) = shape.split_last() else {
        return Err(refuse(rows.operator(), "a single number has no rows"));
    };
    let factors = if rows == Rows::Smoothed { Some(input(context, 1)?) } else { None };
    if let Some(factors) = factors.as_ref().filter(|factors| **factors.shape() != [width]) {
        let reason = format!("rows of {width} numbers, and factors {}", factors.shape());
        return Err(refuse(rows.operator(), &reason));
    }
    let quantized = context.output(0, &**shape)?;
    let scales = context.output(1, [before, &[1]].concat())?;
    let (Some(mut quantized), Some(mut scales)) = (quantized, scales) else {
        return Err(refuse(rows.operator(), "one of its outputs is not wanted"));
    };
    let x = elements::<f32>(&x)?;
    let factors = factors.as_ref().map(elements::<f32>).transpose()?;
    let quantized = elements_mut::<u8>(&mut quantized)?;
    let scales = elements_mut::<f32>(&mut scales)?;
    let width = usize::try_from(width).unwrap_or(0); // a shape is never negative here
    let parts = if parallel { (x.len() / LEAST_WORK).clamp(1, MOST_PARTS) } else { 1 };
    let count = scales.len().div_ceil(parts).max(1);
    let numbers = (count * width).max(1);
    let parts = x.chunks(numbers).zip(quantized.chunks_mut(numbers)).zip(scales.chunks_mut(count));
    for_each(context, parts.collect(), |((x, quantized), scales)| {
        int8::quantize_rows(x, width, factors, rows.zero(), quantized, scales);
    })
}
