//! From logits to probabilities.

/// The logistic function `1 / (1 + e^-x)`, which maps a logit to 0..1 and keeps the order. It is a
/// probability only for a model that was trained so, with a single label.
///
/// ```
/// use embedkit_rerank::sigmoid;
///
/// assert_eq!(sigmoid(0.0), 0.5);
/// assert_eq!((sigmoid(-1000.0), sigmoid(1000.0)), (0.0, 1.0));
/// ```
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded once, from f64")]
    let score = (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32;
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_keeps_the_order_and_its_symmetry() {
        let logits: Vec<f32> = (-80..=80).map(|x| x as f32 / 4.0).collect();
        assert!(logits.windows(2).all(|pair| sigmoid(pair[0]) <= sigmoid(pair[1])));
        for x in logits {
            assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() < 1e-7, "{x}");
        }
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
