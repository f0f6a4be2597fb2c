//! SPLADE: `ln(1 + max(x, 0))` of each vocabulary entry's logits, the largest or the sum.

use embedkit_core::onnx::{Row, round_to};
use embedkit_types::{Error, SpladeConfig};

use crate::terms::Terms;

/// The terms of one text from its logits `[tokens, vocabulary]`. The logarithm has the precision of
/// the graph, as in the original.
pub(super) fn finish(row: &Row<'_>, facts: &SpladeConfig) -> Result<Terms, Error> {
    let weight = |x: f32| f64::from(if facts.log_twice { x.ln_1p().ln_1p() } else { x.ln_1p() });
    let entries = weights(row, facts, weight)?.into_iter().zip(0u32..);
    let entries = entries.filter(|&(weight, _)| weight != 0.0);
    let (values, indices): (Vec<f64>, Vec<u32>) = entries.unzip();
    let rounded = round_to(&values, row.half).into_iter().map(f64::from);
    Ok(indices.into_iter().zip(rounded).collect())
}

/// The weight of each vocabulary entry, where `weight` is that of a logit of at least 0.
pub(super) fn weights(
    row: &Row<'_>,
    facts: &SpladeConfig,
    weight: impl Fn(f32) -> f64,
) -> Result<Vec<f64>, Error> {
    if facts.sum {
        return sums(row, weight);
    }
    Ok(largest(row)?.into_iter().map(weight).collect())
}

/// The sum of each vocabulary entry's weights over the text's tokens.
fn sums(row: &Row<'_>, weight: impl Fn(f32) -> f64) -> Result<Vec<f64>, Error> {
    let vocabulary = vocabulary(row)?;
    let mut sums = vec![0.0; vocabulary];
    for logits in row.values.chunks_exact(vocabulary).take(row.attended) {
        for (sum, &logit) in sums.iter_mut().zip(logits) {
            // Not `f32::max`, which would drop NaN.
            *sum += weight(if logit < 0.0 { 0.0 } else { logit });
        }
    }
    Ok(sums)
}

fn vocabulary(row: &Row<'_>) -> Result<usize, Error> {
    match *row.shape {
        [_, vocabulary] if row.per_token && vocabulary > 0 && u32::try_from(vocabulary).is_ok() => {
            Ok(vocabulary)
        }
        _ => Err(row.shape_error("[texts, tokens, vocabulary]").into()),
    }
}

/// The largest logit of each vocabulary entry over the text's tokens, at least 0. The logarithm
/// does not change which is largest, so it is taken once, after the maximum.
fn largest(row: &Row<'_>) -> Result<Vec<f32>, Error> {
    let vocabulary = vocabulary(row)?;
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
