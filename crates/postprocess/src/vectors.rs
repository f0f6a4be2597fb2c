//! Views of the vectors of one input.

use embedkit_types::{Error, MultiVector};

use crate::MuveraError;

/// A view of the vectors of one input, in either precision.
///
/// The encoder takes a [`MultiVector`] directly; a view is for slices and for double precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vectors<'a> {
    values: Values<'a>,
    dim: usize,
}

/// The components, row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl<'a> Vectors<'a> {
    /// Creates a view of vectors of `dim` components, stored contiguously.
    ///
    /// # Errors
    /// `dim` is 0 or does not divide the number of components.
    pub fn from_f32(values: &'a [f32], dim: usize) -> Result<Self, Error> {
        whole(values.len(), dim)?;
        Ok(Self { values: Values::F32(values), dim })
    }

    /// Creates a view of vectors of `dim` components in double precision, stored contiguously.
    ///
    /// # Errors
    /// `dim` is 0 or does not divide the number of components.
    pub fn from_f64(values: &'a [f64], dim: usize) -> Result<Self, Error> {
        whole(values.len(), dim)?;
        Ok(Self { values: Values::F64(values), dim })
    }

    /// Number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.values {
            Values::F32(values) => values.len() / self.dim,
            Values::F64(values) => values.len() / self.dim,
        }
    }

    /// Returns `true` if there is no vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimension of the vectors.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn values(&self) -> Values<'a> {
        self.values
    }

    /// A component in double precision, by its index in the buffer.
    #[inline(always)]
    pub(crate) fn component(&self, place: usize) -> f64 {
        match self.values {
            Values::F32(values) => f64::from(values[place]),
            Values::F64(values) => values[place],
        }
    }
}

fn whole(values: usize, dim: usize) -> Result<(), MuveraError> {
    if dim == 0 {
        return Err(MuveraError::Zero { parameter: "dim" });
    }
    if !values.is_multiple_of(dim) {
        return Err(MuveraError::Ragged { values, dim });
    }
    Ok(())
}

/// Multi-vectors that can be encoded.
pub trait AsVectors {
    /// A view of the vectors.
    fn as_vectors(&self) -> Vectors<'_>;
}

impl AsVectors for MultiVector {
    fn as_vectors(&self) -> Vectors<'_> {
        Vectors { values: Values::F32(self.values()), dim: self.dim() }
    }
}

impl AsVectors for Vectors<'_> {
    fn as_vectors(&self) -> Vectors<'_> {
        *self
    }
}

impl<V: AsVectors + ?Sized> AsVectors for &V {
    fn as_vectors(&self) -> Vectors<'_> {
        (**self).as_vectors()
    }
}
