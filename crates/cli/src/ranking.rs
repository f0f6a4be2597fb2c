//! Scoring documents for a query, and keeping the best.

use anyhow::{Context as _, Result, bail, ensure};
use embedkit::{
    Embedded, MultiVector, SparseEmbedding,
    scoring::{Idf, Ranked, TopK, cosine, max_sim},
};

use crate::{input::Item, stream::Done, value::Value};

/// An input with its score.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) index: u64,
    pub(crate) score: f32,
    pub(crate) item: Item,
    /// Whether the model saw less than the whole input.
    pub(crate) truncated: bool,
}

impl Hit {
    /// A result that is a score; `None` for an input without one.
    pub(crate) fn of(done: Done) -> Option<Self> {
        let Done { index, result } = done;
        let (item, Embedded { value, truncated, .. }) = result.ok()?;
        let Value::Score(score) = value else { return None };
        Some(Self { index, score, item, truncated })
    }
}

/// The best documents for one query, of those seen so far.
pub(crate) struct Ranking {
    score: Score,
    best: Best,
}

/// How a document is compared with the query.
enum Score {
    /// By the cosine of the angle.
    Cosine(Vec<f32>),
    /// By the dot product.
    Dot(SparseEmbedding),
    /// By the sum over the query's vectors of the best dot product with one of the document's.
    MaxSim(MultiVector),
    /// By the dot product times the inverse document frequency, which is known at the end.
    /// Beside it the hits of the documents that have a term of the query.
    Idf(Idf, Vec<Hit>),
}

impl Ranking {
    /// No documents yet; `limit` are kept. `idf` says whether weights count by how rare a term is
    /// among the documents.
    ///
    /// # Errors
    /// The query is nothing that documents are compared with.
    pub(crate) fn new(query: Value, idf: bool, limit: usize) -> Result<Self> {
        let score = match query {
            Value::Vector(query) => Score::Cosine(query),
            Value::Weights(query) if idf => Score::Idf(Idf::new(&query), Vec::new()),
            Value::Weights(query) => Score::Dot(query),
            Value::Vectors(query) => Score::MaxSim(query),
            Value::Score(_) => bail!("a score is nothing that can be searched"),
        };
        Ok(Self { score, best: Best::new(limit) })
    }

    /// Why there may be no hits.
    pub(crate) fn nothing(&self) -> &'static str {
        match &self.score {
            Score::Cosine(query) if is_zero(query) => {
                "nothing was found: the query's vector is all zeros"
            }
            Score::MaxSim(query) if is_zero(query.values()) => {
                "nothing was found: the query's vectors are all zeros"
            }
            Score::Cosine(_) | Score::MaxSim(_) => {
                "nothing was found: the vectors of all inputs are zeros"
            }
            Score::Dot(_) | Score::Idf(..) => {
                "nothing was found: no input has a term of the query that counts"
            }
        }
    }

    /// Another document. It is no hit where it has nothing to be compared by: no term of the query,
    /// or a vector of zeros, which has no angle.
    ///
    /// # Errors
    /// It is not of the kind or width of the query, or the score is not a number.
    pub(crate) fn offer(
        &mut self,
        index: u64,
        item: Item,
        document: Embedded<Value>,
    ) -> Result<()> {
        let Embedded { value, truncated, .. } = document;
        let hit = |score| Hit { index, score, item, truncated };
        let score = match (&mut self.score, &value) {
            (Score::Cosine(query), Value::Vector(document)) => {
                cosine(query, document).with_context(|| format!("input {index}"))?
            }
            (Score::Dot(query), Value::Weights(document)) => query.dot(document),
            (Score::MaxSim(query), Value::Vectors(document)) => {
                max_sim(query, document).map_err(embedkit::Error::from)?
            }
            (Score::Idf(idf, hits), Value::Weights(document)) => {
                if idf.push(document) {
                    hits.push(hit(0.0));
                }
                return Ok(());
            }
            _ => bail!("the query and the input {index} cannot be compared"),
        };
        let comparable = match (&self.score, &value) {
            (Score::Cosine(query), Value::Vector(document)) => {
                !is_zero(query) && !is_zero(document)
            }
            (Score::MaxSim(query), Value::Vectors(document)) => {
                !is_zero(query.values()) && !is_zero(document.values())
            }
            _ => score != 0.0,
        };
        if comparable {
            ensure!(!score.is_nan(), "the score of input {index} is not a number");
            self.best.push(hit(score));
        }
        Ok(())
    }

    /// The best documents, best first.
    pub(crate) fn finish(mut self) -> Vec<Hit> {
        if let Score::Idf(idf, hits) = self.score {
            for (Ranked { score, .. }, hit) in idf.scores().zip(hits) {
                if score != 0.0 {
                    self.best.push(Hit { score, ..hit });
                }
            }
        }
        self.best.into_sorted()
    }
}

/// True if there is no component but 0; so it is where there is none at all.
fn is_zero(values: &[f32]) -> bool {
    values.iter().all(|&value| value == 0.0)
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
    use super::*;

    fn hit(index: u64, score: f32) -> Hit {
        Hit { index, score, item: Item::Text("a".into()), truncated: false }
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
        let mut ranking = Ranking::new(Value::Weights(weights.clone()), false, 3).unwrap();
        let text = Item::Text("a".into());
        let document = |value| Embedded { value, tokens: 1, truncated: false };
        ranking.offer(0, text.clone(), document(Value::Weights(weights))).unwrap();
        assert!(ranking.offer(1, text, document(Value::Vector(vec![1.0]))).is_err());
        let hits = ranking.finish();
        assert_eq!((hits.len(), hits[0].score), (1, 4.0));
    }
    fn found(query: Value, idf: bool, documents: Vec<Value>) -> Vec<(u64, f32)> {
        let mut ranking = Ranking::new(query, idf, 10).unwrap();
        for (index, value) in (0..).zip(documents) {
            let document = Embedded { value, tokens: 1, truncated: false };
            ranking.offer(index, Item::Text("a".into()), document).unwrap();
        }
        ranking.finish().iter().map(|hit| (hit.index, hit.score)).collect()
    }

    #[test]
    fn without_a_common_term_there_is_no_hit() {
        let weights = |pairs: &[(u32, f32)]| {
            Value::Weights(pairs.iter().copied().collect::<SparseEmbedding>())
        };
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
            [[0.0, 1.0], [0.0, -0.0], [-1.0, 0.0]].map(|vector| Value::Vector(vector.into())).into()
        };
        let hits = found(Value::Vector(vec![1.0, 0.0]), false, documents());
        assert_eq!(hits, [(0, 0.0), (2, -1.0)]);
        assert!(found(Value::Vector(vec![0.0, 0.0]), false, documents()).is_empty());
        let many = |values: &[f32]| Value::Vectors(MultiVector::new(values.to_vec(), 2).unwrap());
        let documents = || vec![many(&[]), many(&[0.0, 1.0]), many(&[0.0; 4]), many(&[2.0, 0.0])];
        assert_eq!(found(many(&[1.0, 0.0]), false, documents()), [(3, 2.0), (1, 0.0)]);
        assert!(found(many(&[]), false, documents()).is_empty());
    }
}
