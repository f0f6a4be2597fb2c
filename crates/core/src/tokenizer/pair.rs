//! Two texts as one row of tokens, for models that read them together.

use std::{cell::Cell, sync::OnceLock};

use embedkit_types::ModelFiles;
use tokenizers::{Encoding, Model, OffsetType, PreTokenizer, TruncationDirection};

use super::{Limits, Padding, Texts, Tokenizer, Tokens, guarded, special_count, truncate};
use crate::error::Error;

/// A tokenizer of pairs with its limit settled; thread-safe.
///
/// A pair that is too long loses tokens of the longer text until both have the same length, then of
/// both: from their ends, or from their starts where the model's files say so.
#[derive(Debug)]
pub struct PairTokenizer {
    pub(super) tokenizer: Tokenizer,
    /// The most tokens of both texts together, without the special ones.
    room: usize,
}

/// A text that is the first of several pairs, split into tokens once.
#[derive(Debug, Clone)]
pub struct FirstText {
    text: String,
    /// As many of its tokens as a pair can have.
    encoding: Encoding,
    /// How many the library has seen.
    seen: usize,
    /// How many there are, once that was asked for.
    whole: OnceLock<usize>,
}

impl PairTokenizer {
    /// Loads the files that [`Tokenizer::load`] does.
    ///
    /// # Errors
    /// As there, and a limit below the number of special tokens of a pair.
    pub fn load(files: &ModelFiles) -> Result<Self, Error> {
        Self::load_with(files, Limits::default())
    }

    /// As [`load`](Self::load), with what is known of the limit besides the files.
    ///
    /// # Errors
    /// As there.
    pub fn load_with(files: &ModelFiles, limits: Limits) -> Result<Self, Error> {
        let mut tokenizer = Tokenizer::load_with(files, limits)?;
        let special = special_count(&tokenizer.inner, Texts::Pair);
        let path = files.path("tokenizer_config.json");
        let (limit, side) = (tokenizer.limit, tokenizer.truncation_side);
        truncate(&mut tokenizer.inner, &path, limit, side, Texts::Pair, special)?;
        Ok(Self { tokenizer, room: limit - special })
    }

    /// The most tokens of a pair, special tokens included.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.tokenizer.limit
    }

    /// How rows of a batch are brought to one length.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.tokenizer.padding
    }

    /// The token of an id, with special and added tokens.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.token(id)
    }

    /// Splits two texts into tokens and cuts them so that they and the special tokens are within the
    /// limit.
    ///
    /// # Errors
    /// [`Error::Tokenize`] where the tokenizer's model has no token for a piece and no unknown token.
    pub fn encode(&self, first: &str, second: &str) -> Result<Tokens, Error> {
        self.encode_with(&self.first(first)?, second)
    }

    /// Splits the first text of several pairs into tokens.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn first(&self, text: &str) -> Result<FirstText, Error> {
        let mut encoding = self.part(text)?;
        let seen = seen(&encoding);
        encoding.take_overflowing();
        Ok(FirstText { text: text.to_owned(), encoding, seen, whole: OnceLock::new() })
    }

    /// What [`encode`](Self::encode) gives for the first text and this one.
    ///
    /// # Errors
    /// As there.
    pub fn encode_with(&self, first: &FirstText, second: &str) -> Result<Tokens, Error> {
        // One by one and cut here: given both, the library would keep every combination of the parts
        // that it cuts off one text with those that it cuts off the other.
        let mut encodings = [first.encoding.clone(), self.part(second)?];
        let mut lengths = [first.seen, seen(&encodings[1])];
        // A text is not looked at beyond the limit. What is left out matters where it decides which text
        // is the longer one and gets the odd token, and where nothing else is too much.
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
        // Post-processors set the segments themselves; without one they stay as they are here.
        second.set_type_ids(vec![1; second.len()]);
        let pair = guarded(|| self.tokenizer.inner.post_process(first, Some(second), true))?;
        Ok(Tokens {
            ids: pair.get_ids().to_vec(),
            type_ids: pair.get_type_ids().to_vec(),
            truncated: kept != lengths,
            ..Tokens::default()
        })
    }

    /// The tokens of a text, special ones apart, or the limit and more of those that count.
    fn part(&self, text: &str) -> Result<Encoding, Error> {
        let encode = |text: &str| self.tokenizer.encoding(text, false);
        self.tokenizer.of_enough(text, encode, |encoding| seen(encoding) >= self.limit())
    }

    /// Numbers of tokens of two texts of which the larger one is that of the longer text. This takes as
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
                // Equal numbers are no decision where the other text may go on.
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

    /// Counts the tokens of a further piece of a text, special ones apart.
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

    /// How many tokens a text has, special ones apart.
    fn length(&self, text: &str) -> Result<usize, Error> {
        let inner = &self.tokenizer.inner;
        let count = Cell::new(0);
        let added = guarded(|| {
            let vocabulary = inner.get_added_vocabulary();
            let mut pieces = vocabulary.extract_and_normalize(inner.get_normalizer(), text);
            if let Some(pre_tokenizer) = inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            // Counted and let go; what remains are added tokens, which the model does not see.
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

/// How many tokens a text has, counted from its start.
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

/// How many tokens of a text the library has seen before it cut them.
fn seen(encoding: &Encoding) -> usize {
    encoding.len() + encoding.get_overflowing().iter().map(Encoding::len).sum::<usize>()
}

/// How many tokens of each text are kept so that both have at most `room`: the "longest first" of
/// the tokenizers library, which splits an odd `room` in favour of the longer text, or of the second.
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
