//! Dynamic quantisation of activations to u8, with a scale for each row.

#[cfg(target_arch = "x86_64")]
use super::dispatch::Kernel;

/// Lower bound of a row's range: rows of zeros do not divide by zero, and the quotient stays finite.
const MIN_RANGE: f32 = 1e-30;
/// 1.5 x 2^23. Adding it rounds a number below 2^22 in magnitude to an integer, halves to even, which
/// the lowest bits of the sum hold.
const ROUND: f32 = 12_582_912.0;

/// Quantises rows of `k` numbers to u8, each row with a scale of its own: `x ≈ (q - zero_point) scale`.
///
/// `x` and `q` are `[rows, k]`, `scales` is `[rows]`. Columns are multiplied by `smooth_scales`, `[k]`,
/// first. The zero point says which range a row covers:
///
/// - 128: symmetric, the largest magnitude becomes ±127
/// - between: the maximum becomes 255, or the minimum 0 if that needs the larger scale
/// - 0: the maximum becomes 255, negative numbers become 0
///
/// Steps and roundings are those of the standard ONNX operators. With `qmax = 255 - zero_point`, `m` is
/// the maximum of `|x|`, of `x` and `-qmax / zero_point x`, or of `x`, and at least 1e-30; then
/// `q = round(x (qmax / m)) + zero_point`, halves to even, clamped to 0..=255, and the scale is `m / qmax`.
///
/// A NaN makes the scale of its row NaN, an infinity makes it infinite. The GEMM carries both on to the
/// result.
///
/// # Panics
///
/// If `q` is not as long as `x`, `x` is not `k` times as long as `scales`, or `smooth_scales` is not of
/// length `k`.
pub(crate) fn quantize_rows(
    x: &[f32],
    k: usize,
    smooth_scales: Option<&[f32]>,
    zero_point: u8,
    q: &mut [u8],
    scales: &mut [f32],
) {
    assert_eq!(x.len(), q.len(), "lengths of x and q");
    assert_eq!(scales.len().checked_mul(k), Some(x.len()), "one scale for each row");
    assert!(
        smooth_scales.is_none_or(|scales| scales.len() == k),
        "one smoothing scale for each column"
    );
    if k == 0 {
        return scales.fill(MIN_RANGE / qmax(zero_point));
    }
    let rows = Rows { x, k, smooth_scales, zero_point };
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        if Kernel::Avx512.is_available() {
            // SAFETY: `is_available` found the features.
            return unsafe { rows.quantize_avx512(q, scales) };
        } else if Kernel::Avx2.is_available() {
            // SAFETY: `is_available` found the features.
            return unsafe { rows.quantize_avx2(q, scales) };
        }
    }
    rows.quantize(q, scales);
}

/// Rows to be quantised, as [`quantize_rows`] takes them.
struct Rows<'a> {
    x: &'a [f32],
    k: usize,
    smooth_scales: Option<&'a [f32]>,
    zero_point: u8,
}

impl Rows<'_> {
    /// [`Self::quantize`], compiled for AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avx512f,avx512bw")]
    fn quantize_avx512(&self, q: &mut [u8], scales: &mut [f32]) {
        self.quantize(q, scales);
    }

    /// [`Self::quantize`], compiled for AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn quantize_avx2(&self, q: &mut [u8], scales: &mut [f32]) {
        self.quantize(q, scales);
    }

    #[inline(always)]
    fn quantize(&self, q: &mut [u8], scales: &mut [f32]) {
        let zero_point = self.zero_point;
        let rows = self.x.chunks_exact(self.k).zip(q.chunks_exact_mut(self.k));
        for ((x, q), scale) in rows.zip(scales) {
            *scale = match self.smooth_scales {
                Some(smooth) => {
                    row(x.iter().zip(smooth).map(|(x, smooth)| x * smooth), zero_point, q)
                }
                None => row(x.iter().copied(), zero_point, q),
            };
        }
    }
}

/// Quantises one row and returns its scale.
#[inline(always)]
fn row(x: impl Iterator<Item = f32> + Clone, zero_point: u8, q: &mut [u8]) -> f32 {
    let qmax = qmax(zero_point);
    let m = if zero_point == 128 {
        abs_max(x.clone())
    } else {
        let (min, max) = min_max(x.clone());
        let below = if zero_point == 0 { 0.0 * min } else { min * (-qmax / f32::from(zero_point)) };
        max_or_nan(max, below)
    };
    let m = max_or_nan(m, MIN_RANGE);
    let inverse = qmax / m;
    let (low, high) = (-f32::from(zero_point), f32::from(u8::MAX - zero_point));
    for (q, x) in q.iter_mut().zip(x) {
        // NaN becomes the lowest value. The limits are integers, so clamping before rounding is exact.
        let scaled = (x * inverse).max(low).min(high);
        *q = ((scaled + ROUND).to_bits() as u8).wrapping_add(zero_point);
    }
    m / qmax
}

/// Largest quantised value above the zero point.
fn qmax(zero_point: u8) -> f32 {
    f32::from(u8::MAX - zero_point)
}

/// The larger number, or NaN if either is NaN.
#[inline(always)]
fn max_or_nan(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

/// Largest magnitude, or NaN if there is one. Without the sign, the bits of floats sort like their values
/// with NaN last, and compilers vectorise a maximum of integers but not one of floats.
#[inline(always)]
fn abs_max(x: impl Iterator<Item = f32>) -> f32 {
    f32::from_bits(x.fold(0, |max, x| max.max(x.to_bits() & 0x7fff_ffff)))
}

/// Minimum and maximum; one of them is NaN if there is a NaN.
#[inline(always)]
fn min_max(x: impl Iterator<Item = f32>) -> (f32, f32) {
    let (min, max) = x.fold((i32::MAX, i32::MIN), |(min, max), x| {
        let key = sort_key(x.to_bits().cast_signed());
        (min.min(key), max.max(key))
    });
    let float = |key: i32| f32::from_bits(sort_key(key).cast_unsigned());
    (float(min), float(max))
}

/// Maps the bits of a float to an integer that sorts like the float, NaN at both ends, and back.
#[inline(always)]
fn sort_key(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & 0x7fff_ffff)
}
