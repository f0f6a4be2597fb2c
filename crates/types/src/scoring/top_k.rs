//! The best of many scores.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::Ranked;

/// The `k` best of some scores, best first; positions are counted from 0 in their order.
///
/// Of equal scores the first is the better one, and NaN is worse than every number.
///
/// ```
/// use embedkit_types::scoring::{Ranked, top_k};
///
/// let best = top_k([0.5, 0.9, 0.5], 2);
/// assert_eq!(best, [Ranked { index: 1, score: 0.9 }, Ranked { index: 0, score: 0.5 }]);
/// ```
#[must_use]
pub fn top_k(scores: impl IntoIterator<Item = f32>, k: usize) -> Vec<Ranked> {
    let mut best = TopK::new(k);
    for (index, score) in scores.into_iter().enumerate() {
        best.push(Ranked { index, score }, ());
    }
    best.into_sorted_vec().into_iter().map(|(ranked, ())| ranked).collect()
}

/// The `k` best documents of a stream, each with a value of the caller's. Memory is that of `k`
/// documents.
///
/// ```
/// use embedkit_types::scoring::{Ranked, TopK};
///
/// let mut best = TopK::new(1);
/// for (index, (score, text)) in [(0.2, "cats"), (0.7, "dogs"), (0.1, "birds")].into_iter().enumerate() {
///     best.push(Ranked { index, score }, text);
/// }
/// assert_eq!(best.into_sorted_vec(), [(Ranked { index: 1, score: 0.7 }, "dogs")]);
/// ```
#[derive(Debug)]
pub struct TopK<T> {
    k: usize,
    /// The worst on top.
    heap: BinaryHeap<Reverse<Entry<T>>>,
}

impl<T> TopK<T> {
    /// No documents yet; `k` are kept.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Another document. It takes the place of the worst where `k` are there already and it is better.
    pub fn push(&mut self, ranked: Ranked, value: T) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(Entry { ranked, value }));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && ranked > worst.0.ranked
        {
            *worst = Reverse(Entry { ranked, value });
        }
    }

    /// The documents, best first.
    #[must_use]
    pub fn into_sorted_vec(self) -> Vec<(Ranked, T)> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted.map(|Reverse(entry)| (entry.ranked, entry.value)).collect()
    }
}

/// A document with its value, which does not count in the order.
#[derive(Debug)]
struct Entry<T> {
    ranked: Ranked,
    value: T,
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ranked.cmp(&other.ranked)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(scores: &[f32], k: usize) -> Vec<usize> {
        top_k(scores.iter().copied(), k).iter().map(|ranked| ranked.index).collect()
    }

    #[test]
    fn the_best_come_first_and_ties_in_input_order() {
        let scores = [1.0, 3.0, f32::NEG_INFINITY, 3.0, f32::NAN, -1.0, 1.0, -f32::NAN];
        let order = [1, 3, 0, 6, 5, 2, 4, 7];
        for k in 0..=scores.len() {
            assert_eq!(indices(&scores, k), order[..k]);
        }
        assert_eq!(indices(&scores, usize::MAX), order);
        assert!(indices(&[], 3).is_empty());
    }

    #[test]
    fn zeros_of_either_sign_are_ties() {
        assert_eq!(indices(&[0.0, -0.0, 0.0, -1.0], 9), [0, 1, 2, 3]);
        assert_eq!(indices(&[-0.0, 0.0], 1), [0]);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let scores = [0.5, 0.9, 0.5, 0.9, 0.1];
        let mut backwards = TopK::new(3);
        for (index, score) in scores.into_iter().enumerate().rev() {
            backwards.push(Ranked { index, score }, index);
        }
        let kept: Vec<_> =
            backwards.into_sorted_vec().into_iter().map(|(_, value)| value).collect();
        assert_eq!(kept, indices(&scores, 3));
    }
}
