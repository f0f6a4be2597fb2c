//! Differences between two outputs of one input.

use std::fmt;

use embedkit_types::{ErrorKind, HybridEmbedding, SparseEmbedding};

use super::output::Output;
use crate::Error;

/// The largest difference between two outputs, and its place.
///
/// ```
/// use embedkit::Output;
///
/// let (one, other) = (Output::Dense(vec![0.0, 0.5]), Output::Dense(vec![0.0, 0.25]));
/// let difference = one.difference(&other)?;
/// assert_eq!(difference.largest, 0.25);
/// assert_eq!(difference.to_string(), "0.25 at component 1");
/// # Ok::<(), embedkit::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Its absolute value; NaN where one of two numbers is.
    pub largest: f32,
    /// Its place in words, such as `component 3`; `None` where nothing differs.
    pub place: Option<String>,
}

impl Difference {
    const NONE: Self = Self { largest: 0.0, place: None };

    /// The larger one of two; NaN is the largest.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if other.largest > self.largest || other.largest.is_nan() { other } else { self }
    }

    fn between(one: f32, other: f32, place: impl FnOnce() -> String) -> Self {
        // Equal infinities differ by NaN.
        if one.to_bits() == other.to_bits() || one == other {
            return Self::NONE;
        }
        Self { largest: (one - other).abs(), place: Some(place()) }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} at {place}", self.largest),
            None => f.write_str("none"),
        }
    }
}

impl Output {
    /// The largest difference from another output of the same kind and size. A term that only one of two
    /// sparse outputs has counts with its weight.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for outputs of different kinds or sizes.
    pub fn difference(&self, other: &Self) -> Result<Difference, Error> {
        let unlike = |what: String| Err(Error::new(ErrorKind::InvalidInput, what));
        match (self, other) {
            (Self::Dense(one), Self::Dense(other)) if one.len() == other.len() => {
                Ok(numbers(one, other, |at| format!("component {at}")))
            }
            (Self::MultiVector(one), Self::MultiVector(other))
                if one.dim() == other.dim() && one.len() == other.len() =>
            {
                let dim = one.dim();
                Ok(numbers(one.values(), other.values(), |at| {
                    format!("component {} of vector {}", at % dim, at / dim)
                }))
            }
            (Self::Sparse(one), Self::Sparse(other)) => Ok(terms(one, other)),
            (Self::Score(one), Self::Score(other)) => {
                Ok(Difference::between(*one, *other, || "the score".to_owned()))
            }
            (Self::Hybrid(one), Self::Hybrid(other)) => parts(one, other),
            (Self::Dense(one), Self::Dense(other)) => unlike(format!(
                "one vector has {} components, the other {}",
                one.len(),
                other.len()
            )),
            (Self::MultiVector(one), Self::MultiVector(other)) => unlike(format!(
                "one output has {} vectors of {} components, the other {} of {}",
                one.len(),
                one.dim(),
                other.len(),
                other.dim()
            )),
            _ => unlike(format!("{} differ from {} in kind", self.kind(), other.kind())),
        }
    }
}

/// The largest difference of the parts.
fn parts(one: &HybridEmbedding, other: &HybridEmbedding) -> Result<Difference, Error> {
    let outputs = |parts: &HybridEmbedding| {
        let HybridEmbedding { dense, sparse, multi_vector } = parts.clone();
        let vectors = multi_vector.map(Output::MultiVector);
        [dense.map(Output::Dense), sparse.map(Output::Sparse), vectors]
    };
    let mut largest = Difference::NONE;
    for pair in outputs(one).into_iter().zip(outputs(other)) {
        match pair {
            (None, None) => {}
            (Some(one), Some(other)) => largest = largest.or(one.difference(&other)?),
            _ => {
                let what = "one output has a kind of embedding that the other lacks";
                return Err(Error::new(ErrorKind::InvalidInput, what));
            }
        }
    }
    Ok(largest)
}

fn numbers(one: &[f32], other: &[f32], place: impl Fn(usize) -> String) -> Difference {
    let pairs = one.iter().zip(other).enumerate();
    pairs
        .map(|(at, (&one, &other))| Difference::between(one, other, || place(at)))
        .fold(Difference::NONE, Difference::or)
}

fn terms(one: &SparseEmbedding, other: &SparseEmbedding) -> Difference {
    let weight = |terms: &SparseEmbedding, index: u32| {
        // A term may be there more than once.
        let pairs = terms.indices().iter().zip(terms.values());
        pairs.filter(|&(&known, _)| known == index).map(|(_, &value)| value).sum::<f32>()
    };
    let indices = one.indices().iter().chain(other.indices());
    indices
        .map(|&index| {
            Difference::between(weight(one, index), weight(other, index), || {
                format!("the weight of index {index}")
            })
        })
        .fold(Difference::NONE, Difference::or)
}

#[cfg(test)]
mod tests {
    use embedkit_types::MultiVector;

    use super::*;

    fn sparse(terms: &[(u32, f32)]) -> Output {
        Output::Sparse(terms.iter().copied().collect())
    }

    fn many(values: &[f32]) -> Output {
        Output::MultiVector(MultiVector::new(values.to_vec(), 2).unwrap())
    }

    #[test]
    fn the_largest_difference_has_a_place() {
        let dense = |vector: &[f32]| Output::Dense(vector.to_vec());
        for (one, other, largest, place) in [
            (dense(&[1.0, 2.0]), dense(&[1.0, 2.0]), 0.0, "none"),
            (dense(&[1.0, 2.0, 3.0]), dense(&[1.5, 0.0, 2.0]), 2.0, "2 at component 1"),
            (many(&[0.0, 0.0, 0.0, 1.0]), many(&[0.0; 4]), 1.0, "1 at component 1 of vector 1"),
            (
                sparse(&[(7, 1.0)]),
                sparse(&[(7, 1.0), (9, 0.5)]),
                0.5,
                "0.5 at the weight of index 9",
            ),
            (Output::Score(1.0), Output::Score(-1.0), 2.0, "2 at the score"),
        ] {
            let found = one.difference(&other).unwrap();
            assert_eq!((found.largest, &*found.to_string()), (largest, place));
        }
    }

    #[test]
    fn nothing_is_larger_than_nan() {
        let nan = Output::Dense(vec![f32::NAN, 0.0, 5.0]);
        let found = nan.difference(&Output::Dense(vec![0.0, 0.0, 0.0])).unwrap();
        assert!(found.largest.is_nan());
        assert_eq!(found.place.as_deref(), Some("component 0"));
        assert_eq!(nan.difference(&nan).unwrap().largest, 0.0, "the same bits are the same");
    }

    #[test]
    fn outputs_that_are_unlike_are_refused() {
        for (one, other) in [
            (Output::Dense(vec![1.0]), Output::Dense(vec![1.0, 2.0])),
            (many(&[1.0, 2.0]), many(&[])),
            (Output::Dense(vec![1.0]), Output::Score(1.0)),
        ] {
            assert!(one.difference(&other).is_err());
        }
    }
}
