//! Token pooling: fewer vectors for a document, those of similar direction becoming one.

mod distances;
mod linkage;

use embedkit_core::l2_normalize;
use embedkit_types::{Error, MultiVector};

use self::distances::{Distances, cosine};
use crate::LateInteractionError;

/// Replaces similar vectors by their mean, so that about `len / factor` are left
/// ([Clavié, Chaffin and Adams 2024](https://arxiv.org/abs/2409.14683)).
///
/// The vectors are clustered hierarchically, by Ward's linkage on their cosine distances, and the
/// tree is cut where at most `ceil(len / factor)` clusters are left: SciPy's `linkage(pdist(x,
/// "cosine"), "ward")` and `fcluster(…, "maxclust")`, with the same clusters even where distances
/// are equal. Each cluster gives the mean of its vectors, scaled to unit length, and stands where its
/// first vector stood. Factor 1 leaves everything as it is.
///
/// ```
/// use embedkit_late_interaction::pool_tokens;
/// use embedkit_types::{Error, MultiVector};
///
/// let vectors = MultiVector::new(vec![1.0, 0.0, 0.0, 2.0, 3.0, 0.0], 2)?;
/// assert_eq!(pool_tokens(&vectors, 1.5)?.values(), [1.0, 0.0, 0.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LateInteractionError::PoolFactor`] for a factor that is below 1, infinite or no number,
/// [`LateInteractionError::NoDirection`] for a vector that is zero or not finite, and [`LateInteractionError::TooManyVectors`]
/// where there is no memory for a distance between any two.
pub fn pool_tokens(vectors: &MultiVector, factor: f64) -> Result<MultiVector, Error> {
    if !(factor >= 1.0 && factor.is_finite()) {
        return Err(LateInteractionError::PoolFactor { found: factor }.into());
    }
    if factor == 1.0 || vectors.is_empty() {
        return Ok(vectors.clone());
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of vectors, and a smaller one"
    )]
    let most = (vectors.len() as f64 / factor).ceil() as usize;
    let distances = cosine(vectors)?;
    let clusters = linkage::clusters(distances, most);
    Ok(means(vectors, &clusters))
}

/// The mean of each cluster's vectors, scaled to unit length. `clusters` has for each vector the
/// first one of its cluster.
fn means(vectors: &MultiVector, clusters: &[usize]) -> MultiVector {
    let dim = vectors.dim();
    // Where the cluster of each first vector goes.
    let mut places = vec![None; clusters.len()];
    let mut sums: Vec<f64> = Vec::new();
    let mut sizes: Vec<f64> = Vec::new();
    for (row, &first) in vectors.rows().zip(clusters) {
        let place = *places[first].get_or_insert_with(|| {
            sums.resize(sums.len() + dim, 0.0);
            sizes.push(0.0);
            sizes.len() - 1
        });
        sizes[place] += 1.0;
        for (sum, &value) in sums[place * dim..][..dim].iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    for (mean, size) in sums.chunks_exact_mut(dim).zip(sizes) {
        mean.iter_mut().for_each(|x| *x /= size);
        l2_normalize(mean);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
    let values = sums.into_iter().map(|x| x as f32).collect();
    MultiVector::new(values, dim).expect("whole vectors, of a dimension that was valid before")
}
