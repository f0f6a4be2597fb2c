//! The matrix product of numbers rounded to bf16.

use ort::{
    operator::Operator,
    value::TensorElementType::{Float32, Int64, Uint16},
};

use super::{
    super::{
        bf16::{Kernel, Rounded, SIZE},
        int8::{COLUMNS, DEPTH, Gemm},
    },
    BF16_MAT_MUL, BF16_MAT_MUL_GELU, BF16_MAT_MUL_INPUTS, Call, Definition, multiply, refuse,
    size_of,
};

/// The operator with or without a GELU, for a session of more than one thread if `parallel`.
pub(super) fn operator(gelu: bool, parallel: bool) -> impl Operator {
    Definition {
        name: if gelu { BF16_MAT_MUL_GELU } else { BF16_MAT_MUL },
        inputs: vec![Float32, Uint16, Float32, Int64],
        input_names: BF16_MAT_MUL_INPUTS.to_vec(),
        outputs: vec![Float32],
        // Portable code would be several times as slow as f32.
        compute: Kernel::fastest()
            .map(|fastest| move |call: &Call<'_>| bf16_mat_mul(call, gelu, parallel, fastest)),
    }
}

fn bf16_mat_mul(call: &Call<'_>, gelu: bool, parallel: bool, kernel: Kernel) -> ort::Result<()> {
    let input = |index| call.input(index);
    let [x, weights, bias, size] = [input(0)?, input(1)?, input(2)?, input(3)?];
    let (rows, columns) = size_of(call.operator, size)?;
    // Both fit, since they were i64.
    let (k, n) = (rows as i64, columns as i64);
    let before = x.rows_of(k)?;
    let depth = DEPTH / SIZE;
    let panels = [columns.div_ceil(COLUMNS) as i64, rows.div_ceil(depth) as i64];
    weights.expect_shape(&[panels[0], panels[1], COLUMNS as i64, depth as i64])?;
    bias.expect_shape(&[n])?;
    // Dims of tensors in memory; of an empty one they may contradict each other.
    let m = before.iter().try_fold(1usize, |m, &dim| m.checked_mul(dim as usize));
    let (Some(m), Some(k)) = (m, rows.checked_mul(SIZE)) else {
        return Err(refuse(call.operator, "the lengths of its inputs contradict their shapes"));
    };
    let rounded = Rounded::new(x.elements()?);
    let gemm = Gemm {
        activations: rounded.bytes(),
        m,
        k,
        n: columns,
        weights: bytes(weights.elements()?),
        scales: None,
        bias: Some(bias.elements()?),
        gelu,
    };
    if !gemm.is_consistent() {
        return Err(refuse(call.operator, "the lengths of its inputs contradict their shapes"));
    }
    multiply(call, &gemm, parallel, before, |tile| kernel.compute(&gemm, tile))
}

/// The bytes of weights. Processors with a kernel are little-endian.
fn bytes(weights: &[u16]) -> &[i8] {
    #[expect(unsafe_code, reason = "the standard library has no function for it")]
    // SAFETY: the memory is the same, any byte is valid, and bytes need no alignment.
    unsafe {
        std::slice::from_raw_parts(weights.as_ptr().cast(), size_of_val(weights))
    }
}
