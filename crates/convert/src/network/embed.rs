//! First layer of an encoder.

use super::Network;
use crate::Error;
use crate::encoder::{Embeddings, Positions, Table};
use crate::graph::Value;

impl Network<'_> {
    /// Sum of word, type and position embeddings, normalised.
    pub(super) fn embed(
        &mut self,
        embeddings: &Embeddings,
        token_types: bool,
    ) -> Result<Value, Error> {
        let mut x = self.look_up(&embeddings.words, "input_ids")?;
        if let Some(scale) = embeddings.scale {
            let scale = self.graph.float(scale);
            x = self.graph.add("Mul", &[&x, &scale]);
        }
        if let Some(types) = &embeddings.types {
            // A table of one row leaves no choice to the caller.
            let ids = if token_types && types.rows > 1 {
                self.graph.input("token_type_ids")
            } else {
                self.graph.ints(&[0])
            };
            let rows = self.look_up(types, &ids)?;
            x = self.graph.add("Add", &[&x, &rows]);
        }
        match &embeddings.positions {
            Positions::None => {}
            Positions::Absolute(table) => {
                let table = self.table(table)?;
                let (zero, length) = (self.graph.ints(&[0]), self.length());
                let rows = self.graph.add("Slice", &[&table, &zero, &length, &zero]);
                x = self.graph.add("Add", &[&x, &rows]);
            }
            Positions::PastPadding { table, padding } => {
                let positions = self.positions_past_padding(*padding);
                let rows = self.look_up(table, &positions)?;
                x = self.graph.add("Add", &[&x, &rows]);
            }
        }
        let x = self.optional_norm(&x, embeddings.norm.as_ref())?;
        match &embeddings.projection {
            Some(projection) => self.linear(&x, projection),
            None => Ok(x),
        }
    }

    /// Rows of a table.
    fn look_up(&mut self, table: &Table, ids: &str) -> Result<Value, Error> {
        let matrix = self.table(table)?;
        let rows = self.graph.add("Gather", &[&matrix, ids]);
        let Some(adapters) = table.adapters else { return Ok(rows) };
        let change = self.adapted_rows(ids, table, adapters)?;
        Ok(self.graph.add("Add", &[&rows, &change]))
    }

    /// Positions as RoBERTa counts them: padding has the position of its own id, the other tokens count
    /// up from there in order, wherever the padding is.
    fn positions_past_padding(&mut self, padding: usize) -> Value {
        let graph = &mut self.graph;
        let (padding, axis) = (graph.int(padding as i64), graph.int(1));
        let padded = graph.add("Equal", &["input_ids", &padding]);
        let real = graph.add("Not", &[&padded]);
        let real = self.cast_int(&real);
        let graph = &mut self.graph;
        let count = graph.add("CumSum", &[&real, &axis]);
        let count = graph.add("Mul", &[&count, &real]);
        graph.add("Add", &[&count, &padding])
    }
}
