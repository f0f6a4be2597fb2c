//! L2 normalisation, shared by all families.

/// Scales a vector to unit length (L2). A norm below 1e-12 is raised to 1e-12, so zeros stay zeros. NaN
/// propagates to every component.
pub fn l2_normalize(vector: &mut [f64]) {
    let norm = l2_norm(vector.iter().copied());
    vector.iter_mut().for_each(|x| *x /= norm);
}

/// L2 norm, at least 1e-12: the divisor of [`l2_normalize`]. NaN if a component is NaN.
pub fn l2_norm(components: impl Iterator<Item = f64>) -> f64 {
    let norm = components.map(|x| x * x).sum::<f64>().sqrt();
    // `f64::max` would turn NaN into the lower bound.
    if norm < 1e-12 { 1e-12 } else { norm }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalising_keeps_zeros_and_nan() {
        let mut zeros = [0.0, 0.0];
        l2_normalize(&mut zeros);
        assert_eq!(zeros, [0.0, 0.0]);
        let mut vector = [3.0, 4.0];
        l2_normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut nan = [f64::NAN, 1.0];
        l2_normalize(&mut nan);
        assert!(nan[1].is_nan());
    }
}
