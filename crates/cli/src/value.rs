//! What a model gives for one input.

use anyhow::{Result, bail};
use embedkit::{MultiVector, SparseEmbedding};

/// The result of one input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Vector(Vec<f32>),
    Weights(SparseEmbedding),
    Vectors(MultiVector),
    Score(f32),
}

/// Which variant of [`Value`] a model gives, and something to call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Vector,
    Weights,
    Vectors,
    Score,
}

impl Shape {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vector => "one vector",
            Self::Weights => "weighted terms",
            Self::Vectors => "many vectors",
            Self::Score => "a score",
        }
    }
}

impl Value {
    /// A number that is none, or infinite, is an error and not a result.
    ///
    /// # Errors
    /// The first such number, with its place.
    pub(crate) fn check_finite(&self) -> Result<()> {
        let bad = |values: &[f32]| values.iter().position(|value| !value.is_finite());
        match self {
            Self::Vector(values) => {
                if let Some(at) = bad(values) {
                    bail!("the embedding is not finite: component {at} is {}", values[at]);
                }
            }
            Self::Weights(weights) => {
                if let Some(at) = bad(weights.values()) {
                    let (index, value) = (weights.indices()[at], weights.values()[at]);
                    bail!("the embedding is not finite: the value of index {index} is {value}");
                }
            }
            Self::Vectors(vectors) => {
                if let Some(at) = bad(vectors.values()) {
                    let (row, component) = (at / vectors.width(), at % vectors.width());
                    let value = vectors.values()[at];
                    bail!(
                        "the embedding is not finite: component {component} of vector {row} is {value}"
                    );
                }
            }
            Self::Score(score) => {
                if !score.is_finite() {
                    bail!("the score is not finite: {score}");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_named_with_their_place() {
        let nan = f32::NAN;
        let inf = f32::INFINITY;
        for (value, why) in [
            (Value::Vector(vec![0.0, nan]), "component 1 is NaN"),
            (Value::Weights([(7, 1.0), (9, inf)].into_iter().collect()), "index 9 is inf"),
            (
                Value::Vectors(MultiVector::new(vec![0.0, 1.0, -inf, 3.0], 2).unwrap()),
                "component 0 of vector 1 is -inf",
            ),
            (Value::Score(nan), "the score is not finite: NaN"),
        ] {
            let error = value.check_finite().unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
        Value::Vector(vec![0.0, f32::MAX]).check_finite().unwrap();
        Value::Vectors(MultiVector::new(vec![], 2).unwrap()).check_finite().unwrap();
    }
}
