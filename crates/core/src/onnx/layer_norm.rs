//! Layer normalisation of a sum, one row at a time.

#[cfg(target_arch = "x86_64")]
use super::int8::Kernel;
use super::lanes::{LANES, reduce};

/// Weights of a layer normalisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerNorm<'a> {
    /// Factor of each column.
    pub(crate) weight: &'a [f32],
    /// Added to each column.
    pub(crate) bias: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

impl LayerNorm<'_> {
    /// Normalises one row of a sum: `(a + b - mean) / sqrt(variance + epsilon) weight + bias`.
    ///
    /// Nothing is fused into one rounding, and every 16th column is added to one sum, so that the result has the same
    /// bits on every processor.
    ///
    /// # Panics
    ///
    /// If the rows are not as long as the weights.
    pub(crate) fn add_and_normalize(&self, a: &[f32], b: &[f32], out: &mut [f32]) {
        let k = self.weight.len();
        let lengths = [a.len(), b.len(), self.bias.len(), out.len()];
        assert_eq!(lengths, [k; 4], "lengths of rows and weights");
        #[cfg(target_arch = "x86_64")]
        {
            #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
            if Kernel::Avx512.is_available() {
                // SAFETY: `is_available` found the features.
                return unsafe { self.row_avx512(a, b, out) };
            } else if Kernel::Avx2.is_available() {
                // SAFETY: `is_available` found the features.
                return unsafe { self.row_avx2(a, b, out) };
            }
        }
        self.row(a, b, out);
    }

    /// [`Self::row`], compiled for AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avx512f")]
    fn row_avx512(&self, a: &[f32], b: &[f32], out: &mut [f32]) {
        self.row(a, b, out);
    }

    /// [`Self::row`], compiled for AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn row_avx2(&self, a: &[f32], b: &[f32], out: &mut [f32]) {
        self.row(a, b, out);
    }

    #[inline(always)]
    fn row(&self, a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
        let count = out.len() as f32;
        let mean = sum(out, |x| x) / count;
        let variance = sum(out, |x| (x - mean) * (x - mean)) / count;
        let inverse = 1.0 / (variance + self.epsilon).sqrt();
        for ((out, weight), bias) in out.iter_mut().zip(self.weight).zip(self.bias) {
            *out = (*out - mean) * inverse * weight + bias;
        }
    }
}

/// Sum of a function of all numbers.
#[inline(always)]
fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += of(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += of(x);
    }
    reduce(lanes, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_close_to_the_definition_and_equal_on_all_processors() {
        for k in [1, 7, 16, 33, 64, 100, 384, 1000] {
            let noise = |seed: u64| {
                let mut state = seed;
                let mut next = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(12_345);
                    (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
                };
                (0..k).map(|_| 3.0 * next()).collect::<Vec<f32>>()
            };
            let [a, b, weight, bias] = [1, 2, 3, 4].map(noise);
            let norm = LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-5 };
            let mut found = vec![0.0; k];
            norm.add_and_normalize(&a, &b, &mut found);
            let mut plain = vec![0.0; k];
            norm.row(&a, &b, &mut plain);
            assert_eq!(found, plain);
            let sums: Vec<f64> =
                a.iter().zip(&b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            let mean = sums.iter().sum::<f64>() / k as f64;
            let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / k as f64;
            for (at, found) in found.iter().enumerate() {
                let expected = (sums[at] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[at])
                    + f64::from(bias[at]);
                assert!((f64::from(*found) - expected).abs() < 2e-5, "{k}: {found} {expected}");
            }
        }
    }

    #[test]
    fn what_is_no_number_fills_its_row() {
        let (ones, zeros) = ([1.0; 20], [0.0; 20]);
        let norm = LayerNorm { weight: &ones, bias: &zeros, epsilon: 1e-5 };
        let mut a = [1.0; 20];
        a[18] = f32::NAN;
        let mut found = [0.0; 20];
        norm.add_and_normalize(&a, &zeros, &mut found);
        assert!(found.iter().all(|x| x.is_nan()));
    }
}
