//! Inference-free SPLADE: a graph for documents, a table of weights for queries.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use embedkit_core::{
    Error as CoreError,
    onnx::Row,
    read_bounded, read_tensor,
    tokenizer::{Tokenizer, Tokens},
};
use embedkit_types::{Error, IfSpladeConfig, ModelFiles, SpladeConfig};

use super::splade::weights;
use crate::terms::Terms;

/// A table for 30,000 tokens has about 1 MB.
const MAX_BYTES: u64 = 128 << 20;

#[derive(Debug)]
pub(super) struct IfSplade {
    documents: SpladeConfig,
    special: HashSet<u32>,
    /// `true` if special tokens are terms of a document, too.
    special_tokens: bool,
    /// Weights of query tokens, by id.
    idf: HashMap<u32, f32>,
}

impl IfSplade {
    /// Reads the table: a JSON object from token to number, or the tensor `weight`. Tokens that the
    /// tokenizer does not have are of no use.
    pub(super) fn open(
        facts: &IfSpladeConfig,
        files: &ModelFiles,
        tokenizer: &Tokenizer,
    ) -> Result<Self, Error> {
        let path = files.path(facts.idf_file.as_ref());
        let (special, special_tokens) = (tokenizer.special_ids(), facts.special_tokens);
        let documents = facts.documents.clone();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let idf = (0..).zip(read_tensor(&path, "weight")?).filter(|&(_, weight)| weight != 0.0);
            return Ok(Self { documents, special, special_tokens, idf: idf.collect() });
        }
        let bytes = read_bounded(&path, MAX_BYTES)?;
        let table: BTreeMap<String, f64> =
            serde_json::from_slice(&bytes).map_err(|error| CoreError::InvalidFile {
                path,
                reason: format!("expected a JSON object from token to number: {error}"),
            })?;
        #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
        let known =
            |(token, weight): (String, f64)| Some((tokenizer.token_id(&token)?, weight as f32));
        let idf = table.into_iter().filter_map(known).collect();
        Ok(Self { documents, special, special_tokens, idf })
    }

    /// The terms of a document, with logarithms in f64 as in the original. FastEmbed's are without
    /// special tokens.
    pub(super) fn finish(&self, row: &Row<'_>) -> Result<Terms, Error> {
        let weight = |x: f32| {
            let once = f64::from(x).ln_1p();
            if self.documents.log_twice { once.ln_1p() } else { once }
        };
        let entries = (0..).zip(weights(row, &self.documents, weight)?);
        let kept = entries.filter(|(index, weight)| {
            *weight != 0.0 && (self.special_tokens || !self.special.contains(index))
        });
        Ok(kept.collect())
    }

    /// `true` if special tokens are terms like any other, where a text has them.
    pub(super) fn special_tokens(&self) -> bool {
        self.special_tokens
    }

    /// The terms of a query: the weights of its tokens, each once, without special ones.
    pub(super) fn query(&self, text: &Tokens) -> Terms {
        let ids: BTreeSet<u32> = text.ids.iter().copied().collect();
        let kept = |id: &u32| self.special_tokens || !self.special.contains(id);
        let ids = ids.into_iter().filter(kept);
        ids.filter_map(|id| Some((id, f64::from(*self.idf.get(&id)?)))).collect()
    }
}
