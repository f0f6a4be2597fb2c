//! Known results of a model, to compare with.

use crate::{List, Str};

/// Known results of a dense text model: the first components of the vectors of some raw texts.
///
/// ```
/// use embedkit_types::Canonical;
///
/// let known = Canonical {
///     texts: vec!["hello world".into()].into(),
///     vectors: vec![vec![0.5, -0.25].into()].into(),
///     tolerance: 1e-3,
/// };
/// assert_eq!(known.check(), Ok(()));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Canonical {
    /// The texts.
    pub texts: List<Str>,
    /// The first components of the vector of each text.
    pub vectors: List<List<f32>>,
    /// Largest difference of a component that is none.
    pub tolerance: f32,
}

impl Canonical {
    /// Checks that each text has a vector, and that all numbers are finite.
    ///
    /// # Errors
    /// The first thing that is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let Self { texts, vectors, tolerance } = self;
        if texts.is_empty() || texts.len() != vectors.len() {
            let (texts, vectors) = (texts.len(), vectors.len());
            return Err(format!(
                "expected a vector for each text, got {vectors} for {texts} texts"
            ));
        }
        if !(tolerance.is_finite() && *tolerance > 0.0) {
            return Err(format!("expected a tolerance above 0, got {tolerance}"));
        }
        let bad = |vector: &List<f32>| vector.is_empty() || vector.iter().any(|x| !x.is_finite());
        match vectors.iter().position(bad) {
            Some(at) => Err(format!("expected finite numbers in vector {at}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let known = |vectors: &[&[f32]], tolerance| Canonical {
            texts: vec!["a".into()].into(),
            vectors: vectors.iter().map(|vector| vector.to_vec().into()).collect::<Vec<_>>().into(),
            tolerance,
        };
        assert_eq!(known(&[&[1.0]], 1e-3).check(), Ok(()));
        for (known, why) in [
            (known(&[], 1e-3), "got 0 for 1"),
            (known(&[&[1.0], &[2.0]], 1e-3), "got 2 for 1"),
            (known(&[&[]], 1e-3), "vector 0"),
            (known(&[&[f32::NAN]], 1e-3), "vector 0"),
            (known(&[&[1.0]], 0.0), "got 0"),
            (known(&[&[1.0]], f32::INFINITY), "got inf"),
        ] {
            let error = known.check().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
