//! Scores of embeddings and the best of them, without a model and without a runtime.
//!
//! | embeddings | score |
//! |---|---|
//! | dense | [`cosine`]; [`dot`] where the vectors have unit length, as those of most models |
//! | sparse | [`SparseEmbedding::dot`](crate::SparseEmbedding::dot); [`Idf`] where the model leaves the inverse document frequency to the index |
//! | multi-vector | MaxSim, in the crate of the late-interaction models |
//!
//! [`top_k`] and [`TopK`] keep the best of any score, and [`reciprocal_rank_fusion`] makes one ranking
//! of several, such as those of a dense and a sparse search.
//!
//! ```
//! use embedkit_types::scoring::{cosine, top_k};
//!
//! let query = [1.0, 0.0];
//! let documents = [[0.0, 2.0], [3.0, 3.0], [5.0, 0.0]];
//! let scores = documents.iter().map(|document| cosine(&query, document));
//! let best = top_k(scores.collect::<Result<Vec<_>, _>>()?, 2);
//! assert_eq!(best.iter().map(|ranked| ranked.index).collect::<Vec<_>>(), [2, 1]);
//! # Ok::<(), embedkit_types::scoring::DimMismatch>(())
//! ```

mod fusion;
mod idf;
mod ranked;
mod top_k;

pub use fusion::{RRF_K, reciprocal_rank_fusion};
pub use idf::Idf;
pub use ranked::Ranked;
pub use top_k::{TopK, top_k};

/// Two vectors of different dimensions, which have no dot product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a vector of {expected} dimensions, got {found}")]
pub struct DimMismatch {
    /// Dimensions of the first vector.
    pub expected: usize,
    /// Dimensions of the second vector.
    pub found: usize,
}

/// Partial sums of a dot product: enough to fill the vector registers of a core.
const LANES: usize = 8;

/// The dot product of two vectors of f32, or of f64 as MUVERA makes them: accumulated in f64 and
/// rounded once. NaN where a component is.
///
/// ```
/// assert_eq!(embedkit_types::scoring::dot(&[1.0, 2.0], &[3.0, -1.0])?, 1.0);
/// # Ok::<(), embedkit_types::scoring::DimMismatch>(())
/// ```
///
/// # Errors
/// [`DimMismatch`].
pub fn dot<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> Result<f32, DimMismatch> {
    same_dim(a, b)?;
    Ok(round(accumulate(a, b)))
}

/// The cosine similarity of two vectors of f32 or f64, accumulated in f64 and rounded once: from -1 to 1, and 0 where one of the
/// vectors is all zeros. NaN where a component is.
///
/// ```
/// assert_eq!(embedkit_types::scoring::cosine(&[1.0, 0.0], &[0.0, 7.0])?, 0.0);
/// # Ok::<(), embedkit_types::scoring::DimMismatch>(())
/// ```
///
/// # Errors
/// [`DimMismatch`].
pub fn cosine<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> Result<f32, DimMismatch> {
    same_dim(a, b)?;
    let norms = (accumulate(a, a) * accumulate(b, b)).sqrt();
    Ok(if norms == 0.0 { 0.0 } else { round(accumulate(a, b) / norms) })
}

fn same_dim<T>(a: &[T], b: &[T]) -> Result<(), DimMismatch> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(DimMismatch { expected: a.len(), found: b.len() })
}

/// The dot product of vectors of one dimension. The order of the additions is fixed.
fn accumulate<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    let product = |a: T, b: T| -> f64 { a.into() * b.into() };
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += product(a[lane], b[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| product(a, b));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
fn round(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_products_of_any_dimension() {
        for dim in 0..40u16 {
            let a: Vec<f32> = (0..dim).map(f32::from).collect();
            let b: Vec<f32> = (0..dim).map(|i| f32::from(i % 3) - 1.0).collect();
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(dot(&a, &b), Ok(expected), "{dim}");
        }
        assert_eq!(dot(&[f32::MAX; 2], &[f32::MAX; 2]), Ok(f32::INFINITY));
        assert!(dot(&[f32::NAN, 1.0], &[0.0, 1.0]).unwrap().is_nan());
    }

    #[test]
    fn cosine_depends_on_the_angle_only() {
        assert_eq!(cosine(&[1.0, 0.0], &[5.0, 0.0]), Ok(1.0));
        assert_eq!(cosine(&[1.0, 1.0], &[-2.0, -2.0]), Ok(-1.0));
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), Ok(0.0));
        assert_eq!(cosine(&[1e38f32, 0.0], &[1e38, 0.0]), Ok(1.0));
        assert_eq!(cosine(&[f32::MAX; 3], &[f32::MIN; 3]), Ok(-1.0));
        assert_eq!(cosine(&[1e-45f32], &[1e-45]), Ok(1.0));
        assert!(cosine(&[f32::NAN, 1.0], &[0.0, 1.0]).unwrap().is_nan());
    }

    #[test]
    fn a_dot_product_needs_one_dimension() {
        let mismatch = DimMismatch { expected: 1, found: 2 };
        assert_eq!(dot(&[1.0], &[1.0, 2.0]), Err(mismatch));
        assert_eq!(cosine(&[1.0], &[1.0, 2.0]), Err(mismatch));
        assert_eq!(mismatch.to_string(), "expected a vector of 1 dimensions, got 2");
    }
}
