//! Microkernels for `AArch64`, with and without the dot-product extension.
//!
//! Activations become signed: `sum (q - z) w = sum (q - 128) w - (z - 128) sum w` for a zero point `z`.
//! Both microkernels are exact for all weights.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, int32x4x2_t, vabsq_f32, vaddq_f32, vaddq_s32, vcvtq_f32_s32,
    vdupq_n_f32, vdupq_n_s32, vdupq_n_u32, vfmaq_f32, vget_low_s8, vld1q_f32, vld1q_s8, vld1q_s32,
    vmaxq_f32, vminq_f32, vmull_high_s8, vmull_s8, vmulq_f32, vmulq_n_s32, vpadalq_s16, vpaddq_s32,
    vreinterpretq_f32_s32, vreinterpretq_s8_u32, vreinterpretq_s32_f32, vshlq_n_s32, vst1q_f32,
    vsubq_s32, vzip1q_f32, vzip2q_f32,
};

use super::exp::{EXPONENT_BIAS, FRACTION_BITS};
use super::gelu::SHORT as GELU;
use super::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::microkernel::{BLOCK, load_panel, microkernel};
use super::tile::TileMut;

pub(in crate::onnx) const LANES: usize = 4;
pub(in crate::onnx) const VECTORS: usize = COLUMNS / LANES;

pub(in crate::onnx) type Ints = int32x4_t;
pub(in crate::onnx) type Floats = float32x4_t;

pub(super) mod pairs {
    //! 16-bit products, added in pairs to 32-bit accumulators.
    use super::*;

    /// Two partial sums, each of a pair of products, for each of four columns.
    type Accumulator = int32x4x2_t;

    #[inline]
    #[target_feature(enable = "neon")]
    fn zeros() -> Accumulator {
        int32x4x2_t(vdupq_n_s32(0), vdupq_n_s32(0))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn dot(acc: Accumulator, activations: int8x16_t, weights: int8x16_t) -> Accumulator {
        int32x4x2_t(
            vpadalq_s16(acc.0, vmull_s8(vget_low_s8(activations), vget_low_s8(weights))),
            vpadalq_s16(acc.1, vmull_high_s8(activations, weights)),
        )
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn sub(acc: Accumulator, term: Ints) -> Floats {
        vcvtq_f32_s32(vsubq_s32(vpaddq_s32(acc.0, acc.1), term))
    }

    microkernel!(#[target_feature(enable = "neon")] rows: 2, panels: 2, 1, 1);
}

pub(super) mod dot {
    //! Four products added by one instruction.
    use super::*;

    type Accumulator = int32x4_t;

    #[inline]
    #[target_feature(enable = "neon")]
    fn zeros() -> Accumulator {
        vdupq_n_s32(0)
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn dot(mut acc: Accumulator, activations: int8x16_t, weights: int8x16_t) -> Accumulator {
        #[expect(unsafe_code, reason = "the standard library has no stable function for it")]
        // SAFETY: the instruction belongs to the feature and changes nothing but `acc`.
        unsafe {
            std::arch::asm!(
                "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) acc,
                in(vreg) activations,
                in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        acc
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn sub(acc: Accumulator, term: Ints) -> Floats {
        vcvtq_f32_s32(vsubq_s32(acc, term))
    }

    microkernel!(#[target_feature(enable = "neon,dotprod")] rows: 6, panels: 4, 2, 1);
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn load_weights(bytes: &[i8; 16]) -> int8x16_t {
    #[expect(unsafe_code, reason = "loads are from pointers")]
    // SAFETY: the array is as long as the vector.
    unsafe {
        vld1q_s8(bytes.as_ptr())
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn broadcast(activations: [u8; DEPTH]) -> int8x16_t {
    vreinterpretq_s8_u32(vdupq_n_u32(u32::from_le_bytes(activations) ^ 0x8080_8080))
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn zero_point_term(zero_point: u8, column_sums: &[i32; LANES]) -> Ints {
    #[expect(unsafe_code, reason = "loads are from pointers")]
    // SAFETY: the array is as long as the vector.
    let column_sums = unsafe { vld1q_s32(column_sums.as_ptr()) };
    vmulq_n_s32(column_sums, i32::from(zero_point) - 128)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn load(floats: &[f32; LANES]) -> Floats {
    #[expect(unsafe_code, reason = "loads are from pointers")]
    // SAFETY: the array is as long as the vector.
    unsafe {
        vld1q_f32(floats.as_ptr())
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn store(floats: Floats, out: &mut [f32; LANES]) {
    #[expect(unsafe_code, reason = "stores are to pointers")]
    // SAFETY: the array is as long as the vector.
    unsafe {
        vst1q_f32(out.as_mut_ptr(), floats);
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn splat(float: f32) -> Floats {
    vdupq_n_f32(float)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn abs(a: Floats) -> Floats {
    vabsq_f32(a)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn add(a: Floats, b: Floats) -> Floats {
    vaddq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn mul(a: Floats, b: Floats) -> Floats {
    vmulq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn min(a: Floats, b: Floats) -> Floats {
    vminq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn max(a: Floats, b: Floats) -> Floats {
    vmaxq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
    vfmaq_f32(c, a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn transpose(rows: &[&[f32; LANES]; LANES]) -> [Floats; LANES] {
    let [a, b, c, d] = [load(rows[0]), load(rows[1]), load(rows[2]), load(rows[3])];
    let [low_ac, high_ac] = [vzip1q_f32(a, c), vzip2q_f32(a, c)];
    let [low_bd, high_bd] = [vzip1q_f32(b, d), vzip2q_f32(b, d)];
    [
        vzip1q_f32(low_ac, low_bd),
        vzip2q_f32(low_ac, low_bd),
        vzip1q_f32(high_ac, high_bd),
        vzip2q_f32(high_ac, high_bd),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::onnx) fn power_of_two(rounded: Floats) -> Floats {
    let exponents = vaddq_s32(vreinterpretq_s32_f32(rounded), vdupq_n_s32(EXPONENT_BIAS));
    vreinterpretq_f32_s32(vshlq_n_s32::<{ FRACTION_BITS as i32 }>(exponents))
}
