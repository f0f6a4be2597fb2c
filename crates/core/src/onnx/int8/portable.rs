//! The microkernel for any processor.

use super::exp::{EXPONENT_BIAS, FRACTION_BITS};
use super::gelu::SHORT as GELU;
use super::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::microkernel::{BLOCK, load_panel, microkernel};
use super::tile::TileMut;

pub(in crate::onnx) const LANES: usize = 16;
pub(in crate::onnx) const VECTORS: usize = COLUMNS / LANES;

pub(in crate::onnx) type Accumulator = [i32; LANES];
pub(in crate::onnx) type Ints = [i32; LANES];
pub(in crate::onnx) type Weights = [i8; STEP];
pub(in crate::onnx) type Activations = [u8; DEPTH];
pub(in crate::onnx) type Floats = [f32; LANES];

pub(in crate::onnx) fn zeros() -> Accumulator {
    [0; LANES]
}

#[inline(always)]
pub(in crate::onnx) fn load_weights(bytes: &Weights) -> Weights {
    *bytes
}

#[inline(always)]
pub(in crate::onnx) fn broadcast(activations: Activations) -> Activations {
    activations
}

#[inline(always)]
pub(in crate::onnx) fn dot(
    mut acc: Accumulator,
    activations: Activations,
    weights: Weights,
) -> Accumulator {
    for (acc, weights) in acc.iter_mut().zip(weights.as_chunks::<DEPTH>().0) {
        for (&activation, &weight) in activations.iter().zip(weights) {
            *acc = acc.wrapping_add(i32::from(activation) * i32::from(weight));
        }
    }
    acc
}

#[inline(always)]
pub(in crate::onnx) fn zero_point_term(zero_point: u8, column_sums: &[i32; LANES]) -> Ints {
    column_sums.map(|sum| sum.wrapping_mul(i32::from(zero_point)))
}

#[inline(always)]
pub(in crate::onnx) fn sub(acc: Accumulator, term: Ints) -> Floats {
    std::array::from_fn(|i| acc[i].wrapping_sub(term[i]) as f32)
}

#[inline(always)]
pub(in crate::onnx) fn load(floats: &[f32; LANES]) -> Floats {
    *floats
}

#[inline(always)]
pub(in crate::onnx) fn store(floats: Floats, out: &mut [f32; LANES]) {
    *out = floats;
}

#[inline(always)]
pub(in crate::onnx) fn splat(float: f32) -> Floats {
    [float; LANES]
}

#[inline(always)]
pub(in crate::onnx) fn abs(a: Floats) -> Floats {
    a.map(f32::abs)
}

#[inline(always)]
pub(in crate::onnx) fn add(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
pub(in crate::onnx) fn mul(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i] * b[i])
}

#[inline(always)]
pub(in crate::onnx) fn min(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i].min(b[i]))
}

#[inline(always)]
pub(in crate::onnx) fn max(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
}

#[inline(always)]
pub(in crate::onnx) fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
    std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
}

#[inline(always)]
pub(in crate::onnx) fn transpose<const N: usize>(rows: &[&[f32; N]; LANES]) -> [Floats; N] {
    std::array::from_fn(|column| rows.map(|row| row[column]))
}

#[inline(always)]
pub(in crate::onnx) fn power_of_two(rounded: Floats) -> Floats {
    rounded.map(|x| {
        let exponent = x.to_bits().wrapping_add(EXPONENT_BIAS.cast_unsigned());
        f32::from_bits(exponent << FRACTION_BITS)
    })
}

microkernel!(rows: 2, panels: 1, 1, 1);
