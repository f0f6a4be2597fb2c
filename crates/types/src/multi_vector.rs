//! Many vectors for one input, in one piece of memory, and the trait of what makes them.

use std::slice::ChunksExact;

use crate::{LateMultimodal, LateText};

/// The vectors of one input: one per token or image patch, all of one dimension.
///
/// They lie one after another in a single buffer; no vector has an allocation of its own. There may
/// be none, but the dimension is never zero.
///
/// ```
/// use embedkit_types::MultiVector;
///
/// let vectors = MultiVector::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)?;
/// assert_eq!((vectors.len(), vectors.dim()), (2, 3));
/// assert_eq!(vectors.row(1), Some(&[4.0, 5.0, 6.0][..]));
/// assert!(vectors.rows().all(|row| row.len() == 3));
/// # Ok::<(), embedkit_types::MultiVectorError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Parts", into = "Parts")
)]
pub struct MultiVector {
    values: Vec<f32>,
    dim: usize,
}

impl MultiVector {
    /// Vectors of `dim` components from a buffer that holds them one after another. Nothing is
    /// copied.
    ///
    /// # Errors
    /// The dimension is zero, or does not divide the length of the buffer.
    pub fn new(values: Vec<f32>, dim: usize) -> Result<Self, MultiVectorError> {
        if dim == 0 {
            return Err(MultiVectorError::ZeroDim);
        }
        if !values.len().is_multiple_of(dim) {
            return Err(MultiVectorError::Ragged { values: values.len(), dim });
        }
        Ok(Self { values, dim })
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there is no vector at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Components of each vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All components, row by row: shape (`len`, `dim`).
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The buffer itself, row by row.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The vector at `index`, from 0.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        let start = index.checked_mul(self.dim)?;
        self.values.get(start..start.checked_add(self.dim)?)
    }

    /// All vectors as one array: shape (`len`, dimension).
    #[cfg(feature = "ndarray")]
    #[must_use]
    pub fn view(&self) -> ndarray::ArrayView2<'_, f32> {
        let shape = (self.len(), self.dim);
        ndarray::ArrayView2::from_shape(shape, &self.values).expect("the buffer has whole vectors")
    }

    /// The vectors in order.
    pub fn rows(&self) -> ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dim)
    }
}

impl<'a> IntoIterator for &'a MultiVector {
    type Item = &'a [f32];
    type IntoIter = ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows()
    }
}

/// Why a buffer is no [`MultiVector`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultiVectorError {
    /// Vectors without components.
    #[error("vectors of dimension 0 were given; a multi-vector needs at least dimension 1")]
    ZeroDim,
    /// The buffer ends within a vector.
    #[error("{values} components are not a whole number of vectors of dimension {dim}")]
    Ragged {
        /// Components in the buffer.
        values: usize,
        /// Components of each vector.
        dim: usize,
    },
}

/// What gives [`MultiVector`]s: a model of late interaction, or its description.
///
/// Post-processing asks it for the dimension and for nothing else, so it need not be loaded.
pub trait MultiVectorModel {
    /// Components of each vector.
    fn embedding_size(&self) -> usize;
}

impl<M: MultiVectorModel + ?Sized> MultiVectorModel for &M {
    fn embedding_size(&self) -> usize {
        (**self).embedding_size()
    }
}

impl MultiVectorModel for LateText {
    fn embedding_size(&self) -> usize {
        self.dim
    }
}

impl MultiVectorModel for LateMultimodal {
    fn embedding_size(&self) -> usize {
        self.dim
    }
}

/// What is written of a [`MultiVector`], and what is checked when one is read.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    dim: usize,
    values: Vec<f32>,
}

#[cfg(feature = "serde")]
impl TryFrom<Parts> for MultiVector {
    type Error = MultiVectorError;

    fn try_from(parts: Parts) -> Result<Self, MultiVectorError> {
        Self::new(parts.values, parts.dim)
    }
}

#[cfg(feature = "serde")]
impl From<MultiVector> for Parts {
    fn from(vectors: MultiVector) -> Self {
        Self { dim: vectors.dim, values: vectors.values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_views_of_one_buffer() {
        let vectors = MultiVector::new((0..6u8).map(f32::from).collect(), 2).unwrap();
        assert_eq!(vectors.len(), 3);
        assert_eq!(vectors.rows().collect::<Vec<_>>(), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]);
        assert_eq!(vectors.rows().len(), 3);
        for (index, row) in vectors.into_iter().enumerate() {
            assert!(std::ptr::eq(row, vectors.row(index).unwrap()));
        }
        assert_eq!(vectors.row(3), None);
        assert_eq!(vectors.row(usize::MAX), None);
        assert_eq!(vectors.into_values().len(), 6);
    }

    #[test]
    #[cfg(feature = "ndarray")]
    fn an_array_shows_the_same_buffer() {
        let vectors = MultiVector::new((0..6u8).map(f32::from).collect(), 2).unwrap();
        let view = vectors.view();
        assert_eq!((view.shape(), view[[2, 1]]), (&[3, 2][..], 5.0));
        assert!(std::ptr::eq(&raw const view[[0, 0]], vectors.values().as_ptr()));
        let none = MultiVector::new(Vec::new(), 4).unwrap();
        assert_eq!(none.view().shape(), [0, 4]);
    }

    #[test]
    fn no_vectors_are_vectors_too() {
        let none = MultiVector::new(Vec::new(), 4).unwrap();
        assert!(none.is_empty());
        assert_eq!((none.len(), none.rows().count(), none.row(0)), (0, 0, None));
    }

    #[test]
    fn the_buffer_has_to_be_whole() {
        let ragged = MultiVector::new(vec![0.0; 7], 3).unwrap_err();
        assert_eq!(ragged, MultiVectorError::Ragged { values: 7, dim: 3 });
        assert_eq!(
            ragged.to_string(),
            "7 components are not a whole number of vectors of dimension 3"
        );
        assert_eq!(MultiVector::new(Vec::new(), 0), Err(MultiVectorError::ZeroDim));
    }

    #[test]
    fn descriptions_know_their_dim() {
        let text = LateText { dim: 96, ..LateText::DEFAULT };
        let model: &dyn MultiVectorModel = &text;
        assert_eq!(model.embedding_size(), 96);
    }

    #[test]
    #[cfg(feature = "serde")]
    fn what_is_read_is_checked() {
        let vectors = MultiVector::new(vec![1.0, 2.5], 2).unwrap();
        let text = toml::to_string(&vectors).unwrap();
        assert_eq!(toml::from_str::<MultiVector>(&text).unwrap(), vectors);
        let error = toml::from_str::<MultiVector>("dim = 2\nvalues = [1.0]").unwrap_err();
        assert!(error.to_string().contains("not a whole number of vectors"), "{error}");
    }
}
