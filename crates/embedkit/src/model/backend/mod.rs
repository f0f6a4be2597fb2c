//! One interface over the typed models of all families.

#[cfg(any(feature = "image", feature = "multimodal"))]
mod images;
#[cfg(feature = "rerank")]
mod pairs;
#[cfg(any(
    feature = "text-dense",
    feature = "any-sparse",
    feature = "late-interaction",
    feature = "hybrid"
))]
mod texts;

use std::{fmt, iter};

use embedkit_core::pipeline::{Class, Depth, Pending, QueueOptions};
#[cfg(feature = "any-sparse")]
use embedkit_sparse::Terms;
use embedkit_types::{Embedded, ErrorKind, Role, SpecError, Token};

use super::{input::Input, output::Output};
use crate::Error;

/// Inputs of one kind, which the model takes.
pub(crate) type Inputs<'a> = Box<dyn Iterator<Item = Input> + Send + 'a>;

/// A result for each input, in order.
pub(crate) type Outputs<'a, T = Output> =
    Box<dyn Iterator<Item = Result<Embedded<T>, Error>> + Send + 'a>;

/// The result of one input.
pub(crate) type OneResult = Result<Embedded<Output>, Error>;

/// Results on their way, of inputs that a queue has taken.
pub(crate) type SubmitResult = Result<Pending<Embedded<Output>>, Error>;

/// A family's model that is open.
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// Embeds or scores inputs lazily.
    fn embed<'a>(&self, role: Role, inputs: Inputs<'a>) -> Outputs<'a>;

    /// Embeds or scores one input; `None` where it gets no result.
    fn embed_one(&self, role: Role, input: Input) -> Option<OneResult> {
        self.embed(role, Box::new(iter::once(input))).next()
    }

    /// Puts inputs of one kind into the model's queue.
    fn submit(&self, role: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult;

    /// Load of the queue by submitted inputs.
    fn depth(&self, class: Class) -> Depth;

    /// The same as terms in the order of the text, of a sparse model.
    #[cfg(feature = "any-sparse")]
    fn embed_terms<'a>(&self, _: Role, inputs: Inputs<'a>) -> Outputs<'a, Terms> {
        let none = || Err(Error::new(ErrorKind::InvalidInput, "only sparse models give terms"));
        Box::new(inputs.map(move |_| none()))
    }

    /// The same model with another task for raw text.
    fn with_task(&self, id: &str, task: &str) -> Result<Box<dyn Backend>, Error> {
        let (id, task) = (id.to_owned(), task.to_owned());
        Err(SpecError::UnknownTask { id, task, known: Vec::new() }.into())
    }

    /// Tokens of one input.
    fn token_count(&self, role: Role, input: &Input) -> Result<usize, Error>;

    /// Tokens of one input, and those that a late-interaction model adds.
    fn extended_token_count(&self, role: Role, input: &Input) -> Result<usize, Error> {
        self.token_count(role, input)
    }

    /// All tokens of a text.
    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error>;

    /// The text of tokens.
    fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error>;

    /// Maximum tokens of an input, where there is a limit.
    fn max_tokens(&self) -> Option<usize>;

    /// Dimension of the vectors, where there are some.
    fn dim(&self) -> Option<usize>;

    /// Name of the device.
    fn device(&self) -> Result<&str, Error>;
}

/// The results of a family as those of all families.
fn outputs<'a, T: Into<Output>>(
    results: impl Iterator<Item = Result<Embedded<T>, Error>> + Send + 'a,
) -> Outputs<'a> {
    Box::new(results.map(|result| Ok(output(result?))))
}

/// The result of a family as one of all families.
fn output<T: Into<Output>>(result: Embedded<T>) -> Embedded<Output> {
    let Embedded { value, tokens, truncated } = result;
    Embedded { value: value.into(), tokens, truncated }
}

/// The error of a model without texts.
#[cfg(feature = "image")]
fn no_tokenizer() -> Error {
    Error::new(ErrorKind::Unsupported, "a model of images has no tokenizer")
}

/// The error of an input whose tokens cannot be counted.
fn no_tokens(input: &Input) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{} have no tokens to count", input.kind()))
}
