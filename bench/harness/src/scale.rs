//! Sizes of the benchmarks.

use super::corpus;

/// Numbers of texts and rounds.
pub(super) struct Scale {
    pub(super) rounds: usize,
    /// Texts of the mixed corpus for the dense model.
    pub(super) texts: usize,
    /// Texts for slower models, or those compared only with the original.
    pub(super) fewer: usize,
    /// Texts for comparing vectors.
    pub(super) compared: usize,
    /// Texts of equal length.
    pub(super) equal: usize,
    /// Texts at the peers' default batch size, where they are slow, and for comparing numbers.
    pub(super) few: usize,
    /// Short queries.
    pub(super) queries: usize,
    /// Texts for BM25, which is fast.
    pub(super) words: usize,
    /// Corpus sizes, all of them for ours.
    pub(super) sizes: &'static [usize],
    /// Maximum corpus size for peers, and at their default batch size.
    pub(super) peer_sizes: [usize; 2],
    /// Requests over which a server's memory is watched.
    pub(super) requests: usize,
    /// Process starts.
    pub(super) starts: usize,
}

impl Scale {
    /// Full or quick scale.
    pub(super) fn new(quick: bool, rounds: Option<usize>) -> Self {
        if quick {
            Self {
                rounds: rounds.unwrap_or(2),
                texts: 200,
                fewer: 100,
                compared: 200,
                equal: 50,
                few: 64,
                queries: 40,
                words: 5000,
                sizes: &[200, 1000],
                peer_sizes: [200, 200],
                requests: 2000,
                starts: 2,
            }
        } else {
            Self {
                rounds: rounds.unwrap_or(3),
                texts: corpus::TEXTS / 2,
                fewer: 500,
                compared: corpus::TEXTS,
                equal: 250,
                few: 256,
                queries: 200,
                words: 20_000,
                sizes: &[1000, 10_000, 100_000],
                peer_sizes: [10_000, 1000],
                requests: 200_000,
                starts: 5,
            }
        }
    }
}
