//! The GELU, `x Φ(x)` with the normal distribution Φ, without an exponential and without a division.
//!
//! `x Φ(x) = x / 2 + |x| / 2 - h(|x|)` with `h(t) = t (1 - Φ(t))`, which falls towards 0 from 0.75 on. A polynomial in
//! `min(|x|, end) - middle` approximates `-h`, a minimax fit by linear programming on 0 to `end`. Even and odd powers are
//! summed apart, which halves the latency.

/// A polynomial of degree `N - 1`, which is even.
#[derive(Debug)]
pub(in crate::onnx) struct Gelu<const N: usize> {
    /// End of the fit; the polynomial is constant from here on.
    pub(in crate::onnx) end: f32,
    /// Half of the end, around which the polynomial is.
    pub(in crate::onnx) middle: f32,
    /// From the highest power to the lowest.
    pub(in crate::onnx) coefficients: [f32; N],
}

/// For products of f32. In f32 with fused multiply-add, the error of the GELU is below 2e-7 on -1 to 1, and below 4.8e-7
/// on -8 to 8.
pub(in crate::onnx) const PRECISE: Gelu<17> = Gelu {
    end: 5.35,
    middle: 2.675,
    coefficients: [
        1.748_855_1e-9,
        -1.276_619_1e-9,
        -7.703_296e-8,
        1.366_893_8e-7,
        1.357_370_1e-6,
        -4.511_598_5e-6,
        -8.224_95e-6,
        6.716_519_4e-5,
        -8.797_189e-5,
        -0.000_344_425_12,
        0.001_643_04,
        -0.002_356_037_5,
        -0.002_377_170_6,
        0.015_676_914,
        -0.028_729_4,
        0.026_077_226,
        -0.009_995_071,
    ],
};

/// For products of eight and sixteen bits, whose next product rounds to a hundred times as much: the error is below
/// 1.3e-5.
pub(in crate::onnx) const SHORT: Gelu<11> = Gelu {
    end: 4.45,
    middle: 2.225,
    coefficients: [
        1.338_686_3e-5,
        -1.749_388_1e-5,
        -0.000_271_482_16,
        0.000_652_874_2,
        0.001_495_124_5,
        -0.007_754_094,
        0.008_834_87,
        0.012_067_875,
        -0.049_625_494,
        0.061_593_007,
        -0.029_007_89,
    ],
};

#[cfg(test)]
impl<const N: usize> Gelu<N> {
    /// The definition, for one number.
    pub(in crate::onnx) fn of(&self, x: f32) -> f32 {
        let place = x.abs().min(self.end) - self.middle;
        let powers = |first: usize| {
            let mut own = self.coefficients[first..].iter().step_by(2).copied();
            let highest = own.next().unwrap();
            own.fold(highest, |sum, coefficient| sum.mul_add(place * place, coefficient))
        };
        let tail = powers(1).mul_add(place, powers(0));
        x.mul_add(0.5, x.abs().mul_add(0.5, tail))
    }
}
