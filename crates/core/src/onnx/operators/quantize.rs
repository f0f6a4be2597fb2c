//! Quantisation of rows of f32 to u8.

use ort::{
    operator::Operator,
    value::TensorElementType::{Float32, Uint8},
};

use super::{
    super::int8, ActivationRange, Argument, Call, Definition, MAX_PARTS, elements_mut, for_each,
    refuse,
};

/// Minimum elements per part: some tens of microseconds, which outweigh waking a thread.
pub(super) const MIN_WORK: usize = 1 << 16;

/// The operator for one range of activations, for a session of more than one thread if `parallel`.
pub(super) fn operator(range: ActivationRange, parallel: bool) -> impl Operator {
    let smoothed = range == ActivationRange::Smoothed;
    let input_names = if smoothed { &["x", "factors"][..] } else { &["x"] };
    Definition {
        name: range.operator(),
        inputs: vec![Float32; input_names.len()],
        input_names: input_names.to_vec(),
        outputs: vec![Uint8, Float32],
        compute: Some(move |call: &Call<'_>| quantize(call, range, parallel)),
    }
}

fn quantize(call: &Call<'_>, range: ActivationRange, parallel: bool) -> ort::Result<()> {
    let x = call.input(0)?;
    let Some((&k, before)) = x.shape().split_last() else {
        return Err(x.mismatch("[…, k]"));
    };
    let smooth_scales = match range {
        ActivationRange::Smoothed => Some(call.input(1)?),
        ActivationRange::Symmetric | ActivationRange::Gelu | ActivationRange::Relu => None,
    };
    if let Some(smooth_scales) = smooth_scales {
        smooth_scales.expect_shape(&[k])?;
    }
    let activations = x.elements::<f32>()?;
    let smooth_scales = smooth_scales.map(Argument::elements::<f32>).transpose()?;
    let zero_point = range.zero_point();
    let quantized = call.context.output(0, x.shape())?;
    let scales = call.context.output(1, [before, &[1]].concat())?;
    let (Some(mut quantized), Some(mut scales)) = (quantized, scales) else {
        return Err(refuse(call.operator, "one of its outputs is not wanted"));
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
    for_each(call, parts.collect(), |((x, quantized), scales)| {
        int8::quantize_rows(x, k, smooth_scales, zero_point, quantized, scales);
    })
}
