//! Mixture of experts: each token passes through the networks that its router prefers.
//!
//! Tokens are sorted by expert, so that each expert is one product of its own tokens and none is
//! computed in vain. Every operator is standard, and a token's result does not depend on the others.

use super::Network;
use crate::Error;
use crate::encoder::{Experts, Part};
use crate::graph::{Attribute, Value};

impl Network<'_> {
    pub(super) fn experts(&mut self, x: &str, experts: &Experts) -> Result<Value, Error> {
        let &Experts { count, chosen, width, .. } = experts;
        let rows = self.graph.ints(&[-1, width as i64]);
        let flat = self.graph.add("Reshape", &[x, &rows]);
        let [weights, choices] = self.route(&flat, experts)?;
        let list = self.graph.ints(&[-1]);
        let choices = self.graph.add("Reshape", &[&choices, &list]);
        let order = self.order(&choices);
        let every = self.graph.int(chosen as i64);
        let tokens = self.graph.add("Div", &[&order, &every]);
        let sorted = self.graph.add("Gather", &[&flat, &tokens]);
        let parts = self.split_by_expert(&sorted, &choices, count);
        let mut outputs = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            outputs.push(self.expert(part, experts, index)?);
        }
        let outputs: Vec<_> = outputs.iter().map(String::as_str).collect();
        let sorted = self.graph.add_with("Concat", &outputs, &[("axis", Attribute::Int(0))]);
        let back = self.order(&order);
        let outputs = self.graph.add("Gather", &[&sorted, &back]);
        self.combine(x, &outputs, &weights, experts)
    }

    /// Weights and numbers of the experts of each token, `[tokens, chosen]`.
    fn route(&mut self, flat: &str, experts: &Experts) -> Result<[Value; 2], Error> {
        let scores = self.linear(flat, &experts.router)?;
        let axis = [("axis", Attribute::Int(-1))];
        let scores = self.graph.add_with("Softmax", &[&scores], &axis);
        let chosen = self.graph.ints(&[experts.chosen as i64]);
        Ok(self.graph.add_many("TopK", &[&scores, &chosen], &axis))
    }

    /// Places of the numbers of a list in ascending order. Of an order it is the way back.
    fn order(&mut self, numbers: &str) -> Value {
        let count = self.graph.add("Shape", &[numbers]);
        let ascending = [("largest", Attribute::Int(0))];
        let [_, places] = self.graph.add_many("TopK", &[numbers, &count], &ascending);
        places
    }

    /// Cuts rows that are sorted by expert into those of each.
    fn split_by_expert(&mut self, sorted: &str, choices: &str, count: usize) -> Vec<Value> {
        let numbers: Vec<_> = (0..count as i64).collect();
        let graph = &mut self.graph;
        graph.int_table("experts", &numbers);
        let (column, rows) = (graph.ints(&[1]), graph.ints(&[0]));
        let choices = graph.add("Unsqueeze", &[choices, &column]);
        let own = graph.add("Equal", &[&choices, "experts"]);
        let own = self.cast_int(&own);
        let keep = [("keepdims", Attribute::Int(0))];
        let sizes = self.graph.add_with("ReduceSum", &[&own, &rows], &keep);
        self.graph.add_list("Split", &[sorted, &sizes], &[("axis", Attribute::Int(0))], count)
    }

    fn expert(&mut self, x: &str, experts: &Experts, index: usize) -> Result<Value, Error> {
        let &Experts { count, width, intermediate, activation, .. } = experts;
        let part = Part { index, count };
        let up = self.matrix(&experts.up, width, intermediate, part)?;
        let down = self.weight_part(&experts.down, &[intermediate, width], part)?;
        let inner = self.graph.add("MatMul", &[x, &up]);
        let inner = self.activate(&inner, activation);
        Ok(self.graph.add("MatMul", &[&inner, &down]))
    }

    /// Weighted sum of each token's experts, in the shape of `x`.
    fn combine(
        &mut self,
        x: &str,
        outputs: &str,
        weights: &str,
        experts: &Experts,
    ) -> Result<Value, Error> {
        let bias = self.weight(std::slice::from_ref(&experts.bias), &[experts.width])?;
        let graph = &mut self.graph;
        let by_token = graph.ints(&[-1, experts.chosen as i64, experts.width as i64]);
        let (last, middle) = (graph.ints(&[2]), graph.ints(&[1]));
        let outputs = graph.add("Reshape", &[outputs, &by_token]);
        let weights = graph.add("Unsqueeze", &[weights, &last]);
        let outputs = graph.add("Mul", &[&outputs, &weights]);
        let keep = [("keepdims", Attribute::Int(0))];
        let sum = graph.add_with("ReduceSum", &[&outputs, &middle], &keep);
        let shape = graph.add("Shape", &[x]);
        let sum = graph.add("Reshape", &[&sum, &shape]);
        Ok(graph.add("Add", &[&sum, &bias]))
    }
}
