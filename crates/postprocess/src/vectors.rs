//! The vectors of one input as the encoder sees them.

use embedkit_types::MultiVector;

use crate::Error;

/// A view of the vectors of one input, in either precision.
///
/// The encoder takes a [`MultiVector`] as it is; a view is for slices, and for double precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vectors<'a> {
    values: Values<'a>,
    width: usize,
}

/// The components, row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl<'a> Vectors<'a> {
    /// Vectors of `width` components, one after another.
    ///
    /// # Errors
    /// The width is zero or does not divide the number of components.
    pub fn from_f32(values: &'a [f32], width: usize) -> Result<Self, Error> {
        whole(values.len(), width).map(|()| Self { values: Values::F32(values), width })
    }

    /// Vectors of `width` components, one after another, in double precision.
    ///
    /// # Errors
    /// The width is zero or does not divide the number of components.
    pub fn from_f64(values: &'a [f64], width: usize) -> Result<Self, Error> {
        whole(values.len(), width).map(|()| Self { values: Values::F64(values), width })
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.values {
            Values::F32(values) => values.len() / self.width,
            Values::F64(values) => values.len() / self.width,
        }
    }

    /// Whether there is no vector at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Components of each vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn values(&self) -> Values<'a> {
        self.values
    }

    /// A component in double precision, by its place in the whole buffer.
    #[inline(always)]
    pub(crate) fn component(&self, place: usize) -> f64 {
        match self.values {
            Values::F32(values) => f64::from(values[place]),
            Values::F64(values) => values[place],
        }
    }
}

fn whole(values: usize, width: usize) -> Result<(), Error> {
    if width == 0 {
        return Err(Error::Zero { parameter: "dim" });
    }
    if !values.is_multiple_of(width) {
        return Err(Error::Ragged { values, width });
    }
    Ok(())
}

/// What can be encoded: the vectors of one input.
pub trait AsVectors {
    /// A view of the vectors.
    fn as_vectors(&self) -> Vectors<'_>;
}

impl AsVectors for MultiVector {
    fn as_vectors(&self) -> Vectors<'_> {
        Vectors { values: Values::F32(self.values()), width: self.width() }
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
