//! A linear layer of f32.

use std::sync::Arc;

use ort::{
    operator::Operator,
    value::TensorElementType::{Float32, Int64},
};

use super::{
    super::sgemm::{Kernel, Linear},
    Call, Definition, LINEAR, LINEAR_INPUTS, multiply, refuse,
};

/// The operator on these layers, for a session of more than one thread if `parallel`.
pub(super) fn operator(linears: Arc<[Linear]>, parallel: bool) -> impl Operator {
    Definition {
        name: LINEAR,
        inputs: vec![Float32, Int64],
        input_names: LINEAR_INPUTS.to_vec(),
        outputs: vec![Float32],
        // Portable code would be several times as slow as the runtime's product.
        compute: Kernel::fastest()
            .map(|kernel| move |call: &Call<'_>| linear(call, &linears, parallel, kernel)),
    }
}

fn linear(call: &Call<'_>, linears: &[Linear], parallel: bool, kernel: Kernel) -> ort::Result<()> {
    let [x, number] = [call.input(0)?, call.input(1)?];
    let found = match number.elements::<i64>()? {
        &[number] => usize::try_from(number).ok().and_then(|number| linears.get(number)),
        _ => None,
    };
    let linear = found.ok_or_else(|| refuse(LINEAR, "it is no layer of this session"))?;
    // Of a matrix in memory.
    let before = x.rows_of(linear.k() as i64)?;
    // Dims of tensors in memory; of an empty one they may contradict each other.
    let m = before.iter().try_fold(1usize, |m, &dim| m.checked_mul(dim as usize));
    let gemm = m.zip(Some(x.elements()?)).and_then(|(m, x)| linear.times(x, m));
    let Some(gemm) = gemm else {
        return Err(refuse(LINEAR, "the lengths of its inputs contradict their shapes"));
    };
    multiply(call, &gemm, parallel, before, |tile| kernel.compute(&gemm, tile))
}
