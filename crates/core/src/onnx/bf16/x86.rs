//! The microkernel for x86-64 with AVX-512 BF16.

use std::arch::x86_64::{__m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_setzero_ps};

use super::super::int8::TileMut;
use super::super::int8::gelu::SHORT as GELU;
use super::super::int8::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::super::int8::microkernel::{BLOCK, load_panel, microkernel};
use super::super::int8::x86::bytes64::{
    Floats, Ints, LANES, VECTORS, abs, add, broadcast, load, load_weights, min, mul, mul_add,
    splat, store, zero_point_term,
};

type Accumulator = __m512;

#[inline]
#[target_feature(enable = "avx512f")]
fn zeros() -> Accumulator {
    _mm512_setzero_ps()
}

/// Adds the products of odd places, then those of even ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn dot(acc: Accumulator, activations: __m512i, weights: __m512i) -> Accumulator {
    _mm512_dpbf16_ps(acc, halves(activations), halves(weights))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(bits: __m512i) -> __m512bh {
    #[expect(unsafe_code, reason = "the standard library has no function for it")]
    // SAFETY: both are vectors of 64 bytes, of which any is valid.
    unsafe {
        std::mem::transmute(bits)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sub(acc: Accumulator, _: Ints) -> Floats {
    acc
}

microkernel!(#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512bf16")] rows: 6, panels: 4, 4, 4);
