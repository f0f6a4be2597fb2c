//! The microkernels for x86-64: 32-byte or 64-byte vectors.

use super::super::int8::TileMut;
use super::super::int8::gelu::PRECISE as GELU;
use super::super::int8::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::super::int8::microkernel::{load_panel, microkernel};
use super::BLOCK;

/// Defines the accumulation of f32, in which activations and weights come as the bits of numbers.
macro_rules! accumulation {
    ($feature:literal, $bits:ty, $floats_of:ident, $mul_add:ident, $zeros:ident) => {
        type Accumulator = Floats;

        #[inline]
        #[target_feature(enable = $feature)]
        fn zeros() -> Accumulator {
            $zeros()
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn dot(acc: Accumulator, activations: $bits, weights: $bits) -> Accumulator {
            $mul_add($floats_of(activations), $floats_of(weights), acc)
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn sub(acc: Accumulator, _: Ints) -> Floats {
            acc
        }
    };
}

pub(super) mod avx2 {
    //! 32-byte vectors.
    use std::arch::x86_64::{__m256i, _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_setzero_ps};

    use super::super::super::int8::x86::bytes32::{
        Floats, Ints, LANES, VECTORS, abs, add, broadcast, load, load_weights, min, mul, mul_add,
        splat, store, zero_point_term,
    };
    use super::*;

    accumulation!("avx2,fma", __m256i, _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_setzero_ps);
    microkernel!(#[target_feature(enable = "avx2,fma")] rows: 6, panels: 4, 2, 1);
}

pub(super) mod avx512 {
    //! 64-byte vectors.
    use std::arch::x86_64::{__m512i, _mm512_castsi512_ps, _mm512_fmadd_ps, _mm512_setzero_ps};

    use super::super::super::int8::x86::bytes64::{
        Floats, Ints, LANES, VECTORS, abs, add, broadcast, load, load_weights, min, mul, mul_add,
        splat, store, zero_point_term,
    };
    use super::*;

    accumulation!(
        "avx2,fma,avx512f",
        __m512i,
        _mm512_castsi512_ps,
        _mm512_fmadd_ps,
        _mm512_setzero_ps
    );
    microkernel!(#[target_feature(enable = "avx2,fma,avx512f")] rows: 6, panels: 4, 4, 4);
}
