//! Sparse vectors.

use std::collections::{BTreeMap, HashMap};

/// A sparse vector: weights of terms, by index.
///
/// Indices ascend. Each stands once, with one exception: MiniCOIL repeats an index where two of its
/// words fall on it, as the original does; the vector's component there is the sum.
///
/// ```
/// use embedkit_types::SparseEmbedding;
///
/// let document = SparseEmbedding::from_pairs([(7, 0.5), (2, 1.0)]);
/// let query = SparseEmbedding::from_pairs([(7, 2.0), (9, 1.0)]);
/// assert_eq!(document.indices(), [2, 7]);
/// assert_eq!(document.dot(&query), 1.0);
/// assert_eq!(document.top_k(1), SparseEmbedding::from_pairs([(2, 1.0)]));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Unchecked")
)]
pub struct SparseEmbedding {
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// The two lists of a [`SparseEmbedding`] as somebody else wrote them.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    indices: Vec<u32>,
    values: Vec<f32>,
}

#[cfg(feature = "serde")]
impl TryFrom<Unchecked> for SparseEmbedding {
    type Error = SparseError;

    fn try_from(lists: Unchecked) -> Result<Self, SparseError> {
        Self::new(lists.indices, lists.values)
    }
}

/// What is wrong with a sparse vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SparseError {
    /// The two lists do not belong together.
    #[error("{indices} indices cannot go with {values} values")]
    Lengths {
        /// Number of indices.
        indices: usize,
        /// Number of values.
        values: usize,
    },
    /// An index lies outside the dense vector that was asked for.
    #[error("the index {index} does not fit in a dense vector of {dim} dimensions")]
    Dim {
        /// The largest index.
        index: u32,
        /// Dimensions asked for.
        dim: usize,
    },
}

impl SparseEmbedding {
    /// A vector of indices, in any order, and the values that belong to them.
    ///
    /// # Errors
    /// [`SparseError::Lengths`].
    pub fn new(indices: Vec<u32>, values: Vec<f32>) -> Result<Self, SparseError> {
        if indices.len() != values.len() {
            let (indices, values) = (indices.len(), values.len());
            return Err(SparseError::Lengths { indices, values });
        }
        Ok(Self { indices, values }.sorted())
    }

    /// A vector of pairs of index and value, in any order. Pairs of one index stay in their order.
    #[must_use]
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u32, f32)>) -> Self {
        let (indices, values) = pairs.into_iter().unzip();
        Self { indices, values }.sorted()
    }

    fn sorted(self) -> Self {
        let Self { indices, values } = self;
        if indices.is_sorted() {
            return Self { indices, values };
        }
        let mut pairs: Vec<_> = indices.into_iter().zip(values).collect();
        pairs.sort_by_key(|&(index, _)| index);
        let (indices, values) = pairs.into_iter().unzip();
        Self { indices, values }
    }

    /// The indices, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The values, in the order of the indices.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Both lists.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u32>, Vec<f32>) {
        (self.indices, self.values)
    }

    /// Pairs of index and value, by ascending index.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, f32)> {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// Number of entries, explicit zeros included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no entry at all, as for a text without any term.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// From index to value; of a repeated index the last value.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<u32, f32> {
        self.iter().collect()
    }

    /// The dot product, summed in f64.
    #[must_use]
    pub fn dot(&self, other: &Self) -> f32 {
        let mut left = self.components().peekable();
        let mut right = other.components().peekable();
        let mut sum = 0.0;
        while let (Some(&(a, x)), Some(&(b, y))) = (left.peek(), right.peek()) {
            if a == b {
                sum += x * y;
            }
            if a <= b {
                left.next();
            }
            if b <= a {
                right.next();
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
        let sum = sum as f32;
        sum
    }

    /// The `k` entries with the largest absolute values; among equals those with the lower index.
    #[must_use]
    pub fn top_k(&self, k: usize) -> Self {
        if k >= self.len() {
            return self.clone();
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&a, &b| self.values[b].abs().total_cmp(&self.values[a].abs()));
        order.truncate(k);
        order.sort_unstable();
        Self {
            indices: order.iter().map(|&place| self.indices[place]).collect(),
            values: order.iter().map(|&place| self.values[place]).collect(),
        }
    }

    /// The dense vector with `dim` dimensions, such as the size of the vocabulary.
    ///
    /// # Errors
    /// [`SparseError::Dim`].
    pub fn to_dense(&self, dim: usize) -> Result<Vec<f32>, SparseError> {
        let fits = |&&index: &&u32| usize::try_from(index).is_ok_and(|index| index < dim);
        if let Some(&index) = self.indices.last().filter(|index| !fits(index)) {
            return Err(SparseError::Dim { index, dim });
        }
        let mut dense = vec![0.0; dim];
        for (index, value) in self.iter() {
            dense[index as usize] += value;
        }
        Ok(dense)
    }

    /// Indices with their components: repeated indices summed.
    pub(crate) fn components(&self) -> impl Iterator<Item = (u32, f64)> {
        let mut pairs = self.iter().peekable();
        std::iter::from_fn(move || {
            let (index, value) = pairs.next()?;
            let mut component = f64::from(value);
            while let Some((_, value)) = pairs.next_if(|&(next, _)| next == index) {
                component += f64::from(value);
            }
            Some((index, component))
        })
    }
}

impl FromIterator<(u32, f32)> for SparseEmbedding {
    fn from_iter<I: IntoIterator<Item = (u32, f32)>>(pairs: I) -> Self {
        Self::from_pairs(pairs)
    }
}

impl From<BTreeMap<u32, f32>> for SparseEmbedding {
    fn from(map: BTreeMap<u32, f32>) -> Self {
        Self::from_pairs(map)
    }
}

impl<S> From<HashMap<u32, f32, S>> for SparseEmbedding {
    fn from(map: HashMap<u32, f32, S>) -> Self {
        Self::from_pairs(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(u32, f32)]) -> SparseEmbedding {
        pairs.iter().copied().collect()
    }

    #[test]
    fn indices_ascend_and_values_follow() {
        let sorted = SparseEmbedding::new(vec![9, 1 << 31, 3], vec![0.1, 0.2, 0.3]).unwrap();
        assert_eq!(sorted.indices(), [3, 9, 1 << 31]);
        assert_eq!(sorted.values(), [0.3, 0.1, 0.2]);
        assert_eq!(SparseEmbedding::from(sorted.to_map()), sorted);
        let map: HashMap<u32, f32> = sorted.iter().collect();
        assert_eq!(SparseEmbedding::from(map), sorted);
        let error = SparseEmbedding::new(vec![1], vec![]).unwrap_err();
        assert_eq!(error, SparseError::Lengths { indices: 1, values: 0 });
    }

    #[test]
    fn the_dot_product_meets_equal_indices_only() {
        let a = vector(&[(1, 2.0), (5, 3.0), (u32::MAX, 0.5)]);
        let b = vector(&[(0, 9.0), (5, -1.0), (7, 9.0), (u32::MAX, 4.0)]);
        assert_eq!(a.dot(&b), -1.0);
        assert_eq!(b.dot(&a), -1.0);
        assert_eq!(a.dot(&SparseEmbedding::default()), 0.0);
    }

    #[test]
    fn repeated_indices_are_kept_and_count_as_their_sum() {
        let a = vector(&[(4, 1.0), (2, 7.0), (4, 0.5)]);
        assert_eq!((a.indices(), a.values()), (&[2, 4, 4][..], &[7.0, 1.0, 0.5][..]));
        assert_eq!(a.dot(&vector(&[(4, 2.0), (4, 1.0)])), 4.5);
        assert_eq!(a.to_dense(5).unwrap(), [0.0, 0.0, 7.0, 0.0, 1.5]);
        assert_eq!(a.to_map()[&4], 0.5);
    }

    #[test]
    fn the_dot_product_equals_that_of_the_dense_vectors() {
        let mut state = 3u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let mut random = || -> SparseEmbedding {
                (0..next(30)).map(|_| (next(40) as u32, next(9) as f32 - 4.0)).collect()
            };
            let (a, b) = (random(), random());
            let (x, y) = (a.to_dense(40).unwrap(), b.to_dense(40).unwrap());
            let expected: f32 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            assert_eq!(a.dot(&b), expected);
        }
    }

    #[test]
    fn pruning_keeps_the_largest_and_the_order() {
        let a = vector(&[(1, 0.5), (2, -3.0), (3, 0.5), (4, 1.0)]);
        assert_eq!(a.top_k(3), vector(&[(1, 0.5), (2, -3.0), (4, 1.0)]));
        assert_eq!(a.top_k(0), SparseEmbedding::default());
        assert_eq!(a.top_k(9), a);
    }

    #[test]
    fn a_dense_vector_has_room_for_every_index() {
        let a = vector(&[(3, 1.0)]);
        assert_eq!(a.to_dense(4).unwrap(), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(a.to_dense(3), Err(SparseError::Dim { index: 3, dim: 3 }));
        assert_eq!(SparseEmbedding::default().to_dense(0).unwrap(), Vec::<f32>::new());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn written_and_read_again() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Row {
            vector: SparseEmbedding,
        }
        let row = Row { vector: vector(&[(3, 0.1), (9, -2.0)]) };
        let text = toml::to_string(&row).unwrap();
        assert_eq!(toml::from_str::<Row>(&text).unwrap().vector, row.vector);
        let unsorted = "vector = { indices = [9, 3], values = [-2.0, 0.1] }";
        assert_eq!(toml::from_str::<Row>(unsorted).unwrap().vector, row.vector);
        let uneven = "vector = { indices = [9], values = [] }";
        assert!(toml::from_str::<Row>(uneven).is_err());
    }
}
