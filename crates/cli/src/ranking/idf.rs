//! The inverse document frequency over the documents of one search, for weights that are without.

use embedkit::SparseEmbedding;

use super::Hit;

/// Documents whose score has to wait until it is known how many have each of the query's terms.
///
/// The score is the dot product, each term times `ln(1 + (N - n + 0.5) / (n + 0.5))` where `n` of `N`
/// documents have it: what Qdrant computes for its sparse vectors with the modifier `idf`, from
/// BM25 as Lucene has it.
pub(super) struct Idf {
    /// Terms of the query with their weights, by ascending index; none is there twice.
    query: Vec<(u32, f64)>,
    /// How many documents have each of them.
    found: Vec<u64>,
    documents: u64,
    /// Documents with at least one, and the weights of those in them.
    matches: Vec<Match>,
}

struct Match {
    /// Its score comes at the end.
    hit: Hit,
    /// Place in the query, and weight in the document.
    terms: Vec<(usize, f64)>,
}

impl Idf {
    /// No documents yet.
    pub(super) fn new(query: &SparseEmbedding) -> Self {
        let mut terms: Vec<(u32, f64)> = Vec::with_capacity(query.len());
        for (index, weight) in query.iter() {
            match terms.last_mut() {
                // Words that fall on one index count together.
                Some(last) if last.0 == index => last.1 += f64::from(weight),
                _ => terms.push((index, f64::from(weight))),
            }
        }
        let found = vec![0; terms.len()];
        Self { query: terms, found, documents: 0, matches: vec![] }
    }

    /// Another document; its score so far does not matter.
    pub(super) fn add(&mut self, hit: Hit, document: &SparseEmbedding) {
        self.documents += 1;
        let mut terms: Vec<(usize, f64)> = Vec::new();
        for (term, weight) in document.iter() {
            let Ok(place) = self.query.binary_search_by_key(&term, |&(term, _)| term) else {
                continue;
            };
            match terms.last_mut() {
                Some(last) if last.0 == place => last.1 += f64::from(weight),
                _ => terms.push((place, f64::from(weight))),
            }
        }
        for &(place, _) in &terms {
            self.found[place] += 1;
        }
        if !terms.is_empty() {
            self.matches.push(Match { hit, terms });
        }
    }

    /// All documents with a term that counts, with their scores.
    pub(super) fn hits(self) -> impl Iterator<Item = Hit> {
        let all = self.documents as f64;
        let idf = |n: &u64| (1.0 + (all - *n as f64 + 0.5) / (*n as f64 + 0.5)).ln();
        let factors = self.query.iter().zip(&self.found).map(|(&(_, weight), n)| weight * idf(n));
        let factors: Vec<f64> = factors.collect();
        let scored = self.matches.into_iter().map(move |one| {
            let score: f64 = one.terms.iter().map(|&(at, weight)| factors[at] * weight).sum();
            Hit { score: score as f32, ..one.hit }
        });
        scored.filter(|hit| hit.score != 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Item;

    fn hit(index: u64) -> Hit {
        Hit { index, score: 9.0, item: Item::Text("a".into()), truncated: false }
    }

    fn weights(pairs: &[(u32, f32)]) -> SparseEmbedding {
        pairs.iter().copied().collect()
    }

    #[test]
    fn rare_terms_count_more() {
        let mut idf = Idf::new(&weights(&[(1, 1.0), (2, 1.0), (9, 1.0)]));
        let documents =
            [&[(1, 2.0), (5, 1.0)][..], &[(1, 1.0), (2, 0.5)], &[(5, 1.0)], &[], &[(6, 1.0)]];
        for (index, document) in (0..).zip(documents) {
            idf.add(hit(index), &weights(document));
        }
        let hits: Vec<_> = idf.hits().map(|hit| (hit.index, hit.score)).collect();
        // ln(1 + (5 - 2 + 0.5) / (2 + 0.5)) and ln(1 + (5 - 1 + 0.5) / (1 + 0.5))
        let (common, rare) = (2.4f64.ln(), 4.0f64.ln());
        let expected = [(0, 2.0 * common), (1, common + 0.5 * rare)];
        assert_eq!(hits, expected.map(|(index, score)| (index, score as f32)));
    }

    #[test]
    fn repeated_indices_count_as_their_sum() {
        let mut idf = Idf::new(&weights(&[(4, 1.0), (4, 2.0)]));
        idf.add(hit(0), &weights(&[(4, 0.5), (4, 0.5)]));
        let hits: Vec<_> = idf.hits().map(|hit| hit.score).collect();
        assert_eq!(hits, [(3.0 * (1.0f64 + 0.5 / 1.5).ln()) as f32]);
    }
}
