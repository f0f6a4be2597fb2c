//! Layer normalisation of a sum.

use ort::{operator::Operator, value::TensorElementType::Float32};

use super::{
    super::layer_norm::LayerNorm,
    ADD_NORM, ADD_NORM_INPUTS, ADD_NORM_QUANTIZED, Call, Definition, MAX_PARTS, elements_mut,
    for_each,
    quantize::MIN_WORK,
    quantized::{self, QuantizedRows},
    refuse,
};

/// The operator, which may quantise its rows, too, for a session of more than one thread if `parallel`.
pub(super) fn operator(quantized: bool, parallel: bool) -> impl Operator {
    let (mut inputs, mut input_names) = (vec![Float32; 5], ADD_NORM_INPUTS.to_vec());
    let mut outputs = vec![Float32];
    if quantized {
        inputs.extend(quantized::INPUTS);
        input_names.extend(quantized::INPUT_NAMES);
        outputs.extend(quantized::OUTPUTS);
    }
    Definition {
        name: if quantized { ADD_NORM_QUANTIZED } else { ADD_NORM },
        inputs,
        input_names,
        outputs,
        compute: Some(move |call: &Call<'_>| add_norm(call, quantized, parallel)),
    }
}

fn add_norm(call: &Call<'_>, quantized: bool, parallel: bool) -> ort::Result<()> {
    let input = |index| call.input(index);
    let [a, b, weight, bias, epsilon] = [input(0)?, input(1)?, input(2)?, input(3)?, input(4)?];
    let &[k] = weight.shape() else { return Err(weight.mismatch("[k]")) };
    bias.expect_shape(&[k])?;
    let (before_a, before_b) = (a.rows_of(k)?, b.rows_of(k)?);
    let Some(before) = broadcast(before_a, before_b) else {
        return Err(b.mismatch(&format!("one that broadcasts with {:?}", a.shape())));
    };
    if !matches!(epsilon.shape(), [] | [1]) {
        return Err(epsilon.mismatch("[]"));
    }
    let &[epsilon] = epsilon.elements::<f32>()? else { return Err(epsilon.mismatch("[]")) };
    let norm = LayerNorm { weight: weight.elements()?, bias: bias.elements()?, epsilon };

    let Some(mut output) = call.context.output(0, [before.as_slice(), &[k]].concat())? else {
        return Err(refuse(call.operator, "its output is not wanted"));
    };
    let output = elements_mut::<f32>(&mut output)?;
    let k = norm.weight.len();
    let rows = output.len().checked_div(k).unwrap_or(0);
    let [of_a, of_b] = [before_a, before_b].map(|shape| Broadcast::new(shape, &before));
    let (a, b) = (a.elements::<f32>()?, b.elements::<f32>()?);
    let parts = if parallel { (output.len() / MIN_WORK).clamp(1, MAX_PARTS) } else { 1 };
    let of_part = rows.div_ceil(parts).max(1);
    let mut fill = |bands: &mut dyn Iterator<Item = Option<QuantizedRows<'_>>>| {
        let parts = output.chunks_mut((of_part * k).max(1)).zip(bands).enumerate().collect();
        for_each(call, parts, |(part, (out, quantized))| {
            for (at, out) in out.chunks_mut(k).enumerate() {
                let row = *part * of_part + at;
                let [a, b] = [(a, &of_a), (b, &of_b)].map(|(x, of)| &x[of.row(row) * k..][..k]);
                norm.add_and_normalize(a, b, out);
                if let Some(quantized) = quantized {
                    quantized.fill_row(at, out);
                }
            }
        })
    };
    if !quantized {
        return fill(&mut std::iter::repeat_with(|| None));
    }
    QuantizedRows::write(call, ADD_NORM_INPUTS.len(), 1, &before, k, |rows| {
        fill(&mut rows.bands(of_part).map(Some))
    })
}

/// The shape to which two shapes broadcast.
fn broadcast(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let rank = a.len().max(b.len());
    let dim =
        |shape: &[i64], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let dims = (0..rank).map(|at| match (dim(a, at), dim(b, at)) {
        (a, b) if a == b => Some(a),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    });
    dims.collect()
}

/// The row of a tensor that stands for a row of the result.
struct Broadcast {
    /// Dims of the result and strides of the tensor, from the last one on; none where all rows are the same.
    axes: Vec<(usize, usize)>,
}

impl Broadcast {
    fn new(shape: &[i64], result: &[i64]) -> Self {
        if shape == result {
            return Self { axes: Vec::new() };
        }
        let mut stride = 1;
        let own = shape.iter().rev().copied().chain(std::iter::repeat(1));
        let axes = result.iter().rev().zip(own).map(|(&full, dim)| {
            // Of tensors that are in memory.
            let (full, dim) = (full as usize, dim as usize);
            let axis = (full, if dim == 1 { 0 } else { stride });
            stride *= dim;
            axis
        });
        Self { axes: axes.collect() }
    }

    fn row(&self, mut row: usize) -> usize {
        if self.axes.is_empty() {
            return row;
        }
        let mut at = 0;
        for &(dim, stride) in &self.axes {
            at += row % dim * stride;
            row /= dim;
        }
        at
    }
}
