//! The GELU, `x Φ(x)` with the normal distribution Φ, without an exponential.
//!
//! Φ(x) - 1/2 is odd and rounds to 1/2 in f32 from 5.4 on. It is approximated by `x P(x²) / Q(x²)`, a
//! minimax fit (reweighted least squares) on 0 to 5.45. The largest error is 2e-8, and 1.5e-7 in f32 with
//! fused multiply-add, or 3e-7 of erf. The error of the GELU is below 9e-7 on -8 to 8.

/// End of the fit; the quotient is 1/2 from here on.
pub(in crate::onnx) const END: f32 = 5.45;

/// Coefficients of P, from the highest power to the lowest.
pub(in crate::onnx) const P: [f32; 7] = [
    1.138_517_54e-10,
    -2.215_845_3e-8,
    3.185_664_4e-6,
    0.000_164_584,
    0.004_471_581,
    0.035_347_253,
    0.398_942_17,
];

/// Coefficients of Q, from the highest power to the lowest.
pub(in crate::onnx) const Q: [f32; 5] =
    [6.046_847e-5, 0.001_796_659_4, 0.028_756_76, 0.255_267_2, 1.0];
