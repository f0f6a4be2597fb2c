//! Horizontal pass with AVX2: four pixels of a row in one step, of four rows at a time.
//!
//! AVX2 multiplies 16-bit numbers and adds pairs of products in one instruction. A weight has more bits
//! and is split: `weight = high * 2^14 + low`. Both accumulators are added at the end, modulo 2^32, so
//! nothing is lost.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_packs_epi32,
    _mm_packus_epi16, _mm_set1_epi32, _mm_slli_epi32, _mm_srai_epi32, _mm256_add_epi32,
    _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_madd_epi16, _mm256_setr_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8,
};

use super::weights::{PRECISION, Weights};

/// Bits of the low part.
const LOW: u32 = 14;
/// Pixels of a step.
const STEP: usize = 4;
/// Rows at a time; their accumulators fit into the registers.
const ROWS: usize = 4;
/// Bytes that may be read beyond a row's end: a step reads 16 bytes for 4 pixels, and up to 3 pixels of
/// the last step have no weight.
const BEYOND: usize = 16;

/// Weights in steps of four: their high parts, then their low parts.
struct Steps {
    steps: Vec<[i16; 2 * STEP]>,
    /// First input pixel and end of the steps of each output pixel.
    pixels: Vec<(usize, usize)>,
}

impl Steps {
    fn new(weights: &Weights) -> Self {
        let mut steps = Vec::new();
        let mut pixels = Vec::with_capacity(weights.len());
        for x in 0..weights.len() {
            let (start, weights) = weights.of(x);
            for weights in weights.chunks(STEP) {
                let mut step = [0; 2 * STEP];
                for (place, &weight) in weights.iter().enumerate() {
                    // Weights are within 2^24, so their parts fit into 16 bits.
                    step[place] = (weight >> LOW) as i16;
                    step[STEP + place] = (weight & ((1 << LOW) - 1)) as i16;
                }
                steps.push(step);
            }
            pixels.push((start, steps.len()));
        }
        Self { steps, pixels }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn horizontal(rows: &[u8], stride: usize, weights: &Weights, out: &mut [u8]) {
    let steps = Steps::new(weights);
    let count = rows.len() / stride;
    let mut padded = Vec::new();
    for (group, out) in out.chunks_mut(ROWS * 3 * weights.len()).enumerate() {
        let first = group * ROWS;
        let here = ROWS.min(count - first);
        let mut bytes = &rows[first * stride..];
        if bytes.len() < here * stride + BEYOND {
            padded.clear();
            padded.extend_from_slice(&bytes[..here * stride]);
            padded.resize(here * stride + BEYOND, 0);
            bytes = &padded;
        }
        match here {
            4 => group_of::<4>(bytes, stride, &steps, out),
            3 => group_of::<3>(bytes, stride, &steps, out),
            2 => group_of::<2>(bytes, stride, &steps, out),
            _ => group_of::<1>(bytes, stride, &steps, out),
        }
    }
}

/// Resizes `N` rows. [`BEYOND`] bytes have to follow the last row in `bytes`.
#[target_feature(enable = "avx2")]
fn group_of<const N: usize>(bytes: &[u8], stride: usize, steps: &Steps, out: &mut [u8]) {
    // Red of two pixels, green of two, blue of two, 16 bits each; the upper half has the next two.
    const NO: i8 = -1;
    let pairs = _mm256_setr_epi8(
        0, NO, 3, NO, 1, NO, 4, NO, 2, NO, 5, NO, NO, NO, NO, NO, //
        6, NO, 9, NO, 7, NO, 10, NO, 8, NO, 11, NO, NO, NO, NO, NO,
    );
    // Weights of two pixels for each channel; the upper half has those of the next two.
    let highs = _mm256_setr_epi8(
        0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, //
        4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7,
    );
    let lows = _mm256_setr_epi8(
        8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, //
        12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15,
    );
    let row_out = 3 * steps.pixels.len();
    let mut begin = 0;
    for (x, &(start, end)) in steps.pixels.iter().enumerate() {
        let steps = &steps.steps[begin..end];
        begin = end;
        assert!((N - 1) * stride + 3 * start + 12 * steps.len() + 4 <= bytes.len());
        let mut high_sums = [_mm256_setzero_si256(); N];
        let mut low_sums = [_mm256_setzero_si256(); N];
        for (number, step) in steps.iter().enumerate() {
            let step = twice(load(step));
            let high = _mm256_shuffle_epi8(step, highs);
            let low = _mm256_shuffle_epi8(step, lows);
            for row in 0..N {
                let at = row * stride + 3 * start + 12 * number;
                #[expect(unsafe_code, reason = "checks in the innermost loop cost a quarter")]
                // SAFETY: the assertion above keeps 16 bytes from the last `at` within bounds.
                let pixels: &[u8; 16] = unsafe { &*bytes.as_ptr().add(at).cast() };
                let pixels = twice(load(pixels));
                let pixels = _mm256_shuffle_epi8(pixels, pairs);
                high_sums[row] = _mm256_add_epi32(high_sums[row], _mm256_madd_epi16(pixels, high));
                low_sums[row] = _mm256_add_epi32(low_sums[row], _mm256_madd_epi16(pixels, low));
            }
        }
        for row in 0..N {
            let pixel = rounded(high_sums[row], low_sums[row]);
            out[row * row_out + 3 * x..][..3].copy_from_slice(&pixel);
        }
    }
}

/// Combines both accumulators to a pixel.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded(high: __m256i, low: __m256i) -> [u8; 3] {
    const PLACES: i32 = PRECISION as i32;
    let high = _mm_slli_epi32::<{ LOW as i32 }>(halves_added(high));
    let sum =
        _mm_add_epi32(_mm_add_epi32(high, halves_added(low)), _mm_set1_epi32(1 << (PLACES - 1)));
    // 10 bits with the sign remain; packing clips them to 0..=255.
    let words = _mm_srai_epi32::<PLACES>(sum);
    let words = _mm_packs_epi32(words, words);
    let [red, green, blue, _] = _mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes();
    [red, green, blue]
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves_added(sums: __m256i) -> __m128i {
    _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
}

/// Loads sixteen bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn load<T: Copy, const N: usize>(values: &[T; N]) -> __m128i {
    const { assert!(size_of::<[T; N]>() == 16) }
    #[expect(unsafe_code, reason = "vectors are read through pointers")]
    // SAFETY: a reference to 16 bytes, which need no alignment.
    unsafe {
        _mm_loadu_si128(values.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn twice(bytes: __m128i) -> __m256i {
    _mm256_broadcastsi128_si256(bytes)
}
