//! A scored document.

use std::cmp::Ordering;

/// A document's position in the input and its score.
///
/// The greater of two is the better one: the one with the higher score, or of equal scores the one
/// that comes first. NaN is worse than every number, and the two zeros are equal.
///
/// ```
/// use embedkit_types::scoring::Ranked;
///
/// let (first, second) = (Ranked { index: 0, score: 0.5 }, Ranked { index: 1, score: 0.5 });
/// assert!(first > second);
/// assert!(second > Ranked { index: 2, score: f32::NAN });
/// ```
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ranked {
    /// Position of the document, counted from 0 in input order.
    pub index: usize,
    /// Score of the document; the higher, the better.
    pub score: f32,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = || self.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal);
        let numbers_first = other.score.is_nan().cmp(&self.score.is_nan());
        numbers_first.then_with(by_score).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}
