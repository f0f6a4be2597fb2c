//! Scores by relative position, as in `DeBERTa`.
//!
//! A score needs the product of a token with the embedding of its distance to another. The original
//! multiplies each token with every embedding and gathers, with one index for each score. Here each token is
//! multiplied with one embedding for each distance in the order in which it needs them; a row begins
//! one column before the row above, so that slices of the flattened rows put every product into place.

use super::Network;
use crate::Error;
use crate::encoder::{Attention, Disentangled, Linear};
use crate::graph::{Attribute, Value};

impl Network<'_> {
    /// Sum of both products, `[batch_size, heads, sequence_length, sequence_length]`, for queries
    /// `[batch_size, heads, sequence_length, head_width]` and keys with the last two turned.
    pub(super) fn disentangled(
        &mut self,
        query: &str,
        key: &str,
        relative: &Disentangled,
        attention: &Attention,
    ) -> Result<Option<Value>, Error> {
        let mut sum = None;
        if let Some(linear) = &relative.key {
            let keys = self.position_heads(relative, linear, attention, Direction::Falling)?;
            let products = self.graph.add("MatMul", &[query, &keys]);
            sum = Some(self.shift(&products, attention));
        }
        if let Some(linear) = &relative.query {
            let queries = self.position_heads(relative, linear, attention, Direction::Rising)?;
            let key = self.transpose(key, &[0, 1, 3, 2]);
            let products = self.graph.add("MatMul", &[&key, &queries]);
            let shifted = self.shift(&products, attention);
            let shifted = self.transpose(&shifted, &[0, 1, 3, 2]);
            sum = Some(match sum {
                Some(sum) => self.graph.add("Add", &[&sum, &shifted]),
                None => shifted,
            });
        }
        Ok(sum)
    }

    /// Heads of the embeddings of all distances that occur, `[heads, head_width, 2 * sequence_length]`.
    /// The runtime computes those of the whole table when it loads the graph.
    fn position_heads(
        &mut self,
        relative: &Disentangled,
        linear: &Linear,
        attention: &Attention,
        direction: Direction,
    ) -> Result<Value, Error> {
        let table = self.table(&relative.table)?;
        let table = self.optional_norm(&table, relative.norm.as_ref())?;
        let heads = self.linear(&table, linear)?;
        let (count, width) = (attention.heads as i64, attention.head_width as i64);
        let shape = self.graph.ints(&[-1, count, width]);
        let heads = self.graph.add("Reshape", &[&heads, &shape]);
        let heads = self.transpose(&heads, &[1, 2, 0]);
        let rows = self.distance_rows(&relative.rows, direction);
        Ok(self.graph.add_with("Gather", &[&heads, &rows], &[("axis", Attribute::Int(2))]))
    }

    /// Rows of the table for the distances from one end of the sequence to the other, and one more.
    fn distance_rows(&mut self, rows: &[i64], direction: Direction) -> Value {
        if let Some((_, value)) = self.distance_rows.iter().find(|(known, _)| *known == direction) {
            return value.clone();
        }
        let length = self.length();
        let graph = &mut self.graph;
        graph.int_table("distance_rows", rows);
        let (zero, one, origin) = (graph.int(0), graph.int(1), graph.int(rows.len() as i64 / 2));
        let last = graph.int(rows.len() as i64 - 1);
        let length = graph.add("Squeeze", &[&length]);
        // From 1 - n to n for n tokens, or from n - 1 to -n.
        let distances = match direction {
            Direction::Rising => {
                let start = graph.add("Sub", &[&one, &length]);
                let end = graph.add("Add", &[&length, &one]);
                graph.add("Range", &[&start, &end, &one])
            }
            Direction::Falling => {
                let (start, step) = (graph.add("Sub", &[&length, &one]), graph.int(-1));
                let end = graph.add("Sub", &[&step, &length]);
                graph.add("Range", &[&start, &end, &step])
            }
        };
        let places = graph.add("Add", &[&distances, &origin]);
        let places = graph.add("Clip", &[&places, &zero, &last]);
        let value = graph.add("Gather", &["distance_rows", &places]);
        self.distance_rows.push((direction, value.clone()));
        value
    }

    /// Of `n` rows of `2n` products, row `i` from column `n - 1 - i` on: `[…, n, n]`.
    fn shift(&mut self, products: &str, attention: &Attention) -> Value {
        let length = self.length();
        let heads = attention.heads as i64;
        let graph = &mut self.graph;
        let (one, last_axis) = (graph.ints(&[1]), graph.ints(&[-1]));
        let (flat, zero) = (graph.ints(&[0, heads, -1]), graph.ints(&[0]));
        let start = graph.add("Sub", &[&length, &one]);
        let width = graph.add("Add", &[&length, &start]);
        let count = graph.add("Mul", &[&length, &width]);
        let end = graph.add("Add", &[&start, &count]);
        let batch = graph.ints(&[0, heads]);
        let rows =
            graph.add_with("Concat", &[&batch, &length, &width], &[("axis", Attribute::Int(0))]);
        let products = graph.add("Reshape", &[products, &flat]);
        let products = graph.add("Slice", &[&products, &start, &end, &last_axis]);
        let products = graph.add("Reshape", &[&products, &rows]);
        graph.add("Slice", &[&products, &zero, &length, &last_axis])
    }
}

/// Order of distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Rising,
    Falling,
}
