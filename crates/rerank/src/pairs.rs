//! The form in which a model reads a pair.

use std::sync::OnceLock;

use embedkit_core::tokenizer::{
    FirstText, Padding, PairTokenizer, TemplateTokenizer, TokenizerOptions, Tokens,
};
use embedkit_types::{Error, LoadOptions, ModelFiles, ModelSpec, Rerank, Token};

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

    /// All tokens of a single text.
    pub(crate) fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        Ok(match self {
            Self::Segments(tokenizer) => tokenizer.tokenize(text, special)?,
            Self::Template(tokenizer) => tokenizer.tokenize(text, special)?,
        })
    }

    /// The text of tokens.
    pub(crate) fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        Ok(match self {
            Self::Segments(tokenizer) => tokenizer.decode(ids, skip_special)?,
            Self::Template(tokenizer) => tokenizer.decode(ids, skip_special)?,
        })
    }

    /// Maximum tokens of a pair.
    pub(crate) fn limit(&self) -> usize {
        match self {
            Self::Segments(tokenizer) => tokenizer.limit(),
            Self::Template(tokenizer) => tokenizer.limit(),
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
