//! From the vectors of tokens to the one vector of a text.
//!
//! Sums are taken in f64 and rounded once, at the end, as FastEmbed 0.9.1 does.

use embedkit_types::{Pooling, TextDense};

use super::{round_to, text::Row};
use crate::{error::Error, l2_normalize};

/// Pools and, where the model asks for it, normalises one row. A half-precision graph's result is
/// rounded to half precision, since FastEmbed returns the graph's own type.
///
/// # Errors
/// [`Error::OutputShape`] where the output does not have the rank that the pooling needs.
pub fn finish_dense(row: &Row<'_>, task: &TextDense) -> Result<Vec<f32>, Error> {
    let mut vector = pool(row, task)?;
    if task.normalize {
        l2_normalize(&mut vector);
    }
    Ok(round_to(&vector, row.half))
}

fn pool(row: &Row<'_>, task: &TextDense) -> Result<Vec<f64>, Error> {
    let widened = |values: &[f32]| values.iter().copied().map(f64::from).collect();
    match (task.pooling, row.shape) {
        (Pooling::None, [_]) => Ok(widened(row.values)),
        (Pooling::None, _) => Err(row.shape_error("[texts, width] without pooling")),
        (Pooling::Cls, [_]) if task.accept_pooled => Ok(widened(row.values)),
        (Pooling::Cls, &[positions, width]) if positions > 0 => Ok(widened(&row.values[..width])),
        (Pooling::LastToken, &[positions, width]) if positions > 0 && row.per_token => {
            Ok(widened(&row.values[(positions - 1) * width..]))
        }
        (Pooling::Mean, &[_, width]) if row.per_token => Ok(mean(row.values, width, row.attended)),
        _ => Err(row.shape_error("[texts, tokens, width]")),
    }
}

/// The mean of the first `attended` vectors; zeros where there are none.
fn mean(values: &[f32], width: usize, attended: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for position in values.chunks_exact(width.max(1)).take(attended) {
        for (sum, &x) in sum.iter_mut().zip(position) {
            *sum += f64::from(x);
        }
    }
    // The floor is FastEmbed's; it only matters for a text without tokens.
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    let count = (attended as f64).max(1e-9);
    sum.iter_mut().for_each(|x| *x /= count);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_nothing_is_zero() {
        assert_eq!(mean(&[5.0, 7.0], 2, 0), [0.0, 0.0]);
        assert_eq!(mean(&[1.0, 2.0, 3.0, 6.0], 2, 2), [2.0, 4.0]);
    }
}
