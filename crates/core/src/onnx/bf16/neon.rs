//! The microkernel for `AArch64` with the extension for bf16, and rounding.
//!
//! `bfdot` adds a pair of products to each of four sums, and a step of a panel is what it reads. `bfmmla` adds two
//! pairs to each sum of two rows by two columns, one after the other, with the bits of two `bfdot`. It reads two steps
//! that one more instruction for each vector of weights interleaves. For six rows, two steps and a panel it takes 24
//! products, 8 interleavings and 17 instructions that load; `bfdot` alone would take 48 products and 20 loads. Hence
//! two rows at a time are multiplied by `bfmmla`, and a last one by `bfdot`.
//!
//! The standard library has no stable functions for these instructions, hence the assembly. Products are not `pure`, so
//! that they keep their order: in one of its own the compiler runs out of registers.

use std::arch::aarch64::{
    int8x16_t, uint8x16_t, vcombine_u8, vdupq_n_u32, vld1_u8, vreinterpretq_f32_f64,
    vreinterpretq_f64_f32, vreinterpretq_s8_u8, vreinterpretq_s8_u32, vreinterpretq_u32_s8,
    vst1q_u8, vtrn1q_f64, vtrn2q_f64, vzip1q_u32, vzip2q_u32,
};
use std::arch::asm;

use super::super::int8::TileMut;
use super::super::int8::gelu::SHORT as GELU;
use super::super::int8::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::super::int8::microkernel::{BLOCK, load_panel, microkernel};
use super::super::int8::neon::{
    Floats, Ints, LANES, VECTORS, abs, add, load, load_weights, min, mul, mul_add, splat, store,
    zero_point_term,
};
use super::SIZE;
use super::round::fill_any;

type Accumulator = Floats;

#[inline]
#[target_feature(enable = "neon")]
fn zeros() -> Accumulator {
    splat(0.0)
}

#[inline]
#[target_feature(enable = "neon")]
fn sub(acc: Accumulator, _: Ints) -> Floats {
    acc
}

/// The activations of a row in one step, for each column.
#[inline]
#[target_feature(enable = "neon")]
fn broadcast(activations: [u8; DEPTH]) -> int8x16_t {
    vreinterpretq_s8_u32(vdupq_n_u32(u32::from_le_bytes(activations)))
}

/// The activations of two rows in two steps.
#[inline]
#[target_feature(enable = "neon")]
fn combine(above: &[[u8; DEPTH]; 2], below: &[[u8; DEPTH]; 2]) -> int8x16_t {
    #[expect(unsafe_code, reason = "loads are from pointers")]
    // SAFETY: the arrays are as long as the vectors.
    let (above, below) =
        unsafe { (vld1_u8(above.as_ptr().cast()), vld1_u8(below.as_ptr().cast())) };
    vreinterpretq_s8_u8(vcombine_u8(above, below))
}

/// Adds a pair of products for each column.
#[inline]
#[target_feature(enable = "neon,bf16")]
fn dot(mut acc: Accumulator, activations: int8x16_t, weights: int8x16_t) -> Accumulator {
    #[expect(unsafe_code, reason = "the standard library has no stable function for it")]
    // SAFETY: the instruction belongs to the feature and changes nothing but `acc`.
    unsafe {
        asm!(
            "bfdot {0:v}.4s, {1:v}.8h, {2:v}.8h",
            inout(vreg) acc,
            in(vreg) activations,
            in(vreg) weights,
            options(nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// Adds two pairs of products for two rows and two columns.
#[inline]
#[target_feature(enable = "neon,bf16")]
fn multiply(mut acc: Accumulator, activations: int8x16_t, weights: int8x16_t) -> Accumulator {
    #[expect(unsafe_code, reason = "the standard library has no stable function for it")]
    // SAFETY: the instruction belongs to the feature and changes nothing but `acc`.
    unsafe {
        asm!(
            "bfmmla {0:v}.4s, {1:v}.8h, {2:v}.8h",
            inout(vreg) acc,
            in(vreg) activations,
            in(vreg) weights,
            options(nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// The weights of two steps, side by side for each column: of the first two columns and of the others.
#[inline]
#[target_feature(enable = "neon")]
fn interleave(first: int8x16_t, second: int8x16_t) -> [int8x16_t; 2] {
    let (first, second) = (vreinterpretq_u32_s8(first), vreinterpretq_u32_s8(second));
    [
        vreinterpretq_s8_u32(vzip1q_u32(first, second)),
        vreinterpretq_s8_u32(vzip2q_u32(first, second)),
    ]
}

/// Turns the sums of each two rows into blocks of two rows by two columns, or back.
#[inline]
#[target_feature(enable = "neon")]
fn exchange<const R: usize, const P: usize>(
    mut acc: [[[Accumulator; VECTORS]; P]; R],
) -> [[[Accumulator; VECTORS]; P]; R] {
    for [above, below] in acc.as_chunks_mut().0 {
        let vectors = above.as_flattened_mut().iter_mut();
        for (above, below) in vectors.zip(below.as_flattened_mut()) {
            let (first, second) = (vreinterpretq_f64_f32(*above), vreinterpretq_f64_f32(*below));
            *above = vreinterpretq_f32_f64(vtrn1q_f64(first, second));
            *below = vreinterpretq_f32_f64(vtrn2q_f64(first, second));
        }
    }
    acc
}

/// Accumulates `count` steps of `R` rows and `P` panels. Rows are `stride` activations apart, panels `steps` steps.
#[inline]
#[target_feature(enable = "neon,bf16")]
fn accumulate<const R: usize, const P: usize>(
    acc: [[[Accumulator; VECTORS]; P]; R],
    rows: &[u8],
    stride: usize,
    panels: &[i8],
    steps: usize,
    count: usize,
) -> [[[Accumulator; VECTORS]; P]; R] {
    assert!((R - 1) * stride + count * DEPTH <= rows.len());
    assert!(((P - 1) * steps + count) * STEP <= panels.len());
    let mut acc = exchange(acc);
    for step in (0..count / 2 * 2).step_by(2) {
        #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
        // SAFETY: the assertion above keeps the last step of the last row within `rows`.
        let two_steps: [&[[u8; DEPTH]; 2]; R] = std::array::from_fn(|r| unsafe {
            &*rows.as_ptr().add(r * stride + step * DEPTH).cast()
        });
        #[expect(unsafe_code, reason = "checks in the innermost loop cost a tenth")]
        // SAFETY: the assertion above keeps the last step of the last panel within `panels`.
        let weights: [&[[[i8; STEP / VECTORS]; VECTORS]; 2]; P] = std::array::from_fn(|p| unsafe {
            &*panels.as_ptr().add((p * steps + step) * STEP).cast()
        });
        // Those of each two rows, and of a last one that has no other.
        let last = [broadcast(two_steps[R - 1][0]), broadcast(two_steps[R - 1][1])];
        let mut activations = [last[0]; R];
        for pair in 0..R / 2 {
            activations[pair] = combine(two_steps[2 * pair], two_steps[2 * pair + 1]);
        }
        for p in 0..P {
            for v in 0..VECTORS {
                let first = load_weights(&weights[p][0][v]);
                let second = load_weights(&weights[p][1][v]);
                let [left, right] = interleave(first, second);
                for (pair, &activations) in activations.iter().enumerate().take(R / 2) {
                    let [above, below] = [2 * pair, 2 * pair + 1];
                    acc[above][p][v] = multiply(acc[above][p][v], activations, left);
                    acc[below][p][v] = multiply(acc[below][p][v], activations, right);
                }
                if R % 2 == 1 {
                    acc[R - 1][p][v] = dot(acc[R - 1][p][v], last[0], first);
                    acc[R - 1][p][v] = dot(acc[R - 1][p][v], last[1], second);
                }
            }
        }
    }
    acc = exchange(acc);
    if count % 2 == 1 {
        let step = count - 1;
        for r in 0..R {
            let activations = broadcast(rows[r * stride + step * DEPTH..].as_chunks().0[0]);
            for p in 0..P {
                let weights = panels[(p * steps + step) * STEP..].as_chunks().0;
                for v in 0..VECTORS {
                    acc[r][p][v] = dot(acc[r][p][v], activations, load_weights(&weights[v]));
                }
            }
        }
    }
    acc
}

microkernel!(#[target_feature(enable = "neon,bf16")] rows: 6, panels: 4, 2, 1, own accumulate);

/// Rounds numbers as [`round`](super::round()) does.
#[target_feature(enable = "neon,bf16")]
pub(super) fn round(numbers: &[f32], bytes: &mut [[u8; SIZE]]) {
    let (eights, rest) = numbers.as_chunks::<8>();
    let (rounded, bytes) = bytes.split_at_mut(numbers.len() - rest.len());
    for (eight, rounded) in eights.iter().zip(rounded.as_chunks_mut::<8>().0) {
        let fours = eight.as_chunks().0;
        let (low, high) = (load(&fours[0]), load(&fours[1]));
        let halves: uint8x16_t;
        #[expect(unsafe_code, reason = "the standard library has no stable function for it")]
        // SAFETY: the instructions belong to the feature and change nothing but `halves` and exceptions' flags.
        unsafe {
            asm!(
                "bfcvtn {0:v}.4h, {1:v}.4s",
                "bfcvtn2 {0:v}.8h, {2:v}.4s",
                out(vreg) halves,
                in(vreg) low,
                in(vreg) high,
                options(pure, nomem, nostack)
            );
        }
        #[expect(unsafe_code, reason = "stores are to pointers")]
        // SAFETY: the array is as long as the vector.
        unsafe {
            vst1q_u8(rounded.as_flattened_mut().as_mut_ptr(), halves);
        }
    }
    fill_any(rest, bytes);
}
