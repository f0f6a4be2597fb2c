//! Scoring many vectors against many: MaxSim, the sum over a query's vectors of the largest product
//! with a vector of the document ([Khattab and Zaharia 2020](https://arxiv.org/abs/2004.12832),
//! formula 3).

mod kernel;

use std::{
    borrow::Borrow,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

use embedkit_types::{
    Error, MultiVector,
    scoring::{Ranked, top_k},
};

use self::kernel::Panels;
use crate::LateInteractionError;

/// Documents that are scored together by several queries: about so many components, a quarter of what a core's
/// second cache holds, so that the next query finds them there.
const CHUNK: usize = 1 << 16;
/// The same for a lone query, which leaves nothing to find: larger, since a chunk's first document is not prefetched.
const LONE_CHUNK: usize = 1 << 18;
/// Multiplications for which it pays to start a thread.
const WORTH_A_THREAD: usize = 4 << 20;

/// The MaxSim score of a query and a document.
///
/// For each vector of the query the largest of its dot products with the vectors of the document;
/// the sum of these. It is NaN where a dot product is, as it is wherever a vector has a component
/// that is NaN. A document without vectors scores negative infinity, and a query without vectors
/// gives every document 0.
///
/// ```
/// use embedkit_late_interaction::max_sim;
/// use embedkit_types::MultiVector;
///
/// let query = MultiVector::new(vec![1.0, 0.0, 0.0, 1.0], 2)?;
/// let document = MultiVector::new(vec![0.6, 0.8, 0.8, 0.6, 0.0, -1.0], 2)?;
/// assert_eq!(max_sim(&query, &document)?, 1.6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LateInteractionError::Dim`] where the two differ in dimension.
pub fn max_sim(query: &MultiVector, document: &MultiVector) -> Result<f32, Error> {
    check("the document", query.dim(), document)?;
    Ok(Panels::new(query.values(), query.dim()).score(document.values(), &[]))
}

/// Documents that queries are scored against.
///
/// The documents are read where they are; nothing is copied but the query. A score is that of
/// [`max_sim`], to the last bit, whatever is scored beside it and on however many threads.
///
/// ```
/// use embedkit_late_interaction::MaxSim;
/// use embedkit_types::{MultiVector, scoring::Ranked};
///
/// let documents = [
///     MultiVector::new(vec![0.0, 1.0], 2)?,
///     MultiVector::new(vec![1.0, 0.0, 0.6, 0.8], 2)?,
/// ];
/// let query = MultiVector::new(vec![1.0, 0.0, 0.0, 1.0], 2)?;
/// let documents = MaxSim::new(&documents)?;
/// assert_eq!(documents.score(&query)?, [1.0, 1.8]);
/// assert_eq!(documents.top_k(&query, 1)?, [Ranked { index: 1, score: 1.8 }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct MaxSim<'a, D> {
    documents: &'a [D],
    dim: Option<usize>,
    components: usize,
    threads: NonZeroUsize,
}

impl<'a, D: Borrow<MultiVector> + Sync> MaxSim<'a, D> {
    /// Documents, or references to them, scored on as many threads as this process may use.
    ///
    /// # Errors
    /// [`LateInteractionError::Dim`] where they differ in dimension.
    pub fn new(documents: &'a [D]) -> Result<Self, Error> {
        let dim = documents.first().map(|document| document.borrow().dim());
        let mut components = 0usize;
        for (index, document) in documents.iter().enumerate() {
            let document = document.borrow();
            if Some(document.dim()) != dim {
                check(&format!("document {index}"), dim.unwrap_or(0), document)?;
            }
            components = components.saturating_add(document.values().len());
        }
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Self { documents, dim, components, threads })
    }

    /// The same on at most `threads` threads.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// The score of every document, in their order.
    ///
    /// # Errors
    /// [`LateInteractionError::Dim`] where the query differs in dimension.
    pub fn score(&self, query: &MultiVector) -> Result<Vec<f32>, Error> {
        self.check("the query", query)?;
        Ok(self.scores(&[Panels::new(query.values(), query.dim())]))
    }

    /// For each query what [`score`](Self::score) gives for it. Documents are read from memory once
    /// for all queries, so that this is faster than one query after the other.
    ///
    /// # Errors
    /// [`LateInteractionError::Dim`] where a query differs in dimension.
    pub fn score_batch<Q: Borrow<MultiVector>>(
        &self,
        queries: &[Q],
    ) -> Result<Vec<Vec<f32>>, Error> {
        let mut panels = Vec::with_capacity(queries.len());
        for (index, query) in queries.iter().enumerate() {
            let query = query.borrow();
            self.check(&format!("query {index}"), query)?;
            panels.push(Panels::new(query.values(), query.dim()));
        }
        let scores = self.scores(&panels);
        let of = |query| scores.iter().skip(query).step_by(queries.len()).copied().collect();
        Ok((0..queries.len()).map(of).collect())
    }

    /// The `k` best documents, best first: of equal scores the earlier one, and NaN last.
    ///
    /// # Errors
    /// [`LateInteractionError::Dim`] where the query differs in dimension.
    pub fn top_k(&self, query: &MultiVector, k: usize) -> Result<Vec<Ranked>, Error> {
        Ok(top_k(self.score(query)?, k))
    }

    fn check(&self, what: &str, query: &MultiVector) -> Result<(), Error> {
        self.dim.map_or(Ok(()), |dim| check(what, dim, query))
    }

    /// Scores of all documents, for each of them those of all queries.
    fn scores(&self, queries: &[Panels]) -> Vec<f32> {
        let mut scores = vec![0.0; self.documents.len() * queries.len()];
        if scores.is_empty() {
            return scores;
        }
        let tokens: usize = queries.iter().map(Panels::tokens).sum();
        let threads = self.components.saturating_mul(tokens) / WORTH_A_THREAD;
        let work = Mutex::new(Chunks {
            documents: self.documents,
            scores: &mut scores,
            queries: queries.len(),
        });
        let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
        let run = || {
            while let Some((documents, scores)) = next() {
                let values =
                    |index| documents.get(index).map_or(&[][..], |one: &D| one.borrow().values());
                for (query, panels) in queries.iter().enumerate() {
                    let scores = scores.iter_mut().skip(query).step_by(queries.len());
                    for (index, score) in scores.enumerate() {
                        *score = panels.score(values(index), values(index + 1));
                    }
                }
            }
        };
        thread::scope(|scope| {
            // This thread is one of them, so that the work is done even where no other starts.
            for _ in 1..threads.min(self.threads.get()) {
                let started =
                    thread::Builder::new().name("max-sim".into()).spawn_scoped(scope, run);
                if started.is_err() {
                    break;
                }
            }
            run();
        });
        scores
    }
}

/// What is still to be scored: documents, and the places for their scores.
struct Chunks<'a, D> {
    documents: &'a [D],
    scores: &'a mut [f32],
    queries: usize,
}

impl<'a, D: Borrow<MultiVector>> Iterator for Chunks<'a, D> {
    type Item = (&'a [D], &'a mut [f32]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut components = 0;
        let fits = |document: &&D| {
            let first = components == 0;
            let document: &MultiVector = (*document).borrow();
            components += document.values().len();
            first || components <= if self.queries == 1 { LONE_CHUNK } else { CHUNK }
        };
        let count = self.documents.iter().take_while(fits).count();
        if count == 0 {
            return None;
        }
        let (documents, rest) = self.documents.split_at(count);
        let (scores, other) = std::mem::take(&mut self.scores).split_at_mut(count * self.queries);
        (self.documents, self.scores) = (rest, other);
        Some((documents, scores))
    }
}

fn check(what: &str, expected: usize, vectors: &MultiVector) -> Result<(), Error> {
    let found = vectors.dim();
    if found == expected {
        return Ok(());
    }
    Err(LateInteractionError::Dim { what: what.to_owned(), expected, found }.into())
}
