//! Inverse document frequency over the documents of one search.

use super::Ranked;
use crate::SparseEmbedding;

/// Scores of sparse documents for one query with the inverse document frequency of its terms, for
/// models that leave it to the index, such as BM25 and BM42.
///
/// The score of a document is the dot product, each term times `ln(1 + (N - n + 0.5) / (n + 0.5))`,
/// where `n` of `N` documents have the term: BM25's formula as Lucene has it, and the modifier `idf`
/// of Qdrant. It is known when all documents are, so that [`scores`](Self::scores) comes last.
///
/// ```
/// use embedkit_types::{SparseEmbedding, scoring::Idf};
///
/// let query = SparseEmbedding::from_pairs([(1, 1.0), (2, 1.0)]);
/// let mut idf = Idf::new(&query);
/// for document in [&[(1, 1.0)][..], &[(1, 1.0), (2, 1.0)], &[(3, 1.0)]] {
///     idf.push(&SparseEmbedding::from_pairs(document.iter().copied()));
/// }
/// let scores: Vec<_> = idf.scores().collect();
/// assert_eq!((scores.len(), scores[0].index, scores[1].index), (2, 0, 1));
/// assert!(scores[1].score > 2.0 * scores[0].score); // term 2 is the rarer one
/// ```
#[derive(Debug, Clone)]
pub struct Idf {
    /// Terms of the query with their weights, by ascending index; none is there twice.
    query: Vec<(u32, f64)>,
    /// Document frequency of each of them.
    frequencies: Vec<usize>,
    documents: usize,
    matches: Vec<Match>,
}

/// A document with at least one term of the query.
#[derive(Debug, Clone)]
struct Match {
    index: usize,
    /// Position in the query, and weight in the document.
    terms: Vec<(usize, f64)>,
}

impl Idf {
    /// No documents yet.
    #[must_use]
    pub fn new(query: &SparseEmbedding) -> Self {
        let query: Vec<_> = query.components().collect();
        let frequencies = vec![0; query.len()];
        Self { query, frequencies, documents: 0, matches: Vec::new() }
    }

    /// The next document; returns whether it has a term of the query. Others take no memory.
    pub fn push(&mut self, document: &SparseEmbedding) -> bool {
        let index = self.documents;
        self.documents += 1;
        let position = |(term, weight)| {
            let position = self.query.binary_search_by_key(&term, |&(term, _)| term);
            Some((position.ok()?, weight))
        };
        let terms: Vec<_> = document.components().filter_map(position).collect();
        for &(position, _) in &terms {
            self.frequencies[position] += 1;
        }
        let found = !terms.is_empty();
        if found {
            self.matches.push(Match { index, terms });
        }
        found
    }

    /// Documents with a term of the query and their scores, in the order in which they were given.
    pub fn scores(self) -> impl Iterator<Item = Ranked> {
        let query = self.query.iter().zip(&self.frequencies);
        let weights: Vec<f64> =
            query.map(|(&(_, weight), &n)| weight * idf(self.documents, n)).collect();
        self.matches.into_iter().map(move |document| {
            let products = document.terms.iter().map(|&(position, x)| weights[position] * x);
            let score: f64 = products.sum();
            #[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
            let score = score as f32;
            Ranked { index: document.index, score }
        })
    }
}

/// The inverse document frequency of a term that `n` of `documents` have.
#[expect(clippy::cast_precision_loss, reason = "counts of documents")]
fn idf(documents: usize, n: usize) -> f64 {
    let (documents, n) = (documents as f64, n as f64);
    (1.0 + (documents - n + 0.5) / (n + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(pairs: &[(u32, f32)]) -> SparseEmbedding {
        pairs.iter().copied().collect()
    }

    fn scores(query: &[(u32, f32)], documents: &[&[(u32, f32)]]) -> Vec<(usize, f32)> {
        let mut idf = Idf::new(&weights(query));
        let found: Vec<_> = documents.iter().map(|document| idf.push(&weights(document))).collect();
        let scores: Vec<_> = idf.scores().map(|ranked| (ranked.index, ranked.score)).collect();
        let with_terms: Vec<_> = (0..documents.len()).filter(|&index| found[index]).collect();
        assert!(scores.iter().map(|&(index, _)| index).eq(with_terms));
        scores
    }

    #[test]
    fn rare_terms_count_more() {
        let documents =
            [&[(1, 2.0), (5, 1.0)][..], &[(1, 1.0), (2, 0.5)], &[(5, 1.0)], &[], &[(6, 1.0)]];
        // ln(1 + (5 - 2 + 0.5) / (2 + 0.5)) and ln(1 + (5 - 1 + 0.5) / (1 + 0.5))
        let (common, rare) = (2.4f64.ln(), 4.0f64.ln());
        let expected = [(0, 2.0 * common), (1, common + 0.5 * rare)];
        assert_eq!(
            scores(&[(1, 1.0), (2, 1.0), (9, 1.0)], &documents),
            expected.map(|(index, score)| (index, score as f32))
        );
    }

    #[test]
    fn repeated_indices_count_as_their_sum() {
        let scores = scores(&[(4, 1.0), (4, 2.0)], &[&[(4, 0.5), (4, 0.5)]]);
        assert_eq!(scores, [(0, (3.0 * (1.0f64 + 0.5 / 1.5).ln()) as f32)]);
    }
}
