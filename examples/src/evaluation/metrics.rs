//! Metrics of a ranking, computed as `trec_eval` does.
//!
//! A ranking is a list of documents, best first, each once. A document that is not judged counts as not
//! relevant, and so does one of grade 0 or less.

use super::Grades;

/// Normalised discounted cumulative gain of the first `k` documents: each gains its grade, divided by
/// the binary logarithm of its rank plus one, relative to the best possible ranking.
#[must_use]
pub fn ndcg(ranking: &[usize], grades: &Grades, k: usize) -> f64 {
    let mut ideal: Vec<u32> = grades.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let found = ranking.iter().map(|document| grades.get(document).copied().unwrap_or(0));
    share(gain(found.take(k)), gain(ideal.into_iter().take(k)))
}

/// Share of the relevant documents that are among the first `k`.
#[must_use]
pub fn recall(ranking: &[usize], grades: &Grades, k: usize) -> f64 {
    let found = ranking.iter().take(k).filter(|document| is_relevant(grades, document)).count();
    let all = grades.values().filter(|&&grade| grade > 0).count();
    share(count(found), count(all))
}

/// Reciprocal rank of the first relevant document, 0 if it is not among the first `k`.
#[must_use]
pub fn reciprocal_rank(ranking: &[usize], grades: &Grades, k: usize) -> f64 {
    let first = ranking.iter().take(k).position(|document| is_relevant(grades, document));
    first.map_or(0.0, |position| 1.0 / count(position + 1))
}

fn is_relevant(grades: &Grades, document: &usize) -> bool {
    grades.get(document).is_some_and(|&grade| grade > 0)
}

fn gain(grades: impl Iterator<Item = u32>) -> f64 {
    grades.zip(2..).map(|(grade, discount)| f64::from(grade) / f64::from(discount).log2()).sum()
}

/// A share; 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of documents")]
fn count(documents: usize) -> f64 {
    documents as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades() -> Grades {
        Grades::from([(3, 2), (5, 1), (7, 0), (9, 1)])
    }

    #[track_caller]
    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }

    #[test]
    fn gains_are_discounted_by_rank() {
        // By hand: 1/log2(2) at rank 1, 2/log2(4) at rank 3; at best 2, 1/log2(3) and 1/log2(4).
        let ideal = 2.0 + 1.0 / 3.0_f64.log2() + 0.5;
        assert_close(ndcg(&[5, 7, 3, 4], &grades(), 10), (1.0 + 1.0) / ideal);
        assert_close(ndcg(&[3, 9, 5], &grades(), 10), 1.0);
        // Of the first one: grade 1 where 2 is possible.
        assert_close(ndcg(&[5, 3], &grades(), 1), 0.5);
        assert_close(ndcg(&[7, 4], &grades(), 10), 0.0);
    }

    #[test]
    fn recall_counts_relevant_documents_only() {
        assert_close(recall(&[7, 5, 1, 3], &grades(), 3), 1.0 / 3.0);
        assert_close(recall(&[7, 5, 1, 3], &grades(), 4), 2.0 / 3.0);
        assert_close(recall(&[9, 5, 3], &grades(), 100), 1.0);
    }

    #[test]
    fn the_first_relevant_document_decides() {
        assert_close(reciprocal_rank(&[7, 1, 9, 3], &grades(), 10), 1.0 / 3.0);
        assert_close(reciprocal_rank(&[7, 1, 9, 3], &grades(), 2), 0.0);
    }

    #[test]
    fn nothing_relevant_or_nothing_found_is_zero() {
        for metric in [ndcg, recall, reciprocal_rank] {
            assert_close(metric(&[1, 2], &Grades::from([(1, 0)]), 10), 0.0);
            assert_close(metric(&[], &grades(), 10), 0.0);
        }
    }
}
