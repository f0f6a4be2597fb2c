//! One ranking of several.

use std::collections::BTreeMap;

use super::{Ranked, TopK};

/// The constant of [`reciprocal_rank_fusion`] that its authors found to work for all of their data.
pub const RRF_K: f64 = 60.0;

/// One ranking of several by reciprocal rank fusion: a document's score is the sum of
/// `1 / (k + rank)` over the rankings that have it, with ranks from 1
/// ([Cormack, Clarke and Büttcher 2009](https://doi.org/10.1145/1571941.1572114)).
///
/// Each ranking is a list of documents, best first, as [`top_k`](super::top_k) returns it; its scores
/// do not count, only its order does. The result has every document once, best first. `k` is
/// [`RRF_K`] unless there is a reason for another; the smaller it is, the more the first ranks count.
///
/// ```
/// use embedkit_types::scoring::{RRF_K, reciprocal_rank_fusion, top_k};
///
/// let dense = top_k([0.9, 0.8, 0.1], 3);
/// let sparse = top_k([0.0, 7.5, 1.5], 3);
/// let fused = reciprocal_rank_fusion([&dense, &sparse], RRF_K);
/// assert_eq!(fused[0].index, 1); // second of the one, first of the other
/// ```
#[must_use]
pub fn reciprocal_rank_fusion<R: AsRef<[Ranked]>>(
    rankings: impl IntoIterator<Item = R>,
    k: f64,
) -> Vec<Ranked> {
    let mut scores = BTreeMap::<usize, f64>::new();
    for ranking in rankings {
        let mut rank = 0.0;
        for ranked in ranking.as_ref() {
            rank += 1.0;
            *scores.entry(ranked.index).or_default() += 1.0 / (k + rank);
        }
    }
    let mut fused = TopK::new(scores.len());
    for (index, score) in scores {
        #[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
        let score = score as f32;
        fused.push(Ranked { index, score }, ());
    }
    fused.into_sorted_vec().into_iter().map(|(ranked, ())| ranked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(indices: &[usize]) -> Vec<Ranked> {
        indices.iter().map(|&index| Ranked { index, score: f32::NAN }).collect()
    }

    #[test]
    fn ranks_count_and_scores_do_not() {
        let fused = reciprocal_rank_fusion([ranking(&[7, 2]), ranking(&[2, 9, 7])], 1.0);
        let scores: Vec<_> = fused.iter().map(|ranked| (ranked.index, ranked.score)).collect();
        let expected = [(2, 1.0 / 3.0 + 1.0 / 2.0), (7, 1.0 / 2.0 + 1.0 / 4.0), (9, 1.0 / 3.0)];
        assert_eq!(scores, expected.map(|(index, score): (_, f64)| (index, score as f32)));
    }

    #[test]
    fn ties_are_in_order_of_position_and_nothing_fuses_to_nothing() {
        let fused = reciprocal_rank_fusion([ranking(&[5, 3]), ranking(&[3, 5])], RRF_K);
        assert_eq!(fused.iter().map(|ranked| ranked.index).collect::<Vec<_>>(), [3, 5]);
        assert!(
            reciprocal_rank_fusion([[Ranked { index: 0, score: 0.0 }; 0]; 2], RRF_K).is_empty()
        );
    }
}
