//! One state of each sequence.

use super::Network;
use crate::Error;
use crate::encoder::{Part, Pooling, Probe};
use crate::graph::{Attribute, FLOAT, Value};

/// ONNX's number for i32, in which the runtime finds the largest.
const INT32: i64 = 6;

impl Network<'_> {
    /// The state that `pooling` chooses, `[batch_size, width]`.
    pub(crate) fn pool(&mut self, hidden: &str, pooling: &Pooling) -> Result<Value, Error> {
        Ok(match pooling {
            Pooling::First => self.state_at(hidden, 0),
            Pooling::Last => self.state_at(hidden, -1),
            Pooling::LastAttended => {
                // The largest position among those of tokens, on whichever side the padding is.
                let range = self.range();
                let places = self.graph.add("Mul", &["attention_mask", &range]);
                self.state_of_largest(hidden, &places)
            }
            Pooling::Mean => self.mean(hidden),
            Pooling::TokenId(id) => {
                let id = self.graph.int(*id as i64);
                let found = self.graph.add("Equal", &["input_ids", &id]);
                self.state_of_largest(hidden, &found)
            }
            Pooling::LargestId => self.state_of_largest(hidden, "input_ids"),
            Pooling::Probe(probe) => self.probe(hidden, probe)?,
        })
    }

    fn state_at(&mut self, hidden: &str, place: i64) -> Value {
        let place = self.graph.int(place);
        self.graph.add_with("Gather", &[hidden, &place], &[("axis", Attribute::Int(1))])
    }

    /// Attention of one query to all states. The query depends on no input, so that the runtime
    /// computes it when it loads the graph.
    fn probe(&mut self, hidden: &str, probe: &Probe) -> Result<Value, Error> {
        let width = probe.norm.width;
        let query = self.weight(std::slice::from_ref(&probe.probe), &[1, 1, width])?;
        let query = self.probe_heads(&query, probe, 0, &[0, 2, 1, 3])?;
        let key = self.probe_heads(hidden, probe, 1, &[0, 2, 3, 1])?;
        let value = self.probe_heads(hidden, probe, 2, &[0, 2, 1, 3])?;
        let graph = &mut self.graph;
        let root = graph.float(((width / probe.heads) as f64).sqrt() as f32);
        let scores = graph.add("MatMul", &[&query, &key]);
        let scores = graph.add("Div", &[&scores, &root]);
        let weights = graph.add_with("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let context = graph.add("MatMul", &[&weights, &value]);
        // One row for each head of the one query.
        let shape = graph.ints(&[0, width as i64]);
        let context = graph.add("Reshape", &[&context, &shape]);
        let x = self.linear(&context, &probe.output)?;
        let inner = self.norm(&x, &probe.norm)?;
        let inner = self.mlp(&inner, &probe.mlp)?;
        Ok(self.graph.add("Add", &[&x, &inner]))
    }

    /// Projection `index` of queries, keys and values, split into heads and transposed.
    fn probe_heads(
        &mut self,
        x: &str,
        probe: &Probe,
        index: usize,
        perm: &[i64],
    ) -> Result<Value, Error> {
        let (width, part) = (probe.norm.width, Part { index, count: 3 });
        let [matrix, bias] = &probe.projections;
        let matrix = self.matrix(matrix, width, width, part)?;
        let bias = self.weight_part(bias, &[width], part)?;
        let x = self.graph.add("MatMul", &[x, &matrix]);
        let x = self.graph.add("Add", &[&x, &bias]);
        let shape = self.graph.ints(&[0, 0, probe.heads as i64, (width / probe.heads) as i64]);
        let x = self.graph.add("Reshape", &[&x, &shape]);
        Ok(self.transpose(&x, perm))
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
