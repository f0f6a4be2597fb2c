//! The trait of all embedding models and what it speaks of.

use std::ops::Range;

use crate::Error;

/// Purpose of an input; prompts, markers and tasks follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Role {
    /// Neither: FastEmbed's `embed`.
    #[default]
    Raw,
    /// Something to be found: FastEmbed's `passage_embed`.
    Document,
    /// Something to find with: FastEmbed's `query_embed`.
    Query,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Document, Self::Query];
}

/// An embedding with what happened to its input on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded<T> {
    /// The embedding.
    pub value: T,
    /// Tokens that the model saw, special tokens included.
    pub tokens: usize,
    /// Whether the input was longer than the model takes and its end was cut off.
    pub truncated: bool,
}

/// A token of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Id in the vocabulary of the model's tokenizer.
    pub id: u32,
    /// Text of the token in the vocabulary, such as `##ing`.
    pub text: String,
    /// True for a token that the tokenizer puts around the text.
    pub special: bool,
    /// Place in the text, in characters; `None` for one around it.
    pub range: Option<Range<usize>>,
}

/// A model that turns inputs into embeddings. Object safe, so that callers may hold any model of one
/// kind of result, such as an `Arc<dyn Embed<Input = str, Output = Vec<f32>>>`.
pub trait Embed: Send + Sync {
    /// What is embedded, such as `str`.
    type Input: ?Sized;
    /// One embedding.
    type Output;

    /// Embeds all inputs and returns the embeddings in the same order.
    ///
    /// # Errors
    /// The first error, in input order.
    fn embed_batch(&self, role: Role, inputs: &[&Self::Input]) -> Result<Vec<Self::Output>, Error>;
}
