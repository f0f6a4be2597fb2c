//! The int8 matrix product.

use ort::{
    operator::{ComputeContext, Operator},
    value::TensorElementType::{Float32, Int8, Int32, Int64, Uint8},
};

use super::{
    super::int8::{COLUMNS, DEPTH, Gemm, Scales},
    Argument, Definition, Q_MAT_MUL, Q_MAT_MUL_GELU, Q_MAT_MUL_INPUTS, multiply, refuse, size_of,
};

/// The operator with or without a GELU, for a session of more than one thread if `parallel`.
pub(super) fn operator(gelu: bool, parallel: bool) -> impl Operator {
    Definition {
        name: name(gelu),
        inputs: &[Uint8, Float32, Uint8, Int8, Int32, Float32, Float32, Int64],
        outputs: &[Float32],
        compute: Some(move |context: &ComputeContext| q_mat_mul(context, gelu, parallel)),
    }
}

fn name(gelu: bool) -> &'static str {
    if gelu { Q_MAT_MUL_GELU } else { Q_MAT_MUL }
}

fn q_mat_mul(context: &ComputeContext, gelu: bool, parallel: bool) -> ort::Result<()> {
    let operator = name(gelu);
    let input = |index: usize| Argument::of(context, operator, index, Q_MAT_MUL_INPUTS[index]);
    let [quantized, row_scales, zero_point, weights] = [input(0)?, input(1)?, input(2)?, input(3)?];
    let [column_sums, column_scales, bias, size] = [input(4)?, input(5)?, input(6)?, input(7)?];

    let (rows, columns) = size_of(operator, &size)?;
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
    for per_column in [&column_sums, &column_scales, &bias] {
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
        return Err(refuse(operator, "the lengths of its inputs contradict their shapes"));
    }
    multiply(context, operator, &gemm, parallel, before, |tile| gemm.compute(tile))
}
