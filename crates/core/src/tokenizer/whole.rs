//! All tokens of a text with their places, and the text of tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use embedkit_types::Token;
use tokenizers::{Encoding, TruncationDirection};

use super::{PairTokenizer, TemplateTokenizer, Tokenizer, guarded};
use crate::error::Error;

impl Tokenizer {
    /// All tokens of a text, however long it is; with the special tokens around it where `special` is true.
    ///
    /// # Errors
    /// [`Error::Tokenize`] if the tokenizer's model has no token for a piece and no unknown token.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        let special = special && self.special;
        let mut first = guarded(|| self.inner.encode_char_offsets(text, special))?;
        // The library cuts the text into parts, each with its special tokens.
        let mut parts = first.take_overflowing();
        if self.truncation_side == TruncationDirection::Left {
            parts.reverse();
            parts.push(first);
        } else {
            parts.insert(0, first);
        }
        let last = parts.len() - 1;
        let tokens = parts.iter().enumerate().flat_map(|(at, part)| {
            let added = |&index: &usize| part.get_special_tokens_mask()[index] == 1;
            let inner = (0..part.len()).filter(move |index| !added(index));
            let before: Vec<_> = (0..part.len()).take_while(added).collect();
            let after = (before.len()..part.len()).filter(added).collect();
            let before = if at == 0 { before } else { Vec::new() };
            let after = if at == last { after } else { Vec::new() };
            before.into_iter().chain(inner).chain(after).map(|index| token(part, index))
        });
        Ok(tokens.collect())
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// [`Error::Tokenize`] for an id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        if let Some(id) = ids.iter().find(|&&id| self.inner.id_to_token(id).is_none()) {
            let reason = format!("the id {id} is not in the vocabulary");
            return Err(Error::Tokenize { reason });
        }
        catch_unwind(AssertUnwindSafe(|| self.inner.decode(ids, skip_special)))
            .map_err(|_| Error::Tokenize { reason: "it panicked on these tokens".to_owned() })?
            .map_err(|error| Error::Tokenize { reason: error.to_string() })
    }
}

impl PairTokenizer {
    /// See [`Tokenizer::tokenize`], of a single text.
    ///
    /// # Errors
    /// See there.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.tokenizer.tokenize(text, special)
    }

    /// See [`Tokenizer::decode`].
    ///
    /// # Errors
    /// See there.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.tokenizer.decode(ids, skip_special)
    }
}

impl TemplateTokenizer {
    /// See [`Tokenizer::tokenize`], of a single text without the template.
    ///
    /// # Errors
    /// See there.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.tokenizer.tokenize(text, special)
    }

    /// See [`Tokenizer::decode`].
    ///
    /// # Errors
    /// See there.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.tokenizer.decode(ids, skip_special)
    }
}

fn token(part: &Encoding, index: usize) -> Token {
    let special = part.get_special_tokens_mask()[index] == 1;
    let (start, end) = part.get_offsets()[index];
    Token {
        id: part.get_ids()[index],
        text: part.get_tokens()[index].clone(),
        special,
        range: (!special).then_some(start..end),
    }
}
