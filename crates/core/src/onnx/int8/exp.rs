//! The exponential function of numbers up to 0: `2^n e^r` with `n = round(x / ln 2)`.
//!
//! `e^r` is a minimax polynomial (reweighted least squares) on ±ln 2 / 2, with 1 as its first two coefficients. Its
//! largest relative error is 4e-8, and 1.2e-7 in f32 with fused multiply-add. Below -87.7 the result is exactly 0.

/// Bias of an f32's exponent.
pub(in crate::onnx) const EXPONENT_BIAS: i32 = 127;
/// Bits of an f32's fraction.
pub(in crate::onnx) const FRACTION_BITS: u32 = 23;
/// The power of two of [`LEAST`] is one below the smallest exponent, which the bits of zero have.
pub(in crate::onnx) const LEAST: f32 = -127.0 * std::f32::consts::LN_2;
/// ln 2 as the sum of two numbers, the first of which has few enough bits that its multiples are exact.
pub(in crate::onnx) const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// 1.5 x 2^23. Adding it rounds a number below 2^22 in magnitude to an integer, halves to even, which the lowest
/// bits of the sum hold.
pub(in crate::onnx) const ROUND: f32 = 12_582_912.0;
/// Coefficients of the polynomial, from the highest power to the lowest.
pub(in crate::onnx) const COEFFICIENTS: [f32; 7] =
    [0.001_383_683_5, 0.008_374_824, 0.041_668_225, 0.166_664_2, 0.499_999_9, 1.0, 1.0];
