//! The form in which a model reads a pair.

use std::sync::OnceLock;

use embedkit_core::tokenizer::{
    FirstText, Padding, PairTokenizer, TemplateTokenizer, TokenizerOptions, Tokens,
};
use embedkit_types::{Error, LoadOptions, ModelFiles, ModelSpec, Rerank};

/// A pair as one row of tokens.
#[derive(Debug)]
pub(crate) enum PairForm {
    /// Two segments, of a classifier.
    Segments(PairTokenizer),
    /// One text, of a causal language model.
    Template(TemplateTokenizer),
}

impl PairForm {
    pub(crate) fn load(
        spec: &ModelSpec,
        task: &Rerank,
        files: &ModelFiles,
        load: &LoadOptions,
    ) -> Result<Self, Error> {
        let options = TokenizerOptions::of(spec, load);
        Ok(match &task.tokens {
            None => Self::Segments(PairTokenizer::load_with(files, options)?),
            Some(tokens) => {
                Self::Template(TemplateTokenizer::load_with(files, options, &tokens.template)?)
            }
        })
    }

    pub(crate) fn encode(&self, query: &Query, document: &str) -> Result<Tokens, Error> {
        match self {
            Self::Segments(tokenizer) => {
                let first = query.tokens.get_or_init(|| Ok(tokenizer.first(&query.text)?));
                Ok(tokenizer.encode_with(first.as_ref().map_err(Clone::clone)?, document)?)
            }
            Self::Template(tokenizer) => Ok(tokenizer.encode(&query.text, document)?),
        }
    }

    pub(crate) fn padding(&self) -> Padding {
        match self {
            Self::Segments(tokenizer) => tokenizer.padding(),
            Self::Template(tokenizer) => tokenizer.padding(),
        }
    }

    /// Token of an id, including special and added tokens.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        match self {
            Self::Segments(tokenizer) => tokenizer.token(id),
            Self::Template(tokenizer) => tokenizer.token(id),
        }
    }
}

/// A query, split into tokens at the first document where it is a text of its own.
pub(crate) struct Query {
    pub(crate) text: String,
    tokens: OnceLock<Result<FirstText, Error>>,
}

impl Query {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), tokens: OnceLock::new() }
    }
}
