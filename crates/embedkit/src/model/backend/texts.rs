//! Models of texts.

use std::sync::Arc;

use embedkit_core::pipeline::{Class, Depth, QueueOptions};
use embedkit_types::{Role, Token};

use super::{Backend, Inputs, Outputs, SubmitResult, no_tokens, output, outputs};
use crate::{Error, model::input::Input};

/// Texts, where all inputs are.
pub(super) fn texts(inputs: Inputs<'_>) -> impl Iterator<Item = Arc<str>> {
    inputs.filter_map(|input| if let Input::Text(text) = input { Some(text) } else { None })
}

/// The text of an input whose tokens are counted.
pub(super) fn text(input: &Input) -> Result<&str, Error> {
    match input {
        Input::Text(text) => Ok(text),
        other => Err(no_tokens(other)),
    }
}

#[cfg(feature = "text-dense")]
impl Backend for embedkit_text_dense::TextEmbedding {
    fn embed<'a>(&self, role: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        outputs(self.embed_detailed(role, texts(inputs)))
    }

    fn submit(&self, role: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        Ok(self.submit(role, texts(Box::new(inputs.into_iter())), queue)?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn with_task(&self, _: &str, task: &str) -> Result<Box<dyn Backend>, Error> {
        Ok(Box::new(self.with_task(task)?))
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?])
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
        Some(self.embedding_size())
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}

#[cfg(feature = "any-sparse")]
impl Backend for embedkit_sparse::SparseTextEmbedding {
    fn embed<'a>(&self, role: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        outputs(self.embed_detailed(role, texts(inputs)))
    }

    /// A text that needs no graph is embedded at once: a stream around it takes as long as its words do.
    fn embed_one(&self, role: Role, input: Input) -> Option<super::OneResult> {
        let Input::Text(text) = &input else { return None };
        match self.look_up(role, text) {
            Some(result) => Some(result.map(output)),
            None => Backend::embed(self, role, Box::new(std::iter::once(input))).next(),
        }
    }

    fn submit(&self, role: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        Ok(self.submit(role, texts(Box::new(inputs.into_iter())), queue)?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn embed_terms<'a>(
        &self,
        role: Role,
        inputs: Inputs<'a>,
    ) -> Outputs<'a, embedkit_sparse::Terms> {
        Box::new(self.embed_terms(role, texts(inputs)))
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?])
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.tokenize(text, special)
    }

    fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.decode(ids, skip_special)
    }

    fn max_tokens(&self) -> Option<usize> {
        self.max_tokens()
    }

    fn dim(&self) -> Option<usize> {
        None
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}

#[cfg(feature = "late-interaction")]
impl Backend for embedkit_late_interaction::LateInteractionTextEmbedding {
    fn embed<'a>(&self, role: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        outputs(self.embed_detailed(role, texts(inputs)))
    }

    fn submit(&self, role: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        Ok(self.submit(role, texts(Box::new(inputs.into_iter())), queue)?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn token_count(&self, role: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?], role, false)
    }

    fn extended_token_count(&self, role: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?], role, true)
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
        Some(self.embedding_size())
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}

#[cfg(feature = "hybrid")]
impl Backend for embedkit_hybrid::HybridTextEmbedding {
    fn embed<'a>(&self, role: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        outputs(self.embed_detailed(role, texts(inputs)))
    }

    fn submit(&self, role: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        Ok(self.submit(role, texts(Box::new(inputs.into_iter())), queue)?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?])
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
        let outputs = self.outputs();
        (outputs.dense || outputs.multi_vector).then(|| self.embedding_size())
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}
