//! Correlation of two lists of numbers.

/// Pearson's correlation. `None` if it is undefined: lists of different lengths, a constant list, or a
/// value that is not finite.
pub(super) fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.is_empty() || !a.iter().chain(b).all(|x| x.is_finite()) {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    let spread = (of_a * of_b).sqrt();
    (spread > 0.0).then(|| both / spread)
}

/// Spearman's rank correlation: Pearson's of the ranks, where ties get their mean rank.
pub(super) fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if !a.iter().chain(b).all(|x| x.is_finite()) {
        return None; // has no rank
    }
    pearson(&ranks(a), &ranks(b))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        for &at in equal {
            ranks[at] = rank;
        }
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_numpy() {
        // numpy.corrcoef of the lists and of their ranks.
        let (a, b) = ([1.0, 2.0, 2.0, 5.0, 9.0], [3.0, 1.0, 4.0, 4.0, 20.0]);
        let near = |found: Option<f64>, wanted: f64| {
            assert!((found.expect("defined") - wanted).abs() < 1e-12, "{found:?}");
        };
        near(pearson(&a, &b), 0.907_124_650_746_310_3);
        near(spearman(&a, &b), 0.763_157_894_736_842_1);
    }

    #[test]
    fn what_rises_together_has_rank_correlation_one() {
        let a = [1.0, 2.0, 3.0];
        assert_eq!(spearman(&a, &[1.0, 10.0, 1000.0]), Some(1.0));
        assert_eq!(spearman(&a, &[5.0, 4.0, -4.0]), Some(-1.0));
        assert!(pearson(&a, &[1.0, 10.0, 1000.0]).expect("defined") < 0.9);
    }

    #[test]
    fn equal_values_share_their_ranks() {
        assert_eq!(ranks(&[2.0, 1.0, 2.0, 0.0, -0.0]), [4.5, 3.0, 4.5, 1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn what_is_not_defined_is_none() {
        for of in [pearson, spearman] {
            assert_eq!(of(&[], &[]), None);
            assert_eq!(of(&[1.0], &[1.0]), None);
            assert_eq!(of(&[1.0, 2.0], &[1.0]), None);
            assert_eq!(of(&[1.0, 1.0], &[1.0, 2.0]), None);
            assert_eq!(of(&[1.0, f64::NAN], &[1.0, 2.0]), None);
            assert_eq!(of(&[1.0, f64::INFINITY], &[1.0, 2.0]), None);
        }
    }
}
