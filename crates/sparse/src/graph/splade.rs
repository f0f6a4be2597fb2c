//! SPLADE++: `ln(1 + max(x, 0))` of each vocabulary entry's largest logit.

use embedkit_core::onnx::Row;
use embedkit_types::SparseEmbedding;

use crate::Error;

/// The vector of one text from its logits `[tokens, vocabulary]`.
pub(super) fn finish(row: &Row<'_>) -> Result<SparseEmbedding, Error> {
    let entries = largest(row)?.into_iter().zip(0..);
    Ok(entries.filter(|&(x, _)| x != 0.0).map(|(x, index)| (index, x.ln_1p())).collect())
}

/// The largest logit of each vocabulary entry over the text's tokens, at least 0. The logarithm
/// does not change which is largest, so it is taken once, after the maximum.
pub(super) fn largest(row: &Row<'_>) -> Result<Vec<f32>, Error> {
    let &[_, vocabulary] = row.shape else {
        return Err(row.shape_error("[texts, tokens, vocabulary]").into());
    };
    if !row.per_token || vocabulary == 0 || u32::try_from(vocabulary).is_err() {
        return Err(row.shape_error("[texts, tokens, vocabulary]").into());
    }
    let mut largest = vec![0.0f32; vocabulary];
    for logits in row.values.chunks_exact(vocabulary).take(row.attended) {
        for (largest, &logit) in largest.iter_mut().zip(logits) {
            // What is no number stays visible, unlike with `f32::max`.
            if logit > *largest || logit.is_nan() {
                *largest = logit;
            }
        }
    }
    Ok(largest)
}
