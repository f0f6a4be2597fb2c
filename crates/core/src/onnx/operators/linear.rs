//! A linear layer of f32.

use std::sync::Arc;

use ort::{
    operator::Operator,
    value::TensorElementType::{Float32, Int64},
};

use super::{
    super::sgemm::{Kernel, Linear},
    Call, Definition, LINEAR, LINEAR_INPUTS, LINEAR_THREE, multiply, refuse,
};

/// The operator on `count` of these layers, for a session of more than one thread if `parallel`.
pub(super) fn operator(count: usize, linears: Arc<[Linear]>, parallel: bool) -> impl Operator {
    Definition {
        name: if count == 3 { LINEAR_THREE } else { LINEAR },
        inputs: vec![Float32, Int64],
        input_names: LINEAR_INPUTS.to_vec(),
        outputs: vec![Float32; count],
        // Portable code would be several times as slow as the runtime's product.
        compute: Kernel::fastest()
            .map(|kernel| move |call: &Call<'_>| linear(call, count, &linears, parallel, kernel)),
    }
}

fn linear(
    call: &Call<'_>,
    count: usize,
    linears: &[Linear],
    parallel: bool,
    kernel: Kernel,
) -> ort::Result<()> {
    let [x, layers] = [call.input(0)?, call.input(1)?];
    layers.expect_shape(&[count as i64])?;
    let (mut gemms, mut before) = (Vec::with_capacity(count), [].as_slice());
    for &number in layers.elements::<i64>()? {
        let linear = usize::try_from(number).ok().and_then(|number| linears.get(number));
        let linear =
            linear.ok_or_else(|| refuse(call.operator, "it is no layer of this session"))?;
        // Of a matrix in memory.
        before = x.rows_of(linear.k() as i64)?;
        // Dims of tensors in memory; of an empty one they may contradict each other.
        let m = before.iter().try_fold(1usize, |m, &dim| m.checked_mul(dim as usize));
        let gemm = m.zip(Some(x.elements()?)).and_then(|(m, x)| linear.times(x, m));
        gemms.push(gemm.ok_or_else(|| {
            refuse(call.operator, "the lengths of its inputs contradict their shapes")
        })?);
    }
    multiply(call, &gemms, parallel, before, |gemm, tile| kernel.compute(gemm, tile))
}
