//! Multi-head attention.

use ort::{
    operator::Operator,
    value::TensorElementType::{Float32, Int64},
};

use super::{
    super::{
        attention::{self, Head, Rows, Scratch},
        int8::TileMut,
    },
    ATTENTION, ATTENTION_BY_HEAD, ATTENTION_BY_HEAD_QUANTIZED, ATTENTION_INPUTS,
    ATTENTION_QUANTIZED, Call, Definition, MAX_PARTS, MIN_WORK, elements_mut, for_each,
    quantized::{self, quantize_blocks},
    refuse,
};

/// The operator for one layout of queries and keys, which may give quantised rows in place of f32, for a session of more
/// than one thread if `parallel`.
pub(super) fn operator(by_head: bool, quantized: bool, parallel: bool) -> impl Operator {
    let mut inputs = vec![Float32, Float32, Float32, Float32, Float32, Int64];
    let (mut input_names, mut outputs) = (ATTENTION_INPUTS.to_vec(), vec![Float32]);
    if quantized {
        inputs.extend(quantized::INPUTS);
        input_names.extend(quantized::INPUT_NAMES);
        outputs = quantized::OUTPUTS.to_vec();
    }
    Definition {
        name: match (by_head, quantized) {
            (false, false) => ATTENTION,
            (true, false) => ATTENTION_BY_HEAD,
            (false, true) => ATTENTION_QUANTIZED,
            (true, true) => ATTENTION_BY_HEAD_QUANTIZED,
        },
        inputs,
        input_names,
        outputs,
        compute: Some(move |call: &Call<'_>| attend(call, by_head, quantized, parallel)),
    }
}

/// The rows of each head of each sequence within a tensor.
struct Layout {
    per_sequence: usize,
    per_head: usize,
    per_row: usize,
}

impl Layout {
    /// Layout of `rows` rows of `heads` heads of `width` elements.
    fn new(by_head: bool, heads: usize, rows: usize, width: usize) -> Self {
        // Of an empty tensor, of which nothing is read, dims may be any.
        let per_sequence = heads.saturating_mul(rows).saturating_mul(width);
        if by_head {
            Self { per_sequence, per_head: rows.saturating_mul(width), per_row: width }
        } else {
            Self { per_sequence, per_head: width, per_row: heads * width }
        }
    }

    fn rows<'a>(&self, elements: &'a [f32], sequence: usize, head: usize) -> Rows<'a> {
        let start = sequence * self.per_sequence + head * self.per_head;
        Rows { elements: &elements[start..], stride: self.per_row }
    }
}

fn attend(call: &Call<'_>, by_head: bool, quantized: bool, parallel: bool) -> ort::Result<()> {
    let input = |index| call.input(index);
    let [query, key, value] = [input(0)?, input(1)?, input(2)?];
    let [mask, scale, heads] = [input(3)?, input(4)?, input(5)?];

    heads.expect_shape(&[1])?;
    let &[heads_i64] = heads.elements::<i64>()? else { return Err(heads.mismatch("[1]")) };
    let &[batch, keys, all] = value.shape() else {
        return Err(value.mismatch("[batch, keys, heads * width]"));
    };
    if heads_i64 < 1 || all % heads_i64 != 0 {
        let reason = format!("input `heads`: expected a divisor of {all}, got {heads_i64}");
        return Err(refuse(call.operator, &reason));
    }
    let width = all / heads_i64;
    let &[.., queries_i64, _] = query.shape() else {
        return Err(query.mismatch("[batch, …, queries, width]"));
    };
    if by_head {
        query.expect_shape(&[batch, heads_i64, queries_i64, width])?;
        key.expect_shape(&[batch, heads_i64, keys, width])?;
    } else {
        query.expect_shape(&[batch, queries_i64, all])?;
        key.expect_shape(&[batch, keys, all])?;
    }
    let scores = [batch, heads_i64, queries_i64, keys];
    let Some(mask_shape) = broadcast(mask.shape(), &scores) else {
        return Err(mask.mismatch(&format!("one that broadcasts to {scores:?}")));
    };
    if !matches!(scale.shape(), [] | [1]) {
        return Err(scale.mismatch("[]"));
    }
    let &[scale] = scale.elements::<f32>()? else { return Err(scale.mismatch("[]")) };

    // Dims of tensors in memory.
    let [heads, queries, keys, width] =
        [heads_i64, queries_i64, keys, width].map(|dim| dim as usize);
    let of_query = Layout::new(by_head, heads, queries, width);
    let of_key = Layout::new(by_head, heads, keys, width);
    let of_value = Layout::new(false, heads, keys, width);
    let [query, key, value] = [query.elements()?, key.elements()?, value.elements()?];
    let mask_strides = strides(&mask_shape);
    let mask_per_key = mask_shape[3] != 1;
    let mask = mask.elements()?;
    let head = |at: usize| {
        let (sequence, head) = (at / heads, at % heads);
        let mask_start = sequence * mask_strides[0] + head * mask_strides[1];
        Head {
            queries,
            keys,
            width,
            query: of_query.rows(query, sequence, head),
            key: of_key.rows(key, sequence, head),
            value: of_value.rows(value, sequence, head),
            scale,
            mask: Rows { elements: &mask[mask_start..], stride: mask_strides[2] },
            mask_per_key,
        }
    };
    // Of the sequences from the first on, as many as the output holds.
    let attend = |first: usize, output: &mut [f32]| {
        if output.is_empty() {
            return Ok(());
        }
        if keys == 0 {
            // A sum over nothing, as with the standard operators.
            output.fill(0.0);
            return Ok(());
        }
        let tiles = TileMut::new(output, heads * width).grid(queries, width);
        let mut tiles: Vec<_> = (first * heads..).zip(tiles).collect();
        let work = tiles.len().saturating_mul(queries).saturating_mul(keys).saturating_mul(width);
        let parts = if parallel { (work / MIN_WORK).clamp(1, MAX_PARTS) } else { 1 };
        let heads_of_part = tiles.len().div_ceil(parts);
        let parts = tiles.chunks_mut(heads_of_part).collect();
        for_each(call, parts, |tiles| {
            let mut scratch = Scratch::default();
            for (at, tile) in tiles.iter_mut() {
                attention::attend(&head(*at), &mut scratch, tile);
            }
        })
    };
    if quantized {
        let rows = if parallel { usize::MAX } else { queries };
        let (input, before) = (ATTENTION_INPUTS.len(), [batch, queries_i64]);
        return quantize_blocks(call, input, &before, heads * width, rows, parallel, |row, out| {
            attend(row.checked_div(queries).unwrap_or(0), out)
        });
    }
    let Some(mut output) = call.context.output(0, [batch, queries_i64, all])? else {
        return Err(refuse(call.operator, "its output is not wanted"));
    };
    attend(0, elements_mut(&mut output)?)
}

/// A shape with dims of 1 in front, if it broadcasts to `full`.
fn broadcast(shape: &[i64], full: &[i64; 4]) -> Option<[i64; 4]> {
    let mut dims = [1; 4];
    dims[full.len().checked_sub(shape.len())?..].copy_from_slice(shape);
    let broadcasts = |(dim, full): (&i64, &i64)| *dim == 1 || dim == full;
    dims.iter().zip(full).all(broadcasts).then_some(dims)
}

/// Strides of a row-major tensor of four dims, 0 where one element stands for all.
fn strides(shape: &[i64; 4]) -> [usize; 4] {
    let mut strides = [0; 4];
    let mut stride = 1_usize;
    for (to, &dim) in strides.iter_mut().zip(shape).rev() {
        if dim != 1 {
            *to = stride;
        }
        // Of an empty tensor, of which nothing is read, dims may be any.
        stride = stride.saturating_mul(dim as usize);
    }
    strides
}
