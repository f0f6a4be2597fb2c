//! First layer of an encoder.

use super::Network;
use crate::Error;
use crate::encoder::{Embeddings, Positions};
use crate::graph::Value;

impl Network<'_> {
    /// Sum of word, type and position embeddings, normalised.
    pub(super) fn embed(
        &mut self,
        embeddings: &Embeddings,
        token_types: bool,
    ) -> Result<Value, Error> {
        let table = self.table(&embeddings.words)?;
        let mut x = self.graph.add("Gather", &[&table, "input_ids"]);
        if let Some(types) = &embeddings.types {
            let table = self.table(types)?;
            // A table of one row leaves no choice to the caller.
            let types = if token_types && types.rows > 1 {
                self.graph.input("token_type_ids")
            } else {
                self.graph.ints(&[0])
            };
            let rows = self.graph.add("Gather", &[&table, &types]);
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
                let table = self.table(table)?;
                let positions = self.positions_past_padding(*padding);
                let rows = self.graph.add("Gather", &[&table, &positions]);
                x = self.graph.add("Add", &[&x, &rows]);
            }
        }
        let x = self.optional_norm(&x, embeddings.norm.as_ref())?;
        match &embeddings.projection {
            Some(projection) => self.linear(&x, projection),
            None => Ok(x),
        }
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
