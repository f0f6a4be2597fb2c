//! Agreement of two rankings of the same inputs.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
};

use embedkit::Input;

use super::numbered::Numbered;
use crate::input::image_path;

/// A query that was ranked for.
#[derive(Debug)]
pub(super) struct Query {
    /// Number of the input that is the query.
    pub(super) index: Option<u64>,
    pub(super) text: String,
}

impl Query {
    /// An input that stands for a query.
    pub(super) fn of_input(input: &Numbered) -> Self {
        Self { index: Some(input.index), text: words(&input.input).into_owned() }
    }

    /// A query of its own.
    pub(super) fn of_text(query: &Input) -> Self {
        Self { index: None, text: words(query).into_owned() }
    }
}

/// The text of an input, or its path.
pub(super) fn words(input: &Input) -> Cow<'_, str> {
    match input {
        Input::Text(text) => Cow::Borrowed(text),
        other => image_path(other).map_or(Cow::Borrowed(""), Path::to_string_lossy),
    }
}

/// An input in a ranking, by its place among the inputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) at: usize,
    pub(super) score: f32,
}

/// The rankings of both models, best first. An input that is in none has nothing in common with the
/// query.
#[derive(Debug)]
pub(super) struct Hits {
    pub(super) a: Vec<Hit>,
    pub(super) b: Vec<Hit>,
    /// Number of inputs that were ranked.
    pub(super) among: usize,
}

/// Agreement of two models on the neighbours of one query.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) query: Query,
    /// The best of each model.
    pub(super) neighbours: [Vec<Hit>; 2],
    /// Neighbours of both.
    pub(super) common: usize,
    /// Share of the neighbours that both have; `None` where neither has any.
    pub(super) overlap: Option<f64>,
    /// Spearman's rank correlation over all inputs; `None` where a model does not order them.
    pub(super) correlation: Option<f64>,
}

impl Agreement {
    pub(super) fn new(query: Query, hits: Hits, top_k: usize) -> Self {
        let Hits { mut a, mut b, among } = hits;
        let correlation = spearman(&a, &b, among);
        a.truncate(top_k);
        b.truncate(top_k);
        let known: HashSet<_> = a.iter().map(|hit| hit.at).collect();
        let common = b.iter().filter(|hit| known.contains(&hit.at)).count();
        let most = a.len().max(b.len());
        let overlap = (most > 0).then(|| common as f64 / most as f64);
        Self { query, neighbours: [a, b], common, overlap, correlation }
    }
}

/// The mean of those that are known.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) =
        values.flatten().fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Spearman's rank correlation of two rankings of as many inputs as `among`.
fn spearman(a: &[Hit], b: &[Hit], among: usize) -> Option<f64> {
    let places: BTreeSet<_> = a.iter().chain(b).map(|hit| hit.at).collect();
    let [mut a, mut b] = [a, b].map(|hits| {
        let ranks = ranks(hits);
        // Those without a hit share the last ranks.
        let last = (hits.len() + 1 + among) as f64 / 2.0;
        let mut all: Vec<_> =
            places.iter().map(|at| ranks.get(at).copied().unwrap_or(last)).collect();
        all.resize(among, last);
        all
    });
    // The mean of all ranks, ties or not.
    let mean = (among + 1) as f64 / 2.0;
    a.iter_mut().chain(&mut b).for_each(|rank| *rank -= mean);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
    (scale > 0.0).then(|| (dot(&a, &b) / scale).clamp(-1.0, 1.0))
}

/// Ranks from 1, best first; equal scores share the mean of theirs.
fn ranks(hits: &[Hit]) -> HashMap<usize, f64> {
    let mut ranks = HashMap::with_capacity(hits.len());
    let mut before = 0;
    for ties in hits.chunk_by(|a, b| a.score == b.score) {
        let rank = before as f64 + (ties.len() + 1) as f64 / 2.0;
        ranks.extend(ties.iter().map(|hit| (hit.at, rank)));
        before += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(scores: &[(usize, f32)]) -> Vec<Hit> {
        scores.iter().map(|&(at, score)| Hit { at, score }).collect()
    }

    fn agreement(a: &[(usize, f32)], b: &[(usize, f32)], among: usize, top_k: usize) -> Agreement {
        let query = Query { index: None, text: String::new() };
        Agreement::new(query, Hits { a: hits(a), b: hits(b), among }, top_k)
    }

    fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-12), "{a:?} and {b}");
    }

    #[test]
    fn the_overlap_is_that_of_the_best() {
        let a = [(3, 0.9), (1, 0.8), (0, 0.7), (2, 0.1)];
        let b = [(1, 9.0), (2, 8.0), (3, 7.0), (0, 1.0)];
        for (top_k, common, overlap) in [(1, 0, 0.0), (2, 1, 0.5), (3, 2, 2.0 / 3.0), (9, 4, 1.0)] {
            let agreement = agreement(&a, &b, 4, top_k);
            assert_eq!(agreement.common, common);
            close(agreement.overlap, overlap);
        }
        assert_eq!(agreement(&a, &b, 4, 2).neighbours[1].len(), 2);
    }

    /// `scipy.stats.spearmanr` gives these.
    #[test]
    fn the_correlation_is_spearmans() {
        let a = [(3, 0.9), (1, 0.8), (0, 0.7), (2, 0.1)];
        close(agreement(&a, &a, 4, 1).correlation, 1.0);
        let backwards = [(2, 4.0), (0, 3.0), (1, 2.0), (3, 1.0)];
        close(agreement(&a, &backwards, 4, 1).correlation, -1.0);
        // [3, 2, 4, 1] and [4, 1, 2, 3].
        close(agreement(&a, &[(1, 9.0), (2, 8.0), (3, 7.0), (0, 1.0)], 4, 1).correlation, 0.0);
        // [1, 2, 3, 4, 5] and [1.5, 1.5, 4, 4, 4]: ties, and three inputs without a hit.
        let ordered = [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)];
        close(agreement(&ordered, &[(0, 1.0), (1, 1.0)], 5, 1).correlation, 0.8660254037844386);
        // [1, 2, 4.5, 4.5, 4.5, 4.5] and [2, 1, 4.5, 4.5, 4.5, 4.5]: no model knows the last four.
        let first = [(0, 2.0), (1, 1.0)];
        close(agreement(&first, &[(1, 2.0), (0, 1.0)], 6, 1).correlation, 0.92);
    }

    #[test]
    fn without_neighbours_or_an_order_nothing_is_said() {
        let none = agreement(&[], &[], 5, 3);
        assert_eq!((none.overlap, none.correlation, none.common), (None, None, 0));
        let one = agreement(&[(1, 1.0)], &[], 5, 3);
        assert_eq!((one.overlap, one.correlation), (Some(0.0), None));
        let equal = [(0, 1.0), (1, 1.0)];
        assert_eq!(agreement(&equal, &equal, 2, 3).correlation, None);
    }

    #[test]
    fn the_mean_is_that_of_what_is_known() {
        assert_eq!(mean([Some(1.0), None, Some(0.0)].into_iter()), Some(0.5));
        assert_eq!(mean([None].into_iter()), None);
    }
}
