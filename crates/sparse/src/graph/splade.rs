//! SPLADE++: `ln(1 + max(x, 0))` of each vocabulary entry's largest logit.

use embedkit_core::onnx::{Row, round_to};
use embedkit_types::{Error, SparseEmbedding};

/// The vector of one text from its logits `[tokens, vocabulary]`. The logarithm has the precision of
/// the graph, as in the original.
pub(super) fn finish(row: &Row<'_>) -> Result<SparseEmbedding, Error> {
    let entries = largest(row)?.into_iter().zip(0u32..).filter(|&(x, _)| x != 0.0);
    let (values, indices): (Vec<f64>, Vec<u32>) =
        entries.map(|(x, index)| (f64::from(x.ln_1p()), index)).unzip();
    Ok(indices.into_iter().zip(round_to(&values, row.half)).collect())
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
            // What is no number stays visible, unlike with `f32::max`. Always stored, so that the
            // compiler makes vector instructions of it.
            let keep = *largest >= logit || largest.is_nan();
            *largest = if keep { *largest } else { logit };
        }
    }
    Ok(largest)
}
