//! One state of each sequence.

use super::Network;
use crate::encoder::Pooling;
use crate::graph::{Attribute, FLOAT, Value};

/// ONNX's number for i32, in which the runtime finds the largest.
const INT32: i64 = 6;

impl Network<'_> {
    /// The state that `pooling` chooses, `[batch_size, width]`.
    pub(crate) fn pool(&mut self, hidden: &str, pooling: Pooling) -> Value {
        match pooling {
            Pooling::First => {
                let first = self.graph.int(0);
                let axis = [("axis", Attribute::Int(1))];
                self.graph.add_with("Gather", &[hidden, &first], &axis)
            }
            Pooling::Mean => self.mean(hidden),
            Pooling::TokenId(id) => {
                let id = self.graph.int(id as i64);
                let found = self.graph.add("Equal", &["input_ids", &id]);
                self.state_of_largest(hidden, &found)
            }
            Pooling::LargestId => self.state_of_largest(hidden, "input_ids"),
        }
    }

    /// The state at the first of the largest numbers of each row.
    fn state_of_largest(&mut self, hidden: &str, numbers: &str) -> Value {
        let numbers = self.cast(numbers, INT32);
        let axis = [("axis", Attribute::Int(1))];
        let place = self.graph.add_with("ArgMax", &[&numbers], &axis);
        let batches = [("batch_dims", Attribute::Int(1))];
        self.graph.add_with("GatherND", &[hidden, &place], &batches)
    }

    /// Mean of the states of all tokens but padding; zeros for a row of padding.
    fn mean(&mut self, hidden: &str) -> Value {
        let hidden = self.full(hidden);
        let mask = self.cast("attention_mask", FLOAT);
        let graph = &mut self.graph;
        let (tokens, last) = (graph.ints(&[1]), graph.ints(&[2]));
        let one = graph.full_floats("one", &[], &[1.0]);
        let mask = graph.add("Unsqueeze", &[&mask, &last]);
        let states = graph.add("Mul", &[&hidden, &mask]);
        let keep = [("keepdims", Attribute::Int(0))];
        let sum = graph.add_with("ReduceSum", &[&states, &tokens], &keep);
        let count = graph.add_with("ReduceSum", &[&mask, &tokens], &keep);
        let count = graph.add("Max", &[&count, &one]);
        let mean = graph.add("Div", &[&sum, &count]);
        self.own(&mean)
    }
}
