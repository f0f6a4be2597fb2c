//! From the vectors of tokens to the one vector of a text.
//!
//! Sums are taken in f64 and rounded once, at the end, as FastEmbed 0.9.1 does.

use embedkit_types::{Pooling, TextDense};

use super::{round_to, text::Row};
use crate::{Layers, error::Error, l2_normalize};

/// Pools one row, runs it through the layers and, where the model asks for it, normalises it. A
/// half-precision graph's result is rounded to half precision, since FastEmbed returns the graph's own
/// type.
///
/// # Errors
/// [`Error::OutputShape`] where the output does not have the rank that the pooling needs, and those of
/// [`Layers::apply`].
pub fn finish_dense(row: &Row<'_>, task: &TextDense, layers: &Layers) -> Result<Vec<f32>, Error> {
    let mut vector = pool(row, task)?;
    for &pooling in task.concat.iter() {
        vector.extend(pool_tokens(row, pooling)?);
    }
    let mut vector = layers.apply(vector)?;
    if task.normalize {
        l2_normalize(&mut vector);
    }
    Ok(round_to(&vector, row.half))
}

fn pool(row: &Row<'_>, task: &TextDense) -> Result<Vec<f64>, Error> {
    match (task.pooling, row.shape) {
        (Pooling::None, [_]) => Ok(widened(row.values)),
        (Pooling::None, _) => Err(row.shape_error("[texts, width] without pooling")),
        (Pooling::Cls, [_]) if task.accept_pooled => Ok(widened(row.values)),
        (pooling, _) => pool_tokens(row, pooling),
    }
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Pools the vectors of tokens, but not those of a prompt that is left out.
fn pool_tokens(row: &Row<'_>, pooling: Pooling) -> Result<Vec<f64>, Error> {
    let &[positions, width] = row.shape else {
        return Err(row.shape_error("[texts, tokens, width]"));
    };
    // Without a prompt the first vector is taken of whatever axis the graph has, as FastEmbed does.
    let of_tokens = row.per_token || (pooling == Pooling::Cls && row.unpooled == 0);
    if !of_tokens || positions == 0 {
        return Err(row.shape_error("[texts, tokens, width]"));
    }
    let tokens = Tokens { values: row.values, width, first: row.unpooled, end: row.attended };
    Ok(match pooling {
        Pooling::Cls if row.unpooled == 0 => widened(&row.values[..width]),
        // sentence-transformers takes the first token of all where the prompt leaves none.
        Pooling::Cls => widened(tokens.pooled().next().unwrap_or(&row.values[..width])),
        Pooling::LastToken if row.unpooled < positions => {
            widened(&row.values[(positions - 1) * width..])
        }
        Pooling::LastToken => vec![0.0; width],
        Pooling::Mean => tokens.mean(),
        Pooling::Max => tokens.max(),
        Pooling::MeanSqrtLen => tokens.mean_sqrt_len(),
        Pooling::WeightedMean => tokens.weighted_mean(),
        Pooling::None => return Err(row.shape_error("[texts, width] without pooling")),
    })
}

/// Vectors of tokens, of which those from `first` to `end` are pooled.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    values: &'a [f32],
    width: usize,
    first: usize,
    end: usize,
}

impl<'a> Tokens<'a> {
    fn pooled(self) -> impl Iterator<Item = &'a [f32]> {
        let count = self.end.saturating_sub(self.first);
        self.values.chunks_exact(self.width.max(1)).skip(self.first).take(count)
    }

    /// Number of pooled tokens. The floor is FastEmbed's; it only matters where there are none.
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    fn count(self) -> f64 {
        (self.end.saturating_sub(self.first) as f64).max(1e-9)
    }

    /// The sum of the vectors, each times the weight of its index among all; zeros where there are none.
    fn sum(self, weight: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sum = vec![0.0; self.width];
        for (index, vector) in self.pooled().enumerate() {
            let weight = weight(self.first + index);
            for (sum, &x) in sum.iter_mut().zip(vector) {
                *sum += weight * f64::from(x);
            }
        }
        sum
    }

    fn mean(self) -> Vec<f64> {
        divided(self.sum(|_| 1.0), self.count())
    }

    fn mean_sqrt_len(self) -> Vec<f64> {
        divided(self.sum(|_| 1.0), self.count().sqrt())
    }

    #[expect(clippy::cast_precision_loss, reason = "the index of a token")]
    fn weighted_mean(self) -> Vec<f64> {
        let weight = |index: usize| (index + 1) as f64;
        let total = (self.first..self.end).map(weight).sum::<f64>();
        divided(self.sum(weight), total.max(1e-9))
    }

    /// The largest component of the vectors each; zeros where there are none.
    fn max(self) -> Vec<f64> {
        let mut vectors = self.pooled();
        let Some(first) = vectors.next() else { return vec![0.0; self.width] };
        let mut max = first.to_vec();
        for vector in vectors {
            for (max, &x) in max.iter_mut().zip(vector) {
                // `f32::max` would drop NaN.
                if x > *max || x.is_nan() {
                    *max = x;
                }
            }
        }
        widened(&max)
    }
}

fn divided(mut vector: Vec<f64>, by: f64) -> Vec<f64> {
    vector.iter_mut().for_each(|x| *x /= by);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three tokens of which those from `first` to `end` are pooled.
    fn tokens(first: usize, end: usize) -> Tokens<'static> {
        Tokens { values: &[1.0, -2.0, 3.0, -6.0, 5.0, -1.0], width: 2, first, end }
    }

    #[test]
    fn poolings_are_by_their_formulas() {
        assert_eq!(tokens(0, 2).mean(), [2.0, -4.0]);
        assert_eq!(tokens(0, 3).max(), [5.0, -1.0]);
        assert_eq!(tokens(0, 2).mean_sqrt_len(), [4.0 / 2f64.sqrt(), -8.0 / 2f64.sqrt()]);
        // (1 + 2·3 + 3·5) / 6 and (−2 − 2·6 − 3) / 6
        assert_eq!(tokens(0, 3).weighted_mean(), [22.0 / 6.0, -17.0 / 6.0]);
    }

    #[test]
    fn a_prompt_is_left_out_and_positions_stay() {
        assert_eq!(tokens(1, 3).mean(), [4.0, -3.5]);
        assert_eq!(tokens(1, 3).max(), [5.0, -1.0]);
        assert_eq!(tokens(1, 3).weighted_mean(), [21.0 / 5.0, -15.0 / 5.0]);
        assert_eq!(tokens(1, 3).pooled().next(), Some(&[3.0, -6.0][..]));
    }

    #[test]
    fn nothing_is_pooled_to_zeros() {
        for none in [tokens(0, 0), tokens(3, 3), tokens(5, 3)] {
            for pooled in [none.mean(), none.max(), none.mean_sqrt_len(), none.weighted_mean()] {
                assert_eq!(pooled, [0.0, 0.0]);
            }
        }
    }
}
