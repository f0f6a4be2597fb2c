//! What is made of scores.

/// A document with its place in the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Which document it is, counted from 0 in input order.
    pub index: usize,
    /// Its score, a raw logit.
    pub score: f32,
}

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

/// The `k` best, best first; of equal scores the one that came first.
pub(crate) fn best(mut ranked: Vec<Ranked>, k: usize) -> Vec<Ranked> {
    // Adding zero makes -0.0 and 0.0 the same.
    let key = |ranked: &Ranked| ranked.score + 0.0;
    let order =
        |a: &Ranked, b: &Ranked| key(b).total_cmp(&key(a)).then_with(|| a.index.cmp(&b.index));
    if k < ranked.len() {
        if k > 0 {
            ranked.select_nth_unstable_by(k - 1, order);
        }
        ranked.truncate(k);
    }
    ranked.sort_unstable_by(order);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(scores: &[f32], k: usize) -> Vec<usize> {
        let ranked = scores.iter().enumerate().map(|(index, &score)| Ranked { index, score });
        best(ranked.collect(), k).into_iter().map(|ranked| ranked.index).collect()
    }

    #[test]
    fn best_first_and_ties_by_place() {
        let scores = [1.0, 3.0, f32::NEG_INFINITY, 3.0, -1.0, 1.0];
        assert_eq!(indices(&scores, 10), [1, 3, 0, 5, 4, 2]);
        for k in 0..=6 {
            assert_eq!(indices(&scores, k), [1, 3, 0, 5, 4, 2][..k]);
        }
        assert_eq!(indices(&[], 3), [0usize; 0]);
    }

    #[test]
    fn zeros_of_either_sign_are_ties() {
        assert_eq!(indices(&[-0.0, 0.0], 2), [0, 1]);
    }

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
