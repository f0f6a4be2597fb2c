//! Scaling to unit length, as every family does it.

/// Scales a vector to unit length (L2). A vector shorter than 1e-12 is divided by that instead, so
/// that zeros stay zeros. A component that is no number makes all of them such.
pub fn l2_normalize(vector: &mut [f64]) {
    let norm = l2_norm(vector.iter().copied());
    vector.iter_mut().for_each(|x| *x /= norm);
}

/// What [`l2_normalize`] divides a vector of these components by.
pub fn l2_norm(components: impl Iterator<Item = f64>) -> f64 {
    let norm = components.map(|x| x * x).sum::<f64>().sqrt();
    // `f64::max` would turn a NaN into the floor.
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
