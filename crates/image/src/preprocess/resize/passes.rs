//! The two passes of exact resizing.
//!
//! Sums are taken modulo 2^32, in which order does not matter; the true sums lie within.

use super::weights::{PRECISION, Weights};

const HALF: i32 = 1 << (PRECISION - 1);

/// Resizes rows of `stride` bytes to rows of `weights.len()` pixels, one after another in `out`.
pub(super) fn horizontal(rows: &[u8], stride: usize, weights: &Weights, out: &mut [u8]) {
    let rows = rows.chunks_exact(stride);
    for (row, out) in rows.zip(out.chunks_exact_mut(3 * weights.len())) {
        let (pixels, _) = row.as_chunks::<3>();
        let (out, _) = out.as_chunks_mut::<3>();
        for (x, out) in out.iter_mut().enumerate() {
            let (start, weights) = weights.of(x);
            let mut sums = [HALF; 3];
            for (pixel, &weight) in pixels[start..].iter().zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
                }
            }
            *out = sums.map(rounded);
        }
    }
}

/// Mixes rows, each `stride` bytes after the one before, into one of `out.len()` bytes.
pub(super) fn vertical(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    const BLOCK: usize = 64;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [HALF; BLOCK];
        for (y, &weight) in weights.iter().enumerate() {
            let row = &rows[y * stride + block * BLOCK..][..out.len()];
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = rounded(sum));
    }
}

fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
