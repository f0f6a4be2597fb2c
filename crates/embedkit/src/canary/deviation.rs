//! Largest difference between two lists of outputs.

use embedkit_types::{Canonical, ErrorKind};

use crate::{
    Error,
    model::{difference::Difference, output::Output},
};

/// The largest difference between outputs and those that are expected.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Deviation {
    /// Its absolute value; NaN where one of two numbers is.
    pub largest: f32,
    /// Its place in words, such as `component 3 of input 0`; `None` where nothing differs.
    pub place: Option<String>,
    /// The largest number of all outputs by magnitude; at least 1 for scores, which may all be near 0.
    pub magnitude: f32,
}

impl Deviation {
    /// Compares outputs one by one.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for lists of different lengths, and those of [`Output::difference`].
    pub fn between(found: &[Output], expected: &[Output]) -> Result<Self, Error> {
        if found.len() != expected.len() {
            let (expected, found) = (expected.len(), found.len());
            let what = format!("expected {expected} results to compare, got {found}");
            return Err(Error::new(ErrorKind::Internal, what));
        }
        let mut all = Self { largest: 0.0, place: None, magnitude: 0.0 };
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let Difference { largest, place, .. } = found.difference(expected)?;
            // NaN is the largest.
            if largest > all.largest || largest.is_nan() && !all.largest.is_nan() {
                all.largest = largest;
                all.place = place.map(|place| format!("{place} of input {index}"));
            }
            let least = if matches!(expected, Output::Score(_)) { 1.0 } else { 0.0 };
            all.magnitude = all.magnitude.max(expected.magnitude()).max(least);
        }
        Ok(all)
    }

    /// Compares the vectors of the texts of `known` with the beginnings that are known.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for outputs that are no vectors, or that have fewer components.
    pub fn from_known(found: &[Output], known: &Canonical) -> Result<Self, Error> {
        let magnitude = found.iter().map(Output::magnitude).fold(0.0, f32::max);
        let mut beginnings = Vec::new();
        for (index, (output, vector)) in found.iter().zip(known.vectors.iter()).enumerate() {
            let Output::Dense(components) = output else {
                let what = format!("known results are of one vector, got {}", output.kind());
                return Err(Error::new(ErrorKind::InvalidInput, what));
            };
            let Some(beginning) = components.get(..vector.len()) else {
                let (expected, found) = (vector.len(), components.len());
                let what =
                    format!("input {index}: expected {expected} components or more, got {found}");
                return Err(Error::new(ErrorKind::InvalidInput, what));
            };
            beginnings.push(Output::Dense(beginning.to_vec()));
        }
        let vectors: Vec<_> =
            known.vectors.iter().map(|vector| Output::Dense(vector.to_vec())).collect();
        let deviation = Self::between(&beginnings, &vectors)?;
        Ok(Self { magnitude: magnitude.max(deviation.magnitude), ..deviation })
    }
}
