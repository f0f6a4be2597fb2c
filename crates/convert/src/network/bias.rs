//! Bias of the attention scores: padding, direction, window and distance.

use super::Network;
use crate::Error;
use crate::encoder::{Distance, ScoreBias, Table};
use crate::graph::{Attribute, Value};

/// Bias of a token that is not seen in f16: less than any score, and a sum with another bias is finite.
const HALF_LOWEST: f32 = -32_768.0;

impl Network<'_> {
    /// Bias of a layer's scores, the lowest f32 where a token is not seen. Built once for all layers
    /// that have it.
    pub(super) fn score_bias(&mut self, bias: &ScoreBias) -> Result<Option<Value>, Error> {
        if bias.unpadded {
            return Ok(None);
        }
        if let Some((_, value)) = self.biases.iter().find(|(known, _)| known == bias) {
            return Ok(Some(value.clone()));
        }
        let mut value = self.mask(bias);
        let distances = match &bias.distance {
            None => None,
            Some(Distance::Buckets { table, farthest }) => {
                Some(self.relative_bias(table, *farthest)?)
            }
            Some(Distance::Linear { slopes }) => Some(self.linear_bias(slopes)),
        };
        if let Some(distances) = distances {
            value = self.graph.add("Add", &[&distances, &value]);
        }
        self.biases.push((bias.clone(), value.clone()));
        Ok(Some(value))
    }

    /// The lowest f32 at padding and at tokens out of sight, else 0.
    fn mask(&mut self, bias: &ScoreBias) -> Value {
        let graph = &mut self.graph;
        let lowest = if graph.half { HALF_LOWEST } else { f32::MIN };
        let (axes, one, lowest) = (graph.ints(&[1, 2]), graph.float(1.0), graph.float(lowest));
        let mask = graph.add("Unsqueeze", &["attention_mask", &axes]);
        let mut mask = self.cast_float(&mask);
        if let Some(sight) = self.sight(bias) {
            mask = self.graph.add("Mul", &[&mask, &sight]);
        }
        let hidden = self.graph.add("Sub", &[&one, &mask]);
        self.graph.add("Mul", &[&hidden, &lowest])
    }

    /// 1 where a token (row) sees another (column) by its position, else 0.
    fn sight(&mut self, bias: &ScoreBias) -> Option<Value> {
        if !bias.causal && bias.window.is_none() {
            return None;
        }
        let distance = self.distances();
        let graph = &mut self.graph;
        let mut seen = bias.causal.then(|| {
            let zero = graph.int(0);
            graph.add("LessOrEqual", &[&distance, &zero])
        });
        if let Some(window) = bias.window {
            let reach = graph.int(window as i64);
            let far = graph.add("Abs", &[&distance]);
            let near = graph.add("LessOrEqual", &[&far, &reach]);
            seen = Some(match seen {
                Some(seen) => graph.add("And", &[&seen, &near]),
                None => near,
            });
        }
        seen.map(|seen| self.cast_float(&seen))
    }

    /// Position of each key minus that of each query, `[sequence_length, sequence_length]`.
    fn distances(&mut self) -> Value {
        let range = self.range();
        let graph = &mut self.graph;
        let (as_row, as_column) = (graph.ints(&[0]), graph.ints(&[1]));
        let to = graph.add("Unsqueeze", &[&range, &as_row]);
        let from = graph.add("Unsqueeze", &[&range, &as_column]);
        graph.add("Sub", &[&to, &from])
    }

    /// Learned bias by the distance of two tokens, `[heads, sequence_length, sequence_length]`. A table
    /// holds the bucket of every distance up to the farthest.
    fn relative_bias(&mut self, table: &Table, farthest: usize) -> Result<Value, Error> {
        let reach = farthest as i64;
        let buckets: Vec<_> = (-reach..=reach)
            .map(|distance| relative_bucket(distance, table.rows as i64, reach))
            .collect();
        let biases = self.table(table)?;
        let distance = self.distances();
        let graph = &mut self.graph;
        graph.int_table("relative_buckets", &buckets);
        let (zero, origin, last) = (graph.int(0), graph.int(reach), graph.int(2 * reach));
        let index = graph.add("Add", &[&distance, &origin]);
        let index = graph.add("Clip", &[&index, &zero, &last]);
        let bucket = graph.add("Gather", &["relative_buckets", &index]);
        let bias = graph.add("Gather", &[&biases, &bucket]);
        Ok(graph.add_with("Transpose", &[&bias], &[("perm", Attribute::Ints(&[2, 0, 1]))]))
    }

    /// Bias that falls with the distance, `[heads, sequence_length, sequence_length]`.
    fn linear_bias(&mut self, slopes: &[f32]) -> Value {
        let distance = self.distances();
        let distance = self.graph.add("Abs", &[&distance]);
        let distance = self.cast_float(&distance);
        let falls: Vec<_> = slopes.iter().map(|slope| -slope).collect();
        let slopes = self.graph.floats("slopes", &[falls.len() as u64, 1, 1], &falls);
        self.graph.add("Mul", &[&distance, &slopes])
    }
}

/// Bucket of a distance (key position minus query position), as MPNet and T5 define it. Half of the
/// buckets are for each direction. Half of these are for one small distance each, the rest for
/// logarithmic steps up to the farthest. Computed in f32 like the original, because truncation makes
/// the last bit count.
fn relative_bucket(distance: i64, buckets: i64, farthest: i64) -> i64 {
    let each = buckets / 2;
    let exact = each / 2;
    let side = if distance > 0 { each } else { 0 };
    let far = distance.abs();
    if far < exact {
        return side + far;
    }
    let steps = (far as f32 / exact as f32).ln() / (farthest as f64 / exact as f64).ln() as f32
        * (each - exact) as f32;
    side + (exact + steps as i64).min(each - 1)
}

#[cfg(test)]
mod tests {
    use super::relative_bucket;

    /// Distances at which the bucket changes in MPNet's PyTorch implementation, with the new bucket.
    #[test]
    fn buckets_change_where_pytorch_changes_them() {
        const BORDERS: [(i64, i64); 31] = [
            (-1024, 15),
            (-90, 14),
            (-63, 13),
            (-45, 12),
            (-31, 11),
            (-22, 10),
            (-15, 9),
            (-11, 8),
            (-7, 7),
            (-6, 6),
            (-5, 5),
            (-4, 4),
            (-3, 3),
            (-2, 2),
            (-1, 1),
            (0, 0),
            (1, 17),
            (2, 18),
            (3, 19),
            (4, 20),
            (5, 21),
            (6, 22),
            (7, 23),
            (8, 24),
            (12, 25),
            (16, 26),
            (23, 27),
            (32, 28),
            (46, 29),
            (64, 30),
            (91, 31),
        ];
        for distance in -1024..=1024 {
            let border = BORDERS.iter().rev().find(|(from, _)| *from <= distance).unwrap();
            assert_eq!(relative_bucket(distance, 32, 128), border.1, "distance {distance}");
        }
    }
}
