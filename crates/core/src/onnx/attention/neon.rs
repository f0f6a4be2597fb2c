//! The kernel for `AArch64`.

use std::f32::consts::LOG2_E;

use super::super::int8::exp::{COEFFICIENTS, LEAST, LN_2, ROUND};
use super::super::int8::neon::{
    Floats, LANES, VECTORS, add, load, max, mul, mul_add, power_of_two, splat, store, transpose,
};
use super::super::int8::{COLUMNS, TileMut};
use super::super::lanes::reduce;
use super::kernel::attention;
use super::{Head, STEP, Scratch};

attention!(#[target_feature(enable = "neon")] rows: 6, panels: 1);
