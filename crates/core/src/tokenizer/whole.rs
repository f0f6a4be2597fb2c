//! All tokens of a text with their places, and the text of tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use embedkit_types::Token;
use tokenizers::{Encoding, Model as _, OffsetType, PostProcessor as _, PreTokenizer as _};

use super::{PairTokenizer, TemplateTokenizer, Tokenizer, guarded};
use crate::error::Error;

impl Tokenizer {
    /// All tokens of a text, however long it is; with the special tokens around it where `special` is true.
    ///
    /// # Errors
    /// [`Error::Tokenize`] if the tokenizer's model has no token for a piece and no unknown token.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        let inner = &self.inner;
        // Step by step: given a limit, the library stops soon after it.
        let encoding = guarded(|| {
            let vocabulary = inner.get_added_vocabulary();
            let mut pieces = vocabulary.extract_and_normalize(inner.get_normalizer(), text);
            if let Some(pre_tokenizer) = inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            pieces.tokenize(|piece| inner.get_model().tokenize(piece.get()))?;
            let encoding = pieces.into_encoding(None, 0, OffsetType::Char)?;
            match inner.get_post_processor() {
                Some(processor) => processor.process(encoding, None, special && self.special),
                None => Ok(encoding),
            }
        })?;
        Ok((0..encoding.len()).map(|index| token(&encoding, index)).collect())
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

fn token(encoding: &Encoding, index: usize) -> Token {
    let special = encoding.get_special_tokens_mask()[index] == 1;
    let (start, end) = encoding.get_offsets()[index];
    Token {
        id: encoding.get_ids()[index],
        text: encoding.get_tokens()[index].clone(),
        special,
        range: (!special).then_some(start..end),
    }
}
