//! Activations as eight-bit integers with a scale for each row.

#[cfg(target_arch = "x86_64")]
use super::kernel::Kernel;

/// Keeps rows of zeros from a division by zero, and the quotient finite.
const SMALLEST: f32 = 1e-30;
/// 1.5 x 2^23: a number of less than 2^22 in magnitude that is added to it is rounded to an integer,
/// halves to even, which the lowest bits then show.
const ROUND: f32 = 12_582_912.0;

/// Quantises rows of `k` numbers, each `x` with a scale of its own so that `(q - zero) scale` is near it.
///
/// `factors`, one for each of the `k` numbers, are multiplied by first. With a `zero` of 128 the largest
/// magnitude becomes 127; with another one the largest number becomes 255, or the least 0 where
/// that asks for more; with 0 what is below becomes 0.
///
/// The steps are those of the standard operators, with the same roundings: `m` is the maximum of
/// `|x|`, of `max x` and `-(255 - zero) / zero min x`, or of `max x`, and of 1e-30; then
/// `q = round(x (top / m)) + zero`, halves to even, within 0 to 255; the scale is `m / top`.
///
/// A row with a NaN has a scale that is NaN, one with an infinity an infinite one, and so are the results
/// of products then.
///
/// # Panics
///
/// If `q` is not as long as `x`, `x` not `k` times as long as `scales`, or `factors` not of length `k`.
pub(crate) fn quantize_rows(
    x: &[f32],
    k: usize,
    factors: Option<&[f32]>,
    zero: u8,
    q: &mut [u8],
    scales: &mut [f32],
) {
    assert_eq!(x.len(), q.len(), "as many integers as numbers");
    assert_eq!(scales.len().checked_mul(k), Some(x.len()), "a scale for each row");
    assert!(factors.is_none_or(|factors| factors.len() == k), "a factor for each number of a row");
    if k == 0 {
        return scales.fill(SMALLEST / top(zero));
    }
    #[cfg(target_arch = "x86_64")]
    if Kernel::Avx2.is_available() {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: it was asked the line before.
        return unsafe { rows_avx2(x, k, factors, zero, q, scales) };
    }
    rows(x, k, factors, zero, q, scales);
}

/// The same, compiled for wider vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_avx2(
    x: &[f32],
    k: usize,
    factors: Option<&[f32]>,
    zero: u8,
    q: &mut [u8],
    scales: &mut [f32],
) {
    rows(x, k, factors, zero, q, scales);
}

#[inline(always)]
fn rows(x: &[f32], k: usize, factors: Option<&[f32]>, zero: u8, q: &mut [u8], scales: &mut [f32]) {
    let rows = x.chunks_exact(k).zip(q.chunks_exact_mut(k)).zip(scales);
    for ((x, q), scale) in rows {
        *scale = match factors {
            Some(factors) => row(x.iter().zip(factors).map(|(x, factor)| x * factor), zero, q),
            None => row(x.iter().copied(), zero, q),
        };
    }
}

/// Quantises one row and returns its scale.
#[inline(always)]
fn row(x: impl Iterator<Item = f32> + Clone, zero: u8, q: &mut [u8]) -> f32 {
    let top = top(zero);
    let m = if zero == 128 {
        largest_magnitude(x.clone())
    } else {
        let (least, largest) = range(x.clone());
        let below = if zero == 0 { 0.0 * least } else { least * (-top / f32::from(zero)) };
        larger(largest, below)
    };
    let m = larger(m, SMALLEST);
    let inverse = top / m;
    let (low, high) = (-f32::from(zero), f32::from(u8::MAX - zero));
    for (q, x) in q.iter_mut().zip(x) {
        // A NaN becomes the lowest. The limits are integers, so that rounding may follow them.
        let scaled = (x * inverse).max(low).min(high);
        *q = ((scaled + ROUND).to_bits() as u8).wrapping_add(zero);
    }
    m / top
}

/// The integer above zero that the largest number becomes.
fn top(zero: u8) -> f32 {
    if zero == 128 { 127.0 } else { f32::from(u8::MAX - zero) }
}

/// The larger one, or NaN where one is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

/// The largest magnitude, or NaN where there is one: without the sign, the bits of floats are in the
/// order of their values, NaN last. Unlike floats, compilers take integers several at a time.
#[inline(always)]
fn largest_magnitude(x: impl Iterator<Item = f32>) -> f32 {
    f32::from_bits(x.fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff)))
}

/// The least and the largest number, of which one is NaN where there is a NaN.
#[inline(always)]
fn range(x: impl Iterator<Item = f32>) -> (f32, f32) {
    let (least, largest) = x.fold((i32::MAX, i32::MIN), |(least, largest), x| {
        let place = in_order(x.to_bits().cast_signed());
        (least.min(place), largest.max(place))
    });
    let float = |place: i32| f32::from_bits(in_order(place).cast_unsigned());
    (float(least), float(largest))
}

/// Bits of a float as an integer in the order of the floats, NaN at both ends; and back.
#[inline(always)]
fn in_order(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & 0x7fff_ffff)
}
