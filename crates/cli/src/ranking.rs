//! Scoring documents for a query, and keeping the best.

use anyhow::{Context as _, Result, bail, ensure};
use embedkit::{
    Embedded, Input, Output,
    scoring::{Idf, Ranked, TopK},
};

use crate::record::Record;

/// An input with its score.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) index: u64,
    pub(crate) score: f32,
    pub(crate) input: Input,
    /// True if the model saw less than the whole input.
    pub(crate) truncated: bool,
}

impl Hit {
    /// A result that is a score; `None` for an input without one.
    pub(crate) fn of(record: Record) -> Option<Self> {
        let (input, Embedded { value, truncated, .. }) = record.result.ok()?;
        let Output::Score(score) = value else { return None };
        Some(Self { index: record.index, score, input, truncated })
    }
}

/// The hit as a result of the model.
impl From<Hit> for Record {
    fn from(Hit { index, score, input, truncated }: Hit) -> Self {
        // Nobody asks for the tokens any more.
        let embedded = Embedded { value: Output::Score(score), tokens: 0, truncated };
        Self { index, result: Ok((input, embedded)) }
    }
}

/// The best documents for one query, of those seen so far.
pub(crate) struct Ranking {
    query: Output,
    /// Document frequencies, and the hits of the documents that have a term of the query, where weights
    /// count by how rare a term is: that is known at the end.
    idf: Option<(Idf, Vec<Hit>)>,
    best: Best,
}

impl Ranking {
    /// No documents yet; `limit` are kept. `idf` says whether weights count by how rare a term is
    /// among the documents.
    ///
    /// # Errors
    /// The query is nothing that documents are compared with.
    pub(crate) fn new(query: Output, idf: bool, limit: usize) -> Result<Self> {
        let idf = match &query {
            Output::Sparse(terms) if idf => Some((Idf::new(terms), Vec::new())),
            Output::Score(_) => bail!("a score is nothing that can be searched"),
            _ => None,
        };
        Ok(Self { query, idf, best: Best::new(limit) })
    }

    /// The reason why there may be no hits.
    pub(crate) fn nothing(&self) -> &'static str {
        match &self.query {
            Output::Sparse(_) => "nothing was found: no input has a term of the query that counts",
            Output::Dense(_) if self.query.is_zero() => {
                "nothing was found: the query's vector is all zeros"
            }
            _ if self.query.is_zero() => "nothing was found: the query's vectors are all zeros",
            _ => "nothing was found: the vectors of all inputs are zeros",
        }
    }

    /// Another document. It is no hit where it has nothing to be compared by: no term of the query,
    /// or a vector of zeros, which has no angle.
    ///
    /// # Errors
    /// It is not of the kind or dimension of the query, or the score is not a number.
    pub(crate) fn offer(
        &mut self,
        index: u64,
        input: Input,
        document: &Embedded<Output>,
    ) -> Result<()> {
        let hit = |score| Hit { index, score, input, truncated: document.truncated };
        if let (Some((idf, hits)), Output::Sparse(terms)) = (&mut self.idf, &document.value) {
            if idf.push(terms) {
                hits.push(hit(0.0));
            }
            return Ok(());
        }
        let score = self.query.score(&document.value).with_context(|| format!("input {index}"))?;
        let comparable = match self.query {
            Output::Sparse(_) => score != 0.0,
            _ => !self.query.is_zero() && !document.value.is_zero(),
        };
        if comparable {
            ensure!(!score.is_nan(), "the score of input {index} is not a number");
            self.best.push(hit(score));
        }
        Ok(())
    }

    /// The best documents, best first.
    pub(crate) fn finish(mut self) -> Vec<Hit> {
        if let Some((idf, hits)) = self.idf {
            for (Ranked { score, .. }, hit) in idf.scores().zip(hits) {
                if score != 0.0 {
                    self.best.push(Hit { score, ..hit });
                }
            }
        }
        self.best.into_sorted()
    }
}

/// The best hits so far.
pub(crate) struct Best(TopK<Hit>);

impl Best {
    pub(crate) fn new(limit: usize) -> Self {
        Self(TopK::new(limit))
    }

    pub(crate) fn push(&mut self, mut hit: Hit) {
        // Zero has one spelling in the output.
        hit.score += 0.0;
        self.0.push(Ranked { index: hit.index as usize, score: hit.score }, hit);
    }

    /// Best first.
    pub(crate) fn into_sorted(self) -> Vec<Hit> {
        self.0.into_sorted_vec().into_iter().map(|(_, hit)| hit).collect()
    }
}

#[cfg(test)]
mod tests {
    use embedkit::{MultiVector, SparseEmbedding};

    use super::*;

    fn hit(index: u64, score: f32) -> Hit {
        Hit { index, score, input: "a".into(), truncated: false }
    }

    #[test]
    fn the_best_come_first_and_ties_in_input_order() {
        let mut best = Best::new(3);
        for (index, score) in [0.5, 0.9, -0.0, 0.9, 0.5, 0.0, 0.9].into_iter().enumerate() {
            best.push(hit(index as u64, score));
        }
        let order: Vec<_> = best.into_sorted().iter().map(|hit| hit.index).collect();
        assert_eq!(order, [1, 3, 6]);
        let mut best = Best::new(10);
        for (index, score) in [0.0, -0.0, 0.0, -1.0].into_iter().enumerate() {
            best.push(hit(index as u64, score));
        }
        let order: Vec<_> = best.into_sorted().iter().map(|hit| hit.index).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn only_like_is_compared_with_like() {
        let weights: SparseEmbedding = [(1, 2.0)].into_iter().collect();
        let mut ranking = Ranking::new(weights.clone().into(), false, 3).unwrap();
        ranking.offer(0, "a".into(), &document(weights)).unwrap();
        assert!(ranking.offer(1, "a".into(), &document(vec![1.0])).is_err());
        let hits = ranking.finish();
        assert_eq!((hits.len(), hits[0].score), (1, 4.0));
    }

    fn document(value: impl Into<Output>) -> Embedded<Output> {
        Embedded { value: value.into(), tokens: 1, truncated: false }
    }

    fn found(query: Output, idf: bool, documents: Vec<Output>) -> Vec<(u64, f32)> {
        let mut ranking = Ranking::new(query, idf, 10).unwrap();
        for (index, value) in (0..).zip(documents) {
            ranking.offer(index, "a".into(), &document(value)).unwrap();
        }
        ranking.finish().iter().map(|hit| (hit.index, hit.score)).collect()
    }

    #[test]
    fn without_a_common_term_there_is_no_hit() {
        let weights = |pairs: &[(u32, f32)]| Output::Sparse(pairs.iter().copied().collect());
        let documents = || {
            vec![weights(&[(2, 1.0)]), weights(&[(1, -1.0)]), weights(&[]), weights(&[(1, 2.0)])]
        };
        assert_eq!(found(weights(&[(1, 1.0)]), false, documents()), [(3, 2.0), (1, -1.0)]);
        let with_idf = found(weights(&[(1, 1.0)]), true, documents());
        assert_eq!(with_idf.iter().map(|hit| hit.0).collect::<Vec<_>>(), [3, 1]);
        assert!(found(weights(&[]), false, documents()).is_empty());
        assert!(found(weights(&[]), true, documents()).is_empty());
    }

    #[test]
    fn a_right_angle_is_a_score_and_a_vector_of_zeros_has_none() {
        let documents = || {
            [[0.0, 1.0], [0.0, -0.0], [-1.0, 0.0]].map(|vector| Output::Dense(vector.into())).into()
        };
        let hits = found(Output::Dense(vec![1.0, 0.0]), false, documents());
        assert_eq!(hits, [(0, 0.0), (2, -1.0)]);
        assert!(found(Output::Dense(vec![0.0, 0.0]), false, documents()).is_empty());
        let many =
            |values: &[f32]| Output::MultiVector(MultiVector::new(values.to_vec(), 2).unwrap());
        let documents = || vec![many(&[]), many(&[0.0, 1.0]), many(&[0.0; 4]), many(&[2.0, 0.0])];
        assert_eq!(found(many(&[1.0, 0.0]), false, documents()), [(3, 2.0), (1, 0.0)]);
        assert!(found(many(&[]), false, documents()).is_empty());
    }
}
