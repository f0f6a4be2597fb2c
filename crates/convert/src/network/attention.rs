//! Self-attention: heads, rotary positions, and keys and values that heads share.

use super::Network;
use crate::Error;
use crate::encoder::{Attention, Linear, Norm, Rotary};
use crate::graph::{Attribute, FLOAT, Value};

/// Cosines and sines of each position's angles, `[sequence_length, head_width / 2]`.
#[derive(Clone)]
pub(super) struct Rotation {
    cosines: Value,
    sines: Value,
}

impl Network<'_> {
    /// Attention with its output projection.
    pub(super) fn attend(&mut self, x: &str, attention: &Attention) -> Result<Value, Error> {
        let weights = self.attention_weights(x, attention)?;
        let &Attention { heads, kv_heads, head_width, .. } = attention;
        let value = self.split_heads(x, &attention.value, None, kv_heads, head_width)?;
        let value = self.transpose(&value, &[0, 2, 1, 3]);
        let weights = self.group(&weights, attention);
        let context = self.graph.add("MatMul", &[&weights, &value]);
        let context = self.ungroup(&context, attention);
        let context = self.transpose(&context, &[0, 2, 1, 3]);
        let shape = self.graph.ints(&[0, 0, (heads * head_width) as i64]);
        let context = self.graph.add("Reshape", &[&context, &shape]);
        self.linear(&context, &attention.output)
    }

    /// `softmax(q · kᵀ / scale + bias)`, `[batch_size, heads, sequence_length, sequence_length]`.
    pub(super) fn attention_weights(
        &mut self,
        x: &str,
        attention: &Attention,
    ) -> Result<Value, Error> {
        let &Attention { heads, kv_heads, head_width, .. } = attention;
        let bias = self.score_bias(&attention.bias)?;
        let rotation = attention.rotary.as_ref().map(|rotary| self.rotation(rotary));
        let norm = attention.query_norm.as_ref();
        let query = self.split_heads(x, &attention.query, norm, heads, head_width)?;
        let query = self.transpose(&query, &[0, 2, 1, 3]);
        let query = self.rotate(query, rotation.as_ref());
        let norm = attention.key_norm.as_ref();
        let key = self.split_heads(x, &attention.key, norm, kv_heads, head_width)?;
        let key = if rotation.is_some() {
            let key = self.transpose(&key, &[0, 2, 1, 3]);
            let key = self.rotate(key, rotation.as_ref());
            self.transpose(&key, &[0, 1, 3, 2])
        } else {
            self.transpose(&key, &[0, 2, 3, 1])
        };
        let relative = match &attention.disentangled {
            Some(relative) => self.disentangled(&query, &key, relative, attention)?,
            None => None,
        };
        let query = self.group(&query, attention);
        let mut scores = self.graph.add("MatMul", &[&query, &key]);
        if let Some(relative) = relative {
            scores = self.graph.add("Add", &[&scores, &relative]);
        }
        if attention.scale != 1.0 {
            let scale = self.graph.float(attention.scale as f32);
            scores = self.graph.add("Div", &[&scores, &scale]);
        }
        let scores = self.ungroup(&scores, attention);
        let scores = match bias {
            Some(bias) => self.graph.add("Add", &[&scores, &bias]),
            None => scores,
        };
        Ok(self.graph.add_with("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]))
    }

    /// Projects `x` and splits it into heads, `[batch_size, sequence_length, heads, head_width]`.
    fn split_heads(
        &mut self,
        x: &str,
        linear: &Linear,
        norm: Option<&Norm>,
        heads: usize,
        head_width: usize,
    ) -> Result<Value, Error> {
        let (together, each) = match norm {
            Some(norm) if norm.width == head_width => (None, Some(norm)),
            norm => (norm, None),
        };
        let x = self.linear(x, linear)?;
        let x = self.optional_norm(&x, together)?;
        let shape = self.graph.ints(&[0, 0, heads as i64, head_width as i64]);
        let x = self.graph.add("Reshape", &[&x, &shape]);
        self.optional_norm(&x, each)
    }

    /// Stacks the rows of the heads that share keys and values, `[batch_size, kv_heads, rows, …]`: one
    /// product serves them all, and nothing is copied.
    fn group(&mut self, x: &str, attention: &Attention) -> Value {
        self.regroup(x, attention, attention.kv_heads)
    }

    /// Undoes [`group`](Self::group): `[batch_size, heads, sequence_length, …]`.
    fn ungroup(&mut self, x: &str, attention: &Attention) -> Value {
        self.regroup(x, attention, attention.heads)
    }

    fn regroup(&mut self, x: &str, attention: &Attention, heads: usize) -> Value {
        if attention.heads == attention.kv_heads {
            return x.to_owned();
        }
        let shape = self.graph.ints(&[0, heads as i64, -1, 0]);
        self.graph.add("Reshape", &[x, &shape])
    }

    /// Cosines and sines, computed once for all layers.
    fn rotation(&mut self, rotary: &Rotary) -> Rotation {
        let known = self.rotations.iter().find(|(known, _)| known == rotary);
        if let Some((_, rotation)) = known {
            return rotation.clone();
        }
        let range = self.range();
        let positions = self.cast(&range, FLOAT);
        let graph = &mut self.graph;
        let name = format!("rotary_frequencies_{}", self.rotations.len());
        let frequencies =
            graph.full_floats(&name, &[1, rotary.frequencies.len() as u64], &rotary.frequencies);
        let axes = graph.ints(&[1]);
        let positions = graph.add("Unsqueeze", &[&positions, &axes]);
        let angles = graph.add("Mul", &[&positions, &frequencies]);
        let [cosines, sines] = ["Cos", "Sin"].map(|function| {
            let values = graph.add(function, &[&angles]);
            if rotary.scale == 1.0 {
                return values;
            }
            let name = format!("rotary_scale_{}", rotary.scale);
            let scale = graph.full_floats(&name, &[], &[rotary.scale]);
            graph.add("Mul", &[&values, &scale])
        });
        let (cosines, sines) = (self.own(&cosines), self.own(&sines));
        let rotation = Rotation { cosines, sines };
        self.rotations.push((rotary.clone(), rotation.clone()));
        rotation
    }

    /// Rotates each pair of the first and the second half of a head by its position's angle.
    fn rotate(&mut self, x: Value, rotation: Option<&Rotation>) -> Value {
        let Some(Rotation { cosines, sines }) = rotation else { return x };
        let graph = &mut self.graph;
        let axis = [("axis", Attribute::Int(-1))];
        let [first, second]: [Value; 2] = graph.add_many("Split", &[&x], &axis);
        let mut product = |x: &str, factor: &str| graph.add("Mul", &[x, factor]);
        let (a, b) = (product(&first, cosines), product(&second, sines));
        let (c, d) = (product(&second, cosines), product(&first, sines));
        let first = graph.add("Sub", &[&a, &b]);
        let second = graph.add("Add", &[&c, &d]);
        graph.add_with("Concat", &[&first, &second], &axis)
    }

    pub(super) fn transpose(&mut self, x: &str, perm: &[i64]) -> Value {
        self.graph.add_with("Transpose", &[x], &[("perm", Attribute::Ints(perm))])
    }
}
