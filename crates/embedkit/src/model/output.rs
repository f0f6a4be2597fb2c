//! Results of any model.

use std::fmt;

use embedkit_types::{ErrorKind, HybridEmbedding, MultiVector, SparseEmbedding, scoring::cosine};

use crate::Error;

/// The result of one input of a [`Model`](crate::Model).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// One vector.
    Dense(Vec<f32>),
    /// Weighted terms.
    Sparse(SparseEmbedding),
    /// Many vectors.
    MultiVector(MultiVector),
    /// A score: a raw logit, higher is better.
    Score(f32),
    /// Several of the first three, of one pass.
    Hybrid(HybridEmbedding),
}

/// Variant of [`Output`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputKind {
    /// One vector.
    Dense,
    /// Weighted terms.
    Sparse,
    /// Many vectors.
    MultiVector,
    /// A score.
    Score,
    /// Several embeddings.
    Hybrid,
}

impl OutputKind {
    /// The name in data, such as `dense`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::MultiVector => "multi-vector",
            Self::Score => "score",
            Self::Hybrid => "hybrid",
        }
    }
}

/// In words, such as `one vector`.
impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "one vector",
            Self::Sparse => "weighted terms",
            Self::MultiVector => "many vectors",
            Self::Score => "a score",
            Self::Hybrid => "several embeddings",
        })
    }
}

impl Output {
    /// The variant.
    #[must_use]
    pub fn kind(&self) -> OutputKind {
        match self {
            Self::Dense(_) => OutputKind::Dense,
            Self::Sparse(_) => OutputKind::Sparse,
            Self::MultiVector(_) => OutputKind::MultiVector,
            Self::Score(_) => OutputKind::Score,
            Self::Hybrid(_) => OutputKind::Hybrid,
        }
    }

    /// The vector of a dense model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another kind of output, as in the next four.
    pub fn into_dense(self) -> Result<Vec<f32>, Error> {
        if let Self::Dense(vector) = self { Ok(vector) } else { self.is_not(OutputKind::Dense) }
    }

    /// The weighted terms of a sparse model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another kind of output.
    pub fn into_sparse(self) -> Result<SparseEmbedding, Error> {
        if let Self::Sparse(terms) = self { Ok(terms) } else { self.is_not(OutputKind::Sparse) }
    }

    /// The vectors of a late-interaction model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another kind of output.
    pub fn into_multi_vector(self) -> Result<MultiVector, Error> {
        if let Self::MultiVector(vectors) = self {
            Ok(vectors)
        } else {
            self.is_not(OutputKind::MultiVector)
        }
    }

    /// The score of a reranker.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another kind of output.
    pub fn into_score(self) -> Result<f32, Error> {
        if let Self::Score(score) = self { Ok(score) } else { self.is_not(OutputKind::Score) }
    }

    /// Several embeddings of one text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another kind of output.
    pub fn into_hybrid(self) -> Result<HybridEmbedding, Error> {
        if let Self::Hybrid(parts) = self { Ok(parts) } else { self.is_not(OutputKind::Hybrid) }
    }

    fn is_not<T>(&self, expected: OutputKind) -> Result<T, Error> {
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the output is {}, not {expected}", self.kind()),
        ))
    }

    /// The score of a document for this query, higher is better: the cosine of dense vectors, the dot
    /// product of weighted terms, MaxSim of many vectors (feature `late-interaction`).
    ///
    /// ```
    /// use embedkit::Output;
    ///
    /// let query = Output::Dense(vec![1.0, 0.0]);
    /// assert_eq!(query.score(&Output::Dense(vec![2.0, 0.0]))?, 1.0);
    /// # Ok::<(), embedkit::Error>(())
    /// ```
    ///
    /// Of several embeddings it is the mean of the scores of those that both have, with MaxSim divided by the
    /// number of the query's vectors, as FlagEmbedding scores BGE-M3 unless other weights are chosen; for those
    /// take [the parts](Self::into_hybrid) and score them by themselves.
    ///
    /// Weights of terms count as they are: where a model [requires the inverse document
    /// frequency](crate::Capabilities::requires_idf), [`Idf`](crate::scoring::Idf) collects it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for two different kinds, for scores, and for vectors of different
    /// dimensions.
    pub fn score(&self, document: &Self) -> Result<f32, Error> {
        match (self, document) {
            (Self::Dense(query), Self::Dense(document)) => cosine(query, document)
                .map_err(|mismatch| Error::new(ErrorKind::InvalidInput, mismatch)),
            (Self::Sparse(query), Self::Sparse(document)) => Ok(query.dot(document)),
            (Self::MultiVector(query), Self::MultiVector(document)) => max_sim(query, document),
            (Self::Hybrid(query), Self::Hybrid(document)) => mean_score(query, document),
            (Self::Score(_), Self::Score(_)) => {
                Err(Error::new(ErrorKind::InvalidInput, "scores are not compared with each other"))
            }
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{} cannot be compared with {}", self.kind(), document.kind()),
            )),
        }
    }

    /// True if every number is zero, as where there is none: such a vector has no direction.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.parts().iter().all(|part| part.numbers().iter().all(|&number| number == 0.0))
    }

    /// The largest number by magnitude; 0 where there is none.
    #[must_use]
    pub fn magnitude(&self) -> f32 {
        let parts = self.parts();
        let numbers = parts.iter().flat_map(Part::numbers);
        numbers.fold(0.0, |largest, number| number.abs().max(largest))
    }

    /// Checks that every number is finite.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] that names the first NaN or infinity and its place.
    pub fn check_finite(&self) -> Result<(), Error> {
        self.parts().iter().try_for_each(Part::check_finite)
    }

    fn parts(&self) -> Vec<Part<'_>> {
        match self {
            Self::Dense(vector) => vec![Part::Dense(vector)],
            Self::Sparse(terms) => vec![Part::Sparse(terms)],
            Self::MultiVector(vectors) => vec![Part::MultiVector(vectors)],
            Self::Score(score) => vec![Part::Score(score)],
            Self::Hybrid(HybridEmbedding { dense, sparse, multi_vector }) => {
                let dense = dense.as_deref().map(Part::Dense);
                let sparse = sparse.as_ref().map(Part::Sparse);
                let multi_vector = multi_vector.as_ref().map(Part::MultiVector);
                [dense, sparse, multi_vector].into_iter().flatten().collect()
            }
        }
    }
}

/// An output that is not made of others.
enum Part<'a> {
    Dense(&'a [f32]),
    Sparse(&'a SparseEmbedding),
    MultiVector(&'a MultiVector),
    Score(&'a f32),
}

impl Part<'_> {
    /// All numbers, in order.
    fn numbers(&self) -> &[f32] {
        match self {
            Self::Dense(vector) => vector,
            Self::Sparse(terms) => terms.values(),
            Self::MultiVector(vectors) => vectors.values(),
            Self::Score(score) => std::slice::from_ref(*score),
        }
    }

    fn check_finite(&self) -> Result<(), Error> {
        let numbers = self.numbers();
        let Some(at) = numbers.iter().position(|number| !number.is_finite()) else {
            return Ok(());
        };
        let number = numbers[at];
        let place = match self {
            Self::Dense(_) => format!("component {at}"),
            Self::Sparse(terms) => format!("the value of index {}", terms.indices()[at]),
            Self::MultiVector(vectors) => {
                let dim = vectors.dim();
                format!("component {} of vector {}", at % dim, at / dim)
            }
            Self::Score(_) => {
                let what = format!("the score is not finite: {number}");
                return Err(Error::new(ErrorKind::Runtime, what));
            }
        };
        let what = format!("the embedding is not finite: {place} is {number}");
        Err(Error::new(ErrorKind::Runtime, what))
    }
}

#[cfg(feature = "late-interaction")]
fn max_sim(query: &MultiVector, document: &MultiVector) -> Result<f32, Error> {
    embedkit_late_interaction::max_sim(query, document)
}

#[cfg(not(feature = "late-interaction"))]
fn max_sim(_: &MultiVector, _: &MultiVector) -> Result<f32, Error> {
    let what = "this build has no MaxSim: it lacks the feature late-interaction";
    Err(Error::new(ErrorKind::Unsupported, what))
}

/// The mean of the scores of the parts that both have.
fn mean_score(query: &HybridEmbedding, document: &HybridEmbedding) -> Result<f32, Error> {
    let mut scores = Vec::with_capacity(3);
    if let (Some(query), Some(document)) = (&query.dense, &document.dense) {
        let score = cosine(query, document);
        scores.push(score.map_err(|mismatch| Error::new(ErrorKind::InvalidInput, mismatch))?);
    }
    if let (Some(query), Some(document)) = (&query.sparse, &document.sparse) {
        scores.push(query.dot(document));
    }
    if let (Some(query), Some(document)) = (&query.multi_vector, &document.multi_vector) {
        #[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
        let vectors = query.len().max(1) as f32;
        scores.push(max_sim(query, document)? / vectors);
    }
    if scores.is_empty() {
        let what = "the query and the document have no kind of embedding in common";
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    #[expect(clippy::cast_precision_loss, reason = "at most three")]
    let count = scores.len() as f32;
    Ok(scores.iter().sum::<f32>() / count)
}

impl From<Vec<f32>> for Output {
    fn from(vector: Vec<f32>) -> Self {
        Self::Dense(vector)
    }
}

impl From<SparseEmbedding> for Output {
    fn from(terms: SparseEmbedding) -> Self {
        Self::Sparse(terms)
    }
}

impl From<MultiVector> for Output {
    fn from(vectors: MultiVector) -> Self {
        Self::MultiVector(vectors)
    }
}

impl From<f32> for Output {
    fn from(score: f32) -> Self {
        Self::Score(score)
    }
}

/// One embedding is that of its kind.
impl From<HybridEmbedding> for Output {
    fn from(parts: HybridEmbedding) -> Self {
        match parts {
            HybridEmbedding { dense: Some(vector), sparse: None, multi_vector: None } => {
                Self::Dense(vector)
            }
            HybridEmbedding { dense: None, sparse: Some(terms), multi_vector: None } => {
                Self::Sparse(terms)
            }
            HybridEmbedding { dense: None, sparse: None, multi_vector: Some(vectors) } => {
                Self::MultiVector(vectors)
            }
            parts => Self::Hybrid(parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of a query and a document: cosine 0.5, dot product 4, MaxSim 3 of two vectors.
    #[cfg(feature = "late-interaction")]
    fn hybrids() -> [HybridEmbedding; 2] {
        let terms = |terms: &[(u32, f32)]| terms.iter().copied().collect();
        let vectors = |values: &[f32]| MultiVector::new(values.to_vec(), 2).unwrap();
        let query = HybridEmbedding {
            dense: Some(vec![1.0, 0.0]),
            sparse: Some(terms(&[(1, 2.0), (7, 9.0)])),
            multi_vector: Some(vectors(&[1.0, 0.0, 0.0, 1.0])),
        };
        let document = HybridEmbedding {
            dense: Some(vec![0.5, 0.75_f32.sqrt()]),
            sparse: Some(terms(&[(1, 2.0)])),
            multi_vector: Some(vectors(&[2.0, 0.0, 0.0, 1.0])),
        };
        [query, document]
    }

    #[cfg(feature = "late-interaction")]
    #[test]
    fn several_embeddings_score_by_the_mean() {
        let [query, document] = hybrids();
        let score = |query: &HybridEmbedding, document: &HybridEmbedding| {
            Output::from(query.clone()).score(&document.clone().into())
        };
        let all = score(&query, &document).unwrap();
        assert!((all - (0.5 + 4.0 + 1.5) / 3.0).abs() < 1e-6, "{all}");
        let two = HybridEmbedding { multi_vector: None, ..document.clone() };
        let common = score(&query, &two).unwrap();
        assert!((common - (0.5 + 4.0) / 2.0).abs() < 1e-6, "{common}");
        let dense = HybridEmbedding { sparse: None, multi_vector: None, ..query.clone() };
        assert!(matches!(Output::from(dense.clone()), Output::Dense(_)));
        assert!(score(&query, &dense).is_err(), "several cannot be compared with one");

        let output = Output::from(HybridEmbedding { dense: Some(vec![0.0, f32::NAN]), ..query });
        assert!(!output.is_zero());
        let error = output.check_finite().unwrap_err().to_string();
        assert!(error.ends_with("component 1 is NaN"), "{error}");
        assert_eq!(Output::from(document).magnitude(), 2.0);
    }

    fn sparse(terms: &[(u32, f32)]) -> Output {
        Output::Sparse(terms.iter().copied().collect())
    }

    fn many(values: &[f32]) -> Output {
        Output::MultiVector(MultiVector::new(values.to_vec(), 2).unwrap())
    }

    #[test]
    fn numbers_that_are_not_finite_are_named_with_their_place() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for (output, why) in [
            (Output::Dense(vec![0.0, nan]), "component 1 is NaN"),
            (sparse(&[(7, 1.0), (9, inf)]), "the value of index 9 is inf"),
            (many(&[0.0, 1.0, -inf, 3.0]), "component 0 of vector 1 is -inf"),
            (Output::Score(nan), "the score is not finite: NaN"),
        ] {
            let error = output.check_finite().unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
        Output::Dense(vec![0.0, f32::MAX]).check_finite().unwrap();
        many(&[]).check_finite().unwrap();
    }

    #[test]
    fn scores_are_those_of_the_kind() {
        let dense = |vector: &[f32]| Output::Dense(vector.to_vec());
        assert_eq!(dense(&[1.0, 0.0]).score(&dense(&[-3.0, 0.0])).unwrap(), -1.0);
        assert_eq!(sparse(&[(1, 2.0), (2, 1.0)]).score(&sparse(&[(1, 2.0)])).unwrap(), 4.0);
        #[cfg(feature = "late-interaction")]
        {
            let score = many(&[1.0, 0.0, 0.0, 1.0]).score(&many(&[2.0, 0.0, 0.0, 3.0]));
            assert_eq!(score.unwrap(), 5.0);
        }
        for (query, document) in [
            (dense(&[1.0]), dense(&[1.0, 2.0])),
            (dense(&[1.0]), sparse(&[(1, 1.0)])),
            (Output::Score(1.0), Output::Score(1.0)),
        ] {
            assert!(query.score(&document).is_err());
        }
    }

    #[test]
    fn zero_is_told_from_other_outputs() {
        assert!(many(&[]).is_zero() && many(&[0.0, -0.0]).is_zero() && sparse(&[]).is_zero());
        assert!(!Output::Dense(vec![0.0, 1e-45]).is_zero());
    }

    #[test]
    fn an_output_is_taken_out_as_its_kind() {
        assert_eq!(Output::Score(1.5).into_score().unwrap(), 1.5);
        assert_eq!(many(&[1.0, 2.0]).into_multi_vector().unwrap().len(), 1);
        assert_eq!(sparse(&[(3, 1.0)]).into_sparse().unwrap().indices(), [3]);
        let error = sparse(&[]).into_dense().unwrap_err();
        assert_eq!(error.to_string(), "the output is weighted terms, not one vector");
    }
}
