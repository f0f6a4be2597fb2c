//! From a text to the tokens that the graph sees, and which of them have vectors.

use std::{borrow::Borrow, collections::BTreeSet};

use embedkit_core::tokenizer::{Tokenizer, TokenizerOptions, Tokens};
use embedkit_types::{Error, LateText, ModelFiles, Role};

use crate::LateInteractionError;

/// The characters whose tokens get no vector in a document, where the model says so.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What a model does with the tokens of queries and documents.
#[derive(Debug)]
pub(super) struct TokenRules {
    tokenizer: Tokenizer,
    /// The tokenizer of queries, where they have a limit of their own.
    of_queries: Option<Tokenizer>,
    task: LateText,
    /// The id of the token that fills queries up.
    query_padding: Option<u32>,
    /// Ids that get no vector in a document.
    skipped: BTreeSet<u32>,
}

/// The tokens of one text, with marker and query padding.
pub(super) struct Prepared {
    pub(super) role: Role,
    pub(super) tokens: Tokens,
    /// How many of them are the text's own, special tokens included.
    pub(super) own: usize,
}

impl Borrow<Tokens> for Prepared {
    fn borrow(&self) -> &Tokens {
        &self.tokens
    }
}

impl TokenRules {
    pub(super) fn load(
        id: &str,
        task: &LateText,
        files: &ModelFiles,
        tokenizer_options: TokenizerOptions,
    ) -> Result<Self, Error> {
        let tokenizer_options = match task.markers {
            Some(_) => tokenizer_options.reserving(task.reserve),
            None => tokenizer_options,
        };
        let tokenizer = Tokenizer::load_with(files, tokenizer_options)?;
        let of_queries = task
            .query_limit
            .map(|limit| Tokenizer::load_with(files, tokenizer_options.limited(limit)))
            .transpose()?;
        let query_padding = match &task.query_padding {
            None => None,
            Some(padding) => {
                let special = tokenizer.special_ids();
                let found = tokenizer.token_id(&padding.token).filter(|id| special.contains(id));
                let missing = || LateInteractionError::MissingToken {
                    id: id.to_owned(),
                    token: padding.token.to_string(),
                };
                Some(found.ok_or_else(missing)?)
            }
        };
        let mut skipped = BTreeSet::new();
        if task.skip_punctuation {
            // The first id, even where it is that of the unknown token or of a mere word boundary:
            // models are trained with that list.
            for index in 0..PUNCTUATION.len() {
                let ids = tokenizer.piece_ids(&PUNCTUATION[index..=index])?;
                skipped.extend(ids.first());
            }
        }
        if task.skip_padding_id {
            skipped.insert(tokenizer.padding().id);
        }
        Ok(Self { tokenizer, of_queries, task: task.clone(), query_padding, skipped })
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(super) fn query_padding_id(&self) -> Option<u32> {
        self.query_padding
    }

    /// Whether a token of a document gets no vector.
    pub(super) fn skips(&self, id: u32) -> bool {
        self.skipped.contains(&id)
    }

    pub(super) fn prepare(&self, role: Role, text: &str) -> Result<Prepared, Error> {
        let of_queries = self.of_queries.as_ref().filter(|_| role == Role::Query);
        let mut tokens = of_queries.unwrap_or(&self.tokenizer).encode(text)?;
        let own = tokens.ids.len();
        if role == Role::Query {
            self.expand(&mut tokens);
        }
        if let Some(markers) = self.task.markers {
            let marker = if role == Role::Query { markers.query } else { markers.document };
            let place = tokens.ids.len().min(1);
            tokens.ids.insert(place, marker);
            if !tokens.attention.is_empty() {
                tokens.attention.insert(place, true);
            }
        }
        Ok(Prepared { role, tokens, own })
    }

    /// Fills a short query up to the model's length.
    fn expand(&self, tokens: &mut Tokens) {
        let Some((id, padding)) = self.query_padding.zip(self.task.query_padding.as_ref()) else {
            return;
        };
        let own = tokens.ids.len();
        let length = padding.length.unwrap_or(0).max(own);
        if length > own && !padding.attend {
            tokens.attention = (0..length).map(|index| index < own).collect();
        }
        tokens.ids.resize(length, id);
    }
}
