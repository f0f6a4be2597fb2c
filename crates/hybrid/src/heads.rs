//! The heads of a model, and what they make of the rows of its graph.

use embedkit_core::{
    Layers, l2_normalize,
    onnx::{Row, TokenWeights, round_to},
    tokenizer::{Tokenizer, Tokens},
};
use embedkit_types::{
    Error, GraphOutput, HybridEmbedding, HybridHeads, Layer, ModelFiles, MultiVector, Outputs,
    TextHybrid,
};

/// Heads that are opened: those that are asked for.
#[derive(Debug)]
pub(crate) struct Heads {
    wanted: Outputs,
    weights: Option<TokenWeights>,
    /// Layer to the vectors of tokens; none where they come from the graph.
    multi_vector: Layers,
    /// True where all heads read the vectors of tokens.
    shared: bool,
}

impl Heads {
    /// Opens the heads, and lists the graph's outputs that they read.
    pub(crate) fn open(
        task: &TextHybrid,
        wanted: Outputs,
        files: &ModelFiles,
        tokenizer: &Tokenizer,
    ) -> Result<(Self, Vec<GraphOutput>), Error> {
        let weights = |head| TokenWeights::open(files, head, &task.skip_tokens, tokenizer);
        match &task.heads {
            HybridHeads::Layers { output, sparse, multi_vector } => {
                let sparse = sparse.as_ref().filter(|_| wanted.sparse);
                let layers: Vec<_> = multi_vector.iter().filter(|_| wanted.multi_vector).collect();
                let layers: Vec<_> = layers.into_iter().cloned().map(Layer::Dense).collect();
                let heads = Self {
                    wanted,
                    weights: sparse.map(|head| weights(Some(head))).transpose()?,
                    multi_vector: Layers::open(files, &layers)?,
                    shared: true,
                };
                Ok((heads, vec![output.clone()]))
            }
            HybridHeads::Outputs { dense, sparse, multi_vector } => {
                let outputs = [
                    Some(dense).filter(|_| wanted.dense),
                    sparse.as_ref().filter(|_| wanted.sparse),
                    multi_vector.as_ref().filter(|_| wanted.multi_vector),
                ];
                let heads = Self {
                    wanted,
                    weights: wanted.sparse.then(|| weights(None)).transpose()?,
                    multi_vector: Layers::default(),
                    shared: false,
                };
                Ok((heads, outputs.into_iter().flatten().cloned().collect()))
            }
            other => {
                let what = format!("heads of an unknown kind: {other:?}");
                Err(Error::new(embedkit_types::ErrorKind::Unsupported, what))
            }
        }
    }

    /// The embedding of a text, from its row of each output that is read.
    pub(crate) fn finish(
        &self,
        tokens: &Tokens,
        rows: &[Row<'_>],
    ) -> Result<HybridEmbedding, Error> {
        let mut rest = rows.iter();
        let mut next = || if self.shared { rows.first() } else { rest.next() };
        let mut of = |wanted: bool| wanted.then(&mut next).flatten();
        let (dense, sparse, multi_vector) =
            (of(self.wanted.dense), of(self.wanted.sparse), of(self.wanted.multi_vector));
        let weights = sparse.zip(self.weights.as_ref());
        Ok(HybridEmbedding {
            dense: dense.map(|row| self.vector(row)).transpose()?,
            sparse: weights.map(|(row, weights)| weights.terms(&tokens.ids, row)).transpose()?,
            multi_vector: multi_vector
                .map(|row| self.vectors(tokens.ids.len(), row))
                .transpose()?,
        })
    }

    /// The vector of the first token, of unit length.
    fn vector(&self, row: &Row<'_>) -> Result<Vec<f32>, Error> {
        let width = match *row.shape {
            [_, width] if row.per_token && self.shared && width > 0 => width,
            [width] if !self.shared && width > 0 => width,
            _ if self.shared => return Err(row.shape_error("[texts, tokens, width]").into()),
            _ => return Err(row.shape_error("[texts, dim]").into()),
        };
        Ok(unit(widened(&row.values[..width]), row))
    }

    /// The vectors of all tokens but the first, of unit length.
    fn vectors(&self, tokens: usize, row: &Row<'_>) -> Result<MultiVector, Error> {
        let rest = tokens.saturating_sub(1);
        let (first, width) = match *row.shape {
            [_, width] if row.per_token && width > 0 => (1, width),
            // Without the first token, and with the batch's padding at the end.
            [length, width] if !self.shared && length >= rest && width > 0 => (0, width),
            _ => {
                let expected = "[texts, tokens, width] or [texts, tokens - 1, width]";
                return Err(row.shape_error(expected).into());
            }
        };
        let mut values = Vec::with_capacity(rest * width);
        let mut dim = width;
        for vector in row.values.chunks_exact(width).skip(first).take(rest) {
            let vector = self.multi_vector.apply(widened(vector))?;
            dim = vector.len();
            values.extend(unit(vector, row));
        }
        MultiVector::new(values, dim).map_err(|_| row.shape_error("vectors of one width").into())
    }
}

fn widened(vector: &[f32]) -> Vec<f64> {
    vector.iter().copied().map(f64::from).collect()
}

fn unit(mut vector: Vec<f64>, row: &Row<'_>) -> Vec<f32> {
    l2_normalize(&mut vector);
    round_to(&vector, row.half)
}
