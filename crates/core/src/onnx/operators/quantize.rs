//! Quantisation of rows of f32 to u8.

use ort::{
    operator::{ComputeContext, Operator},
    value::TensorElementType::{Float32, Uint8},
};

use super::{
    super::int8, ActivationRange, Argument, Definition, MAX_PARTS, elements_mut, for_each, refuse,
};

/// Minimum elements per part: some tens of microseconds, which outweigh waking a thread.
pub(super) const MIN_WORK: usize = 1 << 16;

/// The operator for one range of activations, for a session of more than one thread if `parallel`.
pub(super) fn operator(range: ActivationRange, parallel: bool) -> impl Operator {
    Definition {
        name: range.operator(),
        inputs: if range == ActivationRange::Smoothed { &[Float32; 2] } else { &[Float32] },
        outputs: &[Uint8, Float32],
        compute: Some(move |context: &ComputeContext| quantize(context, range, parallel)),
    }
}

fn quantize(context: &ComputeContext, range: ActivationRange, parallel: bool) -> ort::Result<()> {
    let operator = range.operator();
    let x = Argument::of(context, operator, 0, "x")?;
    let Some((&k, before)) = x.shape().split_last() else {
        return Err(x.mismatch("[…, k]"));
    };
    let smooth_scales = match range {
        ActivationRange::Smoothed => Some(Argument::of(context, operator, 1, "factors")?),
        ActivationRange::Symmetric | ActivationRange::Gelu | ActivationRange::Relu => None,
    };
    if let Some(smooth_scales) = &smooth_scales {
        smooth_scales.expect_shape(&[k])?;
    }
    let activations = x.elements::<f32>()?;
    let smooth_scales = smooth_scales.as_ref().map(Argument::elements::<f32>).transpose()?;
    let zero_point = range.zero_point();
    let quantized = context.output(0, x.shape())?;
    let scales = context.output(1, [before, &[1]].concat())?;
    let (Some(mut quantized), Some(mut scales)) = (quantized, scales) else {
        return Err(refuse(operator, "one of its outputs is not wanted"));
    };
    let quantized = elements_mut::<u8>(&mut quantized)?;
    let scales = elements_mut::<f32>(&mut scales)?;
    let Some(k) = usize::try_from(k).ok().filter(|&k| k > 0) else {
        // Rows of length 0 cannot be split into parts, but have scales.
        int8::quantize_rows(activations, 0, smooth_scales, zero_point, quantized, scales);
        return Ok(());
    };
    let parts = if parallel { (activations.len() / MIN_WORK).clamp(1, MAX_PARTS) } else { 1 };
    let rows = scales.len().div_ceil(parts).max(1);
    let elements = rows * k; // of rows that are in memory
    let parts = activations
        .chunks(elements)
        .zip(quantized.chunks_mut(elements))
        .zip(scales.chunks_mut(rows));
    for_each(context, operator, parts.collect(), |((x, quantized), scales)| {
        int8::quantize_rows(x, k, smooth_scales, zero_point, quantized, scales);
    })
}
