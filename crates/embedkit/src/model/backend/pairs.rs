//! Models of pairs of a query and a document.

use std::sync::Arc;

use embedkit_core::pipeline::{Class, Depth, QueueOptions};
use embedkit_types::{Role, Token};

use super::{Backend, Inputs, Outputs, SubmitResult, no_tokens, output, outputs};
use crate::{Error, model::input::Input};

/// Pairs, where all inputs are.
fn pairs(inputs: impl Iterator<Item = Input>) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    inputs.filter_map(|input| match input {
        Input::Pair { query, document } => Some((query, document)),
        _ => None,
    })
}

impl Backend for embedkit_rerank::TextCrossEncoder {
    fn embed<'a>(&self, _: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        outputs(self.rerank_pairs_detailed(pairs(inputs)))
    }

    fn submit(&self, _: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        Ok(self.submit(pairs(inputs.into_iter()), queue)?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        match input {
            Input::Pair { query, document } => self.token_count([(query, document)]),
            other => Err(no_tokens(other)),
        }
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.tokenize(text, special)
    }

    fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.decode(ids, skip_special)
    }

    fn max_tokens(&self) -> Option<usize> {
        Some(self.max_tokens())
    }

    fn dim(&self) -> Option<usize> {
        None
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}
