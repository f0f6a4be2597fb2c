//! Kernels for x86-64: 32-byte or 64-byte vectors.

use std::f32::consts::LOG2_E;

use super::super::int8::exp::{COEFFICIENTS, LEAST, LN_2, ROUND};
use super::super::int8::x86::{bytes32, bytes64};
use super::super::int8::{COLUMNS, TileMut};
use super::super::lanes::reduce;
use super::kernel::attention;
use super::{Head, STEP, Scratch};

pub(super) mod avx2 {
    //! 32-byte vectors.
    use super::bytes32::{
        Floats, LANES, VECTORS, add, load, max, mul, mul_add, power_of_two, splat, store, transpose,
    };
    use super::*;

    attention!(#[target_feature(enable = "avx2,fma")] rows: 6, panels: 1);
}

pub(super) mod avx512 {
    //! 64-byte vectors.
    use super::bytes64::{
        Floats, LANES, VECTORS, add, load, max, mul, mul_add, power_of_two, splat, store, transpose,
    };
    use super::*;

    attention!(#[target_feature(enable = "avx2,fma,avx512f")] rows: 6, panels: 4);
}
