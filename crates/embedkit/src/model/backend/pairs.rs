//! Models of pairs of a query and a document.

use embedkit_types::Role;

use super::{Backend, Inputs, Outputs, no_tokens, outputs};
use crate::{Error, model::input::Input};

impl Backend for embedkit_rerank::TextCrossEncoder {
    fn embed<'a>(&self, _: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        let pairs = inputs.filter_map(|input| match input {
            Input::Pair { query, document } => Some((query, document)),
            _ => None,
        });
        outputs(self.rerank_pairs_detailed(pairs))
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        match input {
            Input::Pair { query, document } => self.token_count([(query, document)]),
            other => Err(no_tokens(other)),
        }
    }

    fn dim(&self) -> Option<usize> {
        None
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}
