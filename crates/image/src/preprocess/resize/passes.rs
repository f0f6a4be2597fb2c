//! Passes of exact resizing.
//!
//! Accumulators wrap modulo 2^32, in any order; the true sums are in range.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

use super::weights::{PRECISION, Weights};

const HALF: i32 = 1 << (PRECISION - 1);

/// Resizes rows of `stride` bytes to rows of `weights.len()` pixels, contiguous in `out`.
pub(super) fn horizontal(
    rows: &[u8],
    stride: usize,
    weights: &Weights,
    out: &mut [u8],
    threads: NonZeroUsize,
) {
    /// Minimum bytes for a thread.
    const WORTH: usize = 1 << 20;
    let threads = threads.get().min(rows.len() / WORTH).max(1);
    if threads == 1 {
        return horizontal_alone(rows, stride, weights, out);
    }
    // Four rows are processed at a time.
    let share = (rows.len() / stride).div_ceil(threads).next_multiple_of(4);
    let shares = rows.chunks(share * stride).zip(out.chunks_mut(share * 3 * weights.len()));
    let shares = Mutex::new(shares);
    let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((rows, out)) = next() {
            horizontal_alone(rows, stride, weights, out);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // All available threads, this one included, process all shares.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

fn horizontal_alone(rows: &[u8], stride: usize, weights: &Weights, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: the condition above found the feature.
        return unsafe { super::avx2::horizontal(rows, stride, weights, out) };
    }
    horizontal_portable(rows, stride, weights, out);
}

/// Blends rows that are `stride` bytes apart into one of `out.len()` bytes.
pub(super) fn vertical(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: the condition above found the feature.
        return unsafe { vertical_avx2(rows, stride, weights, out) };
    }
    vertical_portable(rows, stride, weights, out);
}

fn horizontal_portable(rows: &[u8], stride: usize, weights: &Weights, out: &mut [u8]) {
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

/// Portable version, autovectorised in blocks of 32 bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn vertical_avx2(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    vertical_portable(rows, stride, weights, out);
}

#[inline(always)]
fn vertical_portable(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    // The accumulators of a block stay in registers.
    const BLOCK: usize = 64;
    let whole = out.len() / BLOCK * BLOCK;
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; BLOCK];
        for (y, &weight) in weights.iter().enumerate() {
            let row: &[u8; BLOCK] =
                rows[y * stride + block * BLOCK..].first_chunk().expect("rows are that long");
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = rounded(sum);
        }
    }
    let mut sums = [HALF; BLOCK];
    for (y, &weight) in weights.iter().enumerate() {
        let row = &rows[y * stride + whole..][..rest.len()];
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
        }
    }
    rest.iter_mut().zip(sums).for_each(|(out, sum)| *out = rounded(sum));
}

#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Extent, Filter},
        *,
    };

    /// Every version that this processor has must match the portable functions.
    #[test]
    fn all_versions_agree() {
        for (from, to, rows) in [(1, 3, 1), (7, 3, 2), (64, 21, 5), (200, 39, 9), (39, 200, 4)] {
            let bytes: Vec<u8> = (0..3 * from * rows).map(|i| (i * i * 31 % 257) as u8).collect();
            for filter in [Filter::Box, Filter::Hamming, Filter::Bicubic, Filter::Lanczos] {
                let weights = Weights::new(filter, from, Extent::whole(from), to, 0..to);
                let mut outs = [vec![0; 3 * to * rows], vec![0; 3 * to * rows]];
                horizontal_alone(&bytes, 3 * from, &weights, &mut outs[0]);
                horizontal_portable(&bytes, 3 * from, &weights, &mut outs[1]);
                assert_eq!(outs[0], outs[1], "{filter:?} {from} to {to}");
            }
            let weights = Weights::new(Filter::Lanczos, rows, Extent::whole(rows), 1, 0..1);
            let mut outs = [vec![0; 3 * from], vec![0; 3 * from]];
            vertical(&bytes, 3 * from, weights.of(0).1, &mut outs[0]);
            vertical_portable(&bytes, 3 * from, weights.of(0).1, &mut outs[1]);
            assert_eq!(outs[0], outs[1], "{rows} rows");
        }
    }

    #[test]
    fn threads_share_rows_without_a_gap() {
        let (from, to, rows) = (1001, 13, 1103);
        let bytes: Vec<u8> = (0..3 * from * rows).map(|i| (i * i * 31 % 257) as u8).collect();
        let weights = Weights::new(Filter::Bilinear, from, Extent::whole(from), to, 0..to);
        let mut alone = vec![0; 3 * to * rows];
        horizontal_alone(&bytes, 3 * from, &weights, &mut alone);
        for threads in [2, 3] {
            let mut shared = vec![0; 3 * to * rows];
            let threads = NonZeroUsize::new(threads).expect("more than none");
            horizontal(&bytes, 3 * from, &weights, &mut shared, threads);
            assert_eq!(shared, alone);
        }
    }
}
