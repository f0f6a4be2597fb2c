//! Tokenises pairs of texts for models that read both as one row.

use std::{cell::Cell, sync::OnceLock};

use embedkit_types::ModelFiles;
use tokenizers::{Encoding, Model, OffsetType, PreTokenizer, TruncationDirection};

use super::{
    Padding, Texts, Tokenizer, TokenizerOptions, Tokens, guarded, special_count, truncate,
};
use crate::error::Error;

/// A tokenizer of pairs with a fixed limit; thread-safe.
///
/// A pair above the limit loses tokens of the longer text until both have the same length, then of
/// both: from their ends, or from their starts if the model's files say so.
#[derive(Debug)]
pub struct PairTokenizer {
    pub(super) tokenizer: Tokenizer,
    /// Maximum tokens of both texts together, without special tokens.
    room: usize,
}

/// First text of several pairs, tokenised once.
#[derive(Debug, Clone)]
pub struct FirstText {
    text: String,
    /// Its tokens, at most as many as a pair can have.
    encoding: Encoding,
    /// Number of tokens that the library has seen.
    seen: usize,
    /// Total number of tokens, computed on demand.
    whole: OnceLock<usize>,
}

impl PairTokenizer {
    /// Loads the files of [`Tokenizer::load`].
    ///
    /// # Errors
    /// See [`Tokenizer::load`]; also a limit below the number of special tokens of a pair.
    pub fn load(files: &ModelFiles) -> Result<Self, Error> {
        Self::load_with(files, TokenizerOptions::default())
    }

    /// [`load`](Self::load) with a limit from other sources than the files.
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub fn load_with(files: &ModelFiles, options: TokenizerOptions) -> Result<Self, Error> {
        let mut tokenizer = Tokenizer::load_with(files, options)?;
        let special = special_count(&tokenizer.inner, Texts::Pair);
        let path = files.tokenizer_path("tokenizer_config.json");
        let (limit, side) = (tokenizer.limit, tokenizer.truncation_side);
        truncate(&mut tokenizer.inner, &path, limit, side, Texts::Pair, special)?;
        Ok(Self { tokenizer, room: limit - special })
    }

    /// Maximum tokens of a pair, including special tokens.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.tokenizer.limit
    }

    /// Padding of rows in a batch.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.tokenizer.padding
    }

    /// Token of an id, including special and added tokens.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.token(id)
    }

    /// Tokenises two texts and truncates them, so that they and the special tokens are within the
    /// limit.
    ///
    /// # Errors
    /// [`Error::Tokenize`] if the tokenizer's model has no token for a piece and no unknown token.
    pub fn encode(&self, first: &str, second: &str) -> Result<Tokens, Error> {
        self.encode_with(&self.first(first)?, second)
    }

    /// Tokenises the first text of several pairs.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn first(&self, text: &str) -> Result<FirstText, Error> {
        let mut encoding = self.part(text)?;
        let seen = seen(&encoding);
        encoding.take_overflowing();
        Ok(FirstText { text: text.to_owned(), encoding, seen, whole: OnceLock::new() })
    }

    /// [`encode`](Self::encode) of a first text and this one.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn encode_with(&self, first: &FirstText, second: &str) -> Result<Tokens, Error> {
        // Encoded one by one and truncated here: given both, the library would keep every combination
        // of the parts that it cuts off each text.
        let mut encodings = [first.encoding.clone(), self.part(second)?];
        let mut lengths = [first.seen, seen(&encodings[1])];
        // A text is not processed beyond the limit. The rest matters only if it decides which text is
        // longer and gets the odd token, and if nothing else exceeds the limit.
        let stopped = lengths.map(|length| length >= self.limit());
        if stopped == [true; 2] && self.room % 2 == 1 {
            lengths = self.compared(first, second)?;
        } else if stopped != [false; 2] && lengths[0] + lengths[1] <= self.room {
            let texts = [first.text.as_str(), second];
            for (length, text) in lengths.iter_mut().zip(texts) {
                let mut count = Count::new(text);
                while !count.is_whole() && count.tokens <= self.room {
                    self.count_on(&mut count)?;
                }
                *length = count.tokens;
            }
        }
        let kept = kept(lengths, self.room);
        for (encoding, kept) in encodings.iter_mut().zip(kept) {
            encoding.truncate(kept, 0, self.tokenizer.truncation_side);
            encoding.take_overflowing();
        }
        let [first, mut second] = encodings;
        // Post-processors set the segments themselves; without one these stay.
        second.set_type_ids(vec![1; second.len()]);
        let pair = guarded(|| self.tokenizer.inner.post_process(first, Some(second), true))?;
        Ok(Tokens {
            ids: pair.get_ids().to_vec(),
            type_ids: pair.get_type_ids().to_vec(),
            truncated: kept != lengths,
            ..Tokens::default()
        })
    }

    /// Tokens of a text without special tokens: all, or at least the limit.
    fn part(&self, text: &str) -> Result<Encoding, Error> {
        let encode = |text: &str| self.tokenizer.encoding(text, false);
        self.tokenizer.encode_enough(text, encode, |encoding| seen(encoding) >= self.limit())
    }

    /// Token counts of two texts, of which the larger one belongs to the longer text. Counts only as
    /// much of both as the shorter one has.
    fn compared(&self, first: &FirstText, second: &str) -> Result<[usize; 2], Error> {
        let mut counts = [Count::new(&first.text), Count::new(second)];
        if let Some(&whole) = first.whole.get() {
            counts[0] = Count { tokens: whole, rest: "" };
        }
        loop {
            let [one, other] = &counts;
            let behind = usize::from(one.tokens > other.tokens);
            if counts[behind].is_whole() {
                // Equal counts do not decide while the other text may continue.
                let ahead = 1 - behind;
                if counts[ahead].is_whole() || counts[ahead].tokens > counts[behind].tokens {
                    break;
                }
                self.count_on(&mut counts[ahead])?;
            } else {
                self.count_on(&mut counts[behind])?;
            }
        }
        if counts[0].is_whole() {
            first.whole.get_or_init(|| counts[0].tokens);
        }
        Ok(counts.map(|count| count.tokens))
    }

    /// Counts the tokens of a further piece of a text, without special tokens.
    fn count_on(&self, count: &mut Count<'_>) -> Result<(), Error> {
        let Tokenizer { inner, cuts, .. } = &self.tokenizer;
        let piece = match cuts {
            Some(cuts) if count.rest.len() > COUNTED => {
                cuts.part(inner, count.rest, COUNTED, TruncationDirection::Right)
            }
            _ => None,
        };
        let piece = piece.unwrap_or(count.rest);
        count.tokens += self.length(piece)?;
        count.rest = &count.rest[piece.len()..];
        Ok(())
    }

    /// Number of tokens of a text, without special tokens.
    fn length(&self, text: &str) -> Result<usize, Error> {
        let inner = &self.tokenizer.inner;
        let count = Cell::new(0);
        let added = guarded(|| {
            let vocabulary = inner.get_added_vocabulary();
            let mut pieces = vocabulary.extract_and_normalize(inner.get_normalizer(), text);
            if let Some(pre_tokenizer) = inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            // Counted and dropped; added tokens remain, which the model does not see.
            pieces.tokenize(|piece| {
                count.set(count.get() + inner.get_model().tokenize(piece.get())?.len());
                Ok(Vec::new())
            })?;
            pieces.into_encoding(None, 0, OffsetType::None)
        })?;
        Ok(count.get() + added.len())
    }
}

/// Bytes of a text that are counted at a time.
const COUNTED: usize = 64 << 10;

/// Running count of a text's tokens.
struct Count<'t> {
    tokens: usize,
    /// Rest that is not counted yet.
    rest: &'t str,
}

impl<'t> Count<'t> {
    fn new(text: &'t str) -> Self {
        Self { tokens: 0, rest: text }
    }

    fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Number of tokens that the library saw before truncation.
fn seen(encoding: &Encoding) -> usize {
    encoding.len() + encoding.get_overflowing().iter().map(Encoding::len).sum::<usize>()
}

/// Tokens of each text to keep so that both have at most `room`: the "longest first" strategy of the
/// tokenizers library, which gives the odd token to the longer text, or to the second.
fn kept([first, second]: [usize; 2], room: usize) -> [usize; 2] {
    let (shorter, longer) = (first.min(second), first.max(second));
    if shorter + longer <= room {
        return [first, second];
    }
    let half = room / 2;
    let (shorter, longer) =
        if shorter <= half { (shorter, room - shorter) } else { (half, room - half) };
    if first > second { [longer, shorter] } else { [shorter, longer] }
}

#[cfg(test)]
mod tests {
    use tokenizers::{Token, TruncationParams, utils::truncation::truncate_encodings};

    use super::*;

    #[test]
    fn the_longer_text_is_cut_as_the_library_does_it() {
        let text = |len: usize| {
            let token = Token::new(0, String::new(), (0, 0));
            Encoding::from_tokens(vec![token; len], 0)
        };
        for room in 0..12 {
            for (first, second) in (0..14).flat_map(|first| (0..14).map(move |n| (first, n))) {
                let params = TruncationParams { max_length: room, ..TruncationParams::default() };
                let (a, b) = truncate_encodings(text(first), Some(text(second)), &params).unwrap();
                let expected = [a.len(), b.unwrap().len()];
                assert_eq!(kept([first, second], room), expected, "{first} {second} in {room}");
            }
        }
    }
}
