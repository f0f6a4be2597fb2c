//! Rounding from the f64 of accumulators to the precision of the graph.

/// Rounds f64 to f32, through half precision if `half`: the precision of the graph, which FastEmbed
/// returns.
#[must_use]
pub fn round_to(values: &[f64], half: bool) -> Vec<f32> {
    values.iter().map(|&x| round(x, half)).collect()
}

/// [`round_to`] for one number.
#[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
pub(super) fn round(x: f64, half: bool) -> f32 {
    if half { half::f16::from_f64(x).to_f32() } else { x as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_kept() {
        assert_eq!(round_to(&[0.1, 1.0 / 3.0], true), [0.099_975_586, 0.333_251_95]);
        assert_eq!(round_to(&[0.1], false), [0.1]);
    }
}
