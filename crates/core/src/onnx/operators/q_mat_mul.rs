//! The int8 matrix product.

use ort::{
    operator::Operator,
    value::TensorElementType::{self, Float32, Int8, Int32, Int64, Uint8},
};

use super::{
    super::int8::{COLUMNS, DEPTH, Gemm, Scales},
    Call, Definition, Q_MAT_MUL, Q_MAT_MUL_GELU, Q_MAT_MUL_GELU_QUANTIZED, Q_MAT_MUL_INPUTS,
    multiply, multiply_into,
    quantized::{self, quantize_blocks},
    refuse, size_of,
};

/// Numbers that are quantised at a time: 256 KB of f32, which stay in the L2 cache with the weights.
const BLOCK: usize = 64 << 10;

/// Elements of the inputs.
const INPUTS: [TensorElementType; 8] =
    [Uint8, Float32, Uint8, Int8, Int32, Float32, Float32, Int64];

/// The operator with or without a GELU, for a session of more than one thread if `parallel`.
pub(super) fn operator(gelu: bool, parallel: bool) -> impl Operator {
    Definition {
        name: if gelu { Q_MAT_MUL_GELU } else { Q_MAT_MUL },
        inputs: INPUTS.to_vec(),
        input_names: Q_MAT_MUL_INPUTS.to_vec(),
        outputs: vec![Float32],
        compute: Some(move |call: &Call<'_>| {
            q_mat_mul(call, gelu, |gemm, before| {
                multiply(call, gemm, parallel, before, |tile| gemm.compute(tile))
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
            q_mat_mul(call, true, |gemm, before| {
                // A lone call has few rows, which all threads share.
                let rows = if parallel { gemm.m } else { BLOCK / gemm.n.max(1) };
                quantize_blocks(call, INPUTS.len(), before, gemm.n, rows, parallel, |first, out| {
                    let gemm = gemm.rows(first..first + out.len() / gemm.n);
                    multiply_into(call, &gemm, parallel, out, |tile| gemm.compute(tile))
                })
            })
        }),
    }
}

/// Checks the inputs, and lets `multiply` compute the product, whose rows have these dims.
fn q_mat_mul(
    call: &Call<'_>,
    gelu: bool,
    multiply: impl FnOnce(&Gemm<'_>, &[i64]) -> ort::Result<()>,
) -> ort::Result<()> {
    let input = |index| call.input(index);
    let [quantized, row_scales, zero_point, weights] = [input(0)?, input(1)?, input(2)?, input(3)?];
    let [column_sums, column_scales, bias, size] = [input(4)?, input(5)?, input(6)?, input(7)?];

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
    // Columns of 0 rows add up to zero, even if the file has other sums.
    let zeros = if rows == 0 { vec![0; columns] } else { Vec::new() };
    let scales = row_scales.elements()?;
    let gemm = Gemm {
        activations: quantized.elements()?,
        m: scales.len(),
        k: rows,
        n: columns,
        weights: weights.elements()?,
        scales: Some(Scales {
            rows: scales,
            zero_point,
            column_sums: if rows == 0 { &zeros } else { column_sums.elements()? },
            columns: column_scales.elements()?,
        }),
        bias: Some(bias.elements()?),
        gelu,
    };
    if !gemm.is_consistent() {
        return Err(refuse(call.operator, "the lengths of its inputs contradict their shapes"));
    }
    multiply(&gemm, before)
}
