//! The matrix product of numbers rounded to bf16.

use ort::{
    operator::Operator,
    value::TensorElementType::{self, Float32, Int64, Uint16},
};

use super::{
    super::{
        bf16::{Kernel, Rounded, SIZE},
        int8::{COLUMNS, DEPTH, Gemm},
    },
    BF16_MAT_MUL, BF16_MAT_MUL_GELU, BF16_MAT_MUL_INPUTS, BF16_MAT_MUL_THREE, Call, Definition,
    multiply, refuse, size_of,
};

/// Elements of the inputs.
const INPUTS: [TensorElementType; 4] = [Float32, Uint16, Float32, Int64];

/// The operator with or without a GELU, for a session of more than one thread if `parallel`.
pub(super) fn operator(gelu: bool, parallel: bool) -> impl Operator {
    let name = if gelu { BF16_MAT_MUL_GELU } else { BF16_MAT_MUL };
    products::<1>(name, gelu, parallel)
}

/// Three products of the same rows, for a session of more than one thread if `parallel`.
pub(super) fn three(parallel: bool) -> impl Operator {
    products::<3>(BF16_MAT_MUL_THREE, false, parallel)
}

fn products<const N: usize>(name: &'static str, gelu: bool, parallel: bool) -> impl Operator {
    Definition {
        name,
        inputs: [&INPUTS[..1], &INPUTS[1..].repeat(N)].concat(),
        input_names: [&BF16_MAT_MUL_INPUTS[..1], &BF16_MAT_MUL_INPUTS[1..].repeat(N)].concat(),
        outputs: vec![Float32; N],
        // Portable code would be several times as slow as f32.
        compute: Kernel::fastest().map(|kernel| {
            move |call: &Call<'_>| {
                let x = call.input(0)?;
                let rounded = Rounded::new(x.elements()?);
                let gemms = (0..N).map(|place| gemm(call, &rounded, place, gelu));
                let gemms = gemms.collect::<ort::Result<Vec<_>>>()?;
                multiply(call, &gemms, parallel, x.before()?, |gemm, tile| {
                    kernel.compute(gemm, tile);
                })
            }
        }),
    }
}

/// The product at this place.
fn gemm<'c>(
    call: &'c Call<'_>,
    rounded: &'c Rounded,
    place: usize,
    gelu: bool,
) -> ort::Result<Gemm<'c>> {
    let first = 1 + place * (INPUTS.len() - 1);
    let input = |index| call.input(first + index);
    let [x, weights, bias, size] = [call.input(0)?, input(0)?, input(1)?, input(2)?];
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
    Ok(gemm)
}

/// The bytes of weights. Processors with a kernel are little-endian.
fn bytes(weights: &[u16]) -> &[i8] {
    #[expect(unsafe_code, reason = "the standard library has no function for it")]
    // SAFETY: the memory is the same, any byte is valid, and bytes need no alignment.
    unsafe {
        std::slice::from_raw_parts(weights.as_ptr().cast(), size_of_val(weights))
    }
}
