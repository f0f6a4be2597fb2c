//! Weights of tokens as terms: the sparse part of BGE-M3.

use std::collections::{BTreeMap, BTreeSet};

use embedkit_types::{DenseLayer, Layer, ModelFiles, SparseEmbedding, Str};

use super::{round_to, text::Row};
use crate::{Error, Layers, tokenizer::Tokenizer};

/// The way from a row of the graph to terms: the largest weight of each token's id.
#[derive(Debug)]
pub struct TokenWeights {
    /// From a token's vector to its weight; none where the graph gives weights.
    head: Option<Layers>,
    /// Ids that are no terms.
    skipped: BTreeSet<u32>,
}

impl TokenWeights {
    /// Reads the head, where there is one, and looks up the tokens that are left out.
    ///
    /// # Errors
    /// Those of [`Layers::open`], and a token that the vocabulary does not have.
    pub fn open(
        files: &ModelFiles,
        head: Option<&DenseLayer>,
        skip_tokens: &[Str],
        tokenizer: &Tokenizer,
    ) -> Result<Self, Error> {
        let id = |token: &Str| {
            tokenizer.token_id(token).ok_or_else(|| Error::InvalidFile {
                path: files.path("tokenizer.json"),
                reason: format!("it has no token {token:?}, which is to be left out of the terms"),
            })
        };
        let skipped = skip_tokens.iter().map(id).collect::<Result<_, _>>()?;
        let open = |head: &DenseLayer| Layers::open(files, &[Layer::Dense(head.clone())]);
        Ok(Self { head: head.map(open).transpose()?, skipped })
    }

    /// The terms of a text with these ids. A weight that is not positive is none.
    ///
    /// # Errors
    /// [`Error::OutputShape`], and a head for vectors of another dimension.
    pub fn terms(&self, ids: &[u32], row: &Row<'_>) -> Result<SparseEmbedding, Error> {
        let mut terms = BTreeMap::new();
        for (&id, weight) in ids.iter().zip(self.weights(ids.len(), row)?) {
            // What is no number stays visible.
            if self.skipped.contains(&id) || weight <= 0.0 {
                continue;
            }
            let largest = terms.entry(id).or_insert(weight);
            if weight > *largest || weight.is_nan() {
                *largest = weight;
            }
        }
        Ok(terms.into_iter().collect())
    }

    fn weights(&self, tokens: usize, row: &Row<'_>) -> Result<Vec<f32>, Error> {
        let Some(head) = &self.head else {
            return match *row.shape {
                [_, 1] if row.per_token => Ok(row.values.to_vec()),
                [length] if length >= tokens => Ok(row.values[..tokens].to_vec()),
                _ => Err(row.shape_error("[texts, tokens, 1] or [texts, tokens]")),
            };
        };
        let width = match *row.shape {
            [_, width] if row.per_token && width > 0 => width,
            _ => return Err(row.shape_error("[texts, tokens, width]")),
        };
        let weight = |vector: &[f32]| {
            let vector = vector.iter().copied().map(f64::from).collect();
            Ok(round_to(&head.apply(vector)?, row.half)[0])
        };
        row.values.chunks_exact(width).map(weight).collect()
    }
}
