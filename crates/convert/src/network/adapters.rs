//! Low-rank adapters, chosen by the input `task_id`.

use super::Network;
use crate::Error;
use crate::encoder::{Adapters, Linear, Part, Table};
use crate::graph::{Attribute, INT64, Value};

impl Network<'_> {
    /// `scale · (x · Aᵀ) · Bᵀ` with the factors of the task, `A` `[rank, from]` and `B` `[to, rank]`.
    pub(super) fn adapted_product(
        &mut self,
        x: &str,
        linear: &Linear,
        adapters: Adapters,
    ) -> Result<Value, Error> {
        let &Linear { ref name, from, to, part, .. } = linear;
        let Adapters { tasks, rank, scale } = adapters;
        let [first, second] = Adapters::FACTORS.map(|factor| format!("{name}.{factor}"));
        let first = self.weight(&[first], &[tasks, rank, from])?;
        let second = self.weight(&[second], &[tasks, part.count * to, rank])?;
        let (first, second) = (self.of_task(&first), self.of_task(&second));
        let first = self.turn(&first);
        let second = self.rows_of_part(&second, to, part);
        let second = self.turn(&second);
        let graph = &mut self.graph;
        let scale = graph.float(scale);
        let low = graph.add("MatMul", &[x, &first]);
        let change = graph.add("MatMul", &[&low, &second]);
        Ok(graph.add("Mul", &[&change, &scale]))
    }

    /// `scale · A[ids] · B` with the factors of the task, `A` `[rows, rank]` and `B` `[rank, width]`.
    pub(super) fn adapted_rows(
        &mut self,
        ids: &str,
        table: &Table,
        adapters: Adapters,
    ) -> Result<Value, Error> {
        let &Table { ref name, rows, width, .. } = table;
        let Adapters { tasks, rank, scale } = adapters;
        let [first, second] = Adapters::FACTORS.map(|factor| format!("{name}.{factor}"));
        let first = self.weight(&[first], &[tasks, rows, rank])?;
        let second = self.weight(&[second], &[tasks, rank, width])?;
        let second = self.of_task(&second);
        let task = self.task();
        let graph = &mut self.graph;
        // All tasks as one table, so that only the rows that occur are read.
        let flat = graph.ints(&[-1, rank as i64]);
        let first = graph.add("Reshape", &[&first, &flat]);
        let (rows, scale) = (graph.int(rows as i64), graph.float(scale));
        let start = graph.add("Mul", &[&task, &rows]);
        let places = graph.add("Add", &[ids, &start]);
        let low = graph.add("Gather", &[&first, &places]);
        let change = graph.add("MatMul", &[&low, &second]);
        Ok(graph.add("Mul", &[&change, &scale]))
    }

    fn task(&mut self) -> Value {
        let graph = &mut self.graph;
        self.task.get_or_insert_with(|| graph.input_of("task_id", INT64, Vec::new())).clone()
    }

    /// The matrix of the task.
    fn of_task(&mut self, matrices: &str) -> Value {
        let task = self.task();
        self.graph.add_with("Gather", &[matrices, &task], &[("axis", Attribute::Int(0))])
    }

    fn rows_of_part(&mut self, matrix: &str, rows: usize, part: Part) -> Value {
        if part == Part::WHOLE {
            return matrix.to_owned();
        }
        let [start, end] =
            [part.index, part.index + 1].map(|at| self.graph.ints(&[(at * rows) as i64]));
        let axis = self.graph.ints(&[0]);
        self.graph.add("Slice", &[matrix, &start, &end, &axis])
    }
}
