//! The int8 matrix product.

use ort::{
    operator::Operator,
    value::TensorElementType::{self, Float32, Int8, Int32, Int64, Uint8},
};

use super::{
    super::int8::{COLUMNS, DEPTH, Gemm, Scales},
    Call, Definition, Q_MAT_MUL, Q_MAT_MUL_GELU, Q_MAT_MUL_GELU_QUANTIZED, Q_MAT_MUL_INPUTS,
    Q_MAT_MUL_THREE, multiply, multiply_into,
    quantized::{self, quantize_blocks},
    refuse, size_of,
};

/// Numbers that are quantised at a time: 256 KB of f32, which stay in the L2 cache with the weights.
const BLOCK: usize = 64 << 10;

/// Elements of the inputs.
const INPUTS: [TensorElementType; 8] =
    [Uint8, Float32, Uint8, Int8, Int32, Float32, Float32, Int64];

/// Inputs that products of the same rows have in common.
const ROWS: usize = 3;

/// The operator with or without a GELU, for a session of more than one thread if `parallel`.
pub(super) fn operator(gelu: bool, parallel: bool) -> impl Operator {
    products::<1>(if gelu { Q_MAT_MUL_GELU } else { Q_MAT_MUL }, gelu, parallel)
}

/// Three products of the same rows, for a session of more than one thread if `parallel`.
pub(super) fn three(parallel: bool) -> impl Operator {
    products::<3>(Q_MAT_MUL_THREE, false, parallel)
}

fn products<const N: usize>(name: &'static str, gelu: bool, parallel: bool) -> impl Operator {
    Definition {
        name,
        inputs: [&INPUTS[..ROWS], &INPUTS[ROWS..].repeat(N)].concat(),
        input_names: [&Q_MAT_MUL_INPUTS[..ROWS], &Q_MAT_MUL_INPUTS[ROWS..].repeat(N)].concat(),
        outputs: vec![Float32; N],
        compute: Some(move |call: &Call<'_>| {
            let gemms = (0..N).map(|place| gemm(call, place, gelu));
            let gemms = gemms.collect::<ort::Result<Vec<_>>>()?;
            multiply(call, &gemms, parallel, call.input(0)?.before()?, |gemm, tile| {
                gemm.compute(tile);
            })
        }),
    }
}

/// The operator with a GELU whose rows are quantised, for a session of more than one thread if `parallel`.
pub(super) fn gelu_quantized(parallel: bool) -> impl Operator {
    Definition {
        name: Q_MAT_MUL_GELU_QUANTIZED,
        inputs: [INPUTS.as_slice(), &quantized::INPUTS].concat(),
        input_names: [Q_MAT_MUL_INPUTS.as_slice(), &quantized::INPUT_NAMES].concat(),
        outputs: quantized::OUTPUTS.to_vec(),
        compute: Some(move |call: &Call<'_>| {
            let (gemm, before) = (gemm(call, 0, true)?, call.input(0)?.before()?);
            // A lone call has few rows, which all threads share.
            let rows = if parallel { gemm.m } else { BLOCK / gemm.n.max(1) };
            quantize_blocks(call, INPUTS.len(), before, gemm.n, rows, parallel, |first, out| {
                let gemm = gemm.rows(first..first + out.len() / gemm.n);
                multiply_into(call, [(&gemm, out)].into_iter(), parallel, |gemm, tile| {
                    gemm.compute(tile);
                })
            })
        }),
    }
}

/// The product at this place.
fn gemm<'c>(call: &'c Call<'_>, place: usize, gelu: bool) -> ort::Result<Gemm<'c>> {
    let [quantized, row_scales, zero_point] = [call.input(0)?, call.input(1)?, call.input(2)?];
    let first = ROWS + place * (INPUTS.len() - ROWS);
    let input = |index| call.input(first + index);
    let [weights, column_sums, column_scales] = [input(0)?, input(1)?, input(2)?];
    let [bias, size] = [input(3)?, input(4)?];

    let (rows, columns) = size_of(call.operator, size)?;
    // Both fit, since they were i64.
    let (k, n) = (rows as i64, columns as i64);
    let before = quantized.rows_of(k)?;
    row_scales.expect_shape(&[before, &[1]].concat())?;
    if !matches!(zero_point.shape(), [] | [1]) {
        return Err(zero_point.mismatch("[]"));
    }
    let &[zero_point] = zero_point.elements::<u8>()? else {
        return Err(zero_point.mismatch("[]"));
    };
    let panels = [columns.div_ceil(COLUMNS) as i64, rows.div_ceil(DEPTH) as i64];
    weights.expect_shape(&[panels[0], panels[1], COLUMNS as i64, DEPTH as i64])?;
    for per_column in [column_sums, column_scales, bias] {
        per_column.expect_shape(&[n])?;
    }
    let scales = row_scales.elements()?;
    let gemm = Gemm {
        activations: quantized.elements()?,
        m: scales.len(),
        k: rows,
        n: columns,
        weights: weights.elements()?,
        scales: Some(Scales {
            rows: scales,
            // Columns of 0 rows add up to zero, even if the file has other sums.
            zero_point: if rows == 0 { 0 } else { zero_point },
            column_sums: column_sums.elements()?,
            columns: column_scales.elements()?,
        }),
        bias: Some(bias.elements()?),
        gelu,
    };
    if !gemm.is_consistent() {
        return Err(refuse(call.operator, "the lengths of its inputs contradict their shapes"));
    }
    Ok(gemm)
}
