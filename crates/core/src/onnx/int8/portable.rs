//! The kernel for any processor.

use super::block::Block;
use super::gelu::{END, P, Q};
use super::kernel::{NEAR, kernel, of_panel};
use super::{COLUMNS, DEPTH, Product, STEP};

const LANES: usize = 16;
const VECTORS: usize = COLUMNS / LANES;

type Sums = [i32; LANES];
type Weights = [i8; STEP];
type Values = [u8; DEPTH];
type Floats = [f32; LANES];

fn zeros() -> Sums {
    [0; LANES]
}

#[inline(always)]
fn weights(bytes: &Weights) -> Weights {
    *bytes
}

#[inline(always)]
fn repeat(values: Values) -> Values {
    values
}

#[inline(always)]
fn dot(mut sums: Sums, values: Values, weights: Weights) -> Sums {
    for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<DEPTH>().0) {
        for (&value, &weight) in values.iter().zip(weights) {
            *sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
        }
    }
    sums
}

#[inline(always)]
fn zero_times(zero: u8, of_columns: &[i32; LANES]) -> Sums {
    of_columns.map(|sum| sum.wrapping_mul(i32::from(zero)))
}

#[inline(always)]
fn minus(sums: Sums, of_zero: Sums) -> Floats {
    std::array::from_fn(|i| sums[i].wrapping_sub(of_zero[i]) as f32)
}

#[inline(always)]
fn load(floats: &[f32; LANES]) -> Floats {
    *floats
}

#[inline(always)]
fn store(floats: Floats, out: &mut [f32; LANES]) {
    *out = floats;
}

#[inline(always)]
fn splat(float: f32) -> Floats {
    [float; LANES]
}

#[inline(always)]
fn add(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn mul(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i] * b[i])
}

#[inline(always)]
fn div(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i] / b[i])
}

#[inline(always)]
fn min(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i].min(b[i]))
}

#[inline(always)]
fn max(a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|i| a[i].max(b[i]))
}

#[inline(always)]
fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
    std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
}

kernel!(rows: 2, panels: 1, 1, 1);
