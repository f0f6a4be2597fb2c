//! Two texts as one row of tokens, for models that read them together.

use embedkit_types::ModelFiles;
use tokenizers::Encoding;

use super::{Padding, Texts, Tokenizer, Tokens, guarded, special_count, truncate};
use crate::error::Error;

/// A tokenizer of pairs with its limit settled; thread-safe.
///
/// A pair that is too long loses tokens of the longer text until both have the same length, then of
/// both: from their ends, or from their starts where the model's files say so.
#[derive(Debug)]
pub struct PairTokenizer {
    tokenizer: Tokenizer,
    /// The most tokens of both texts together, without the special ones.
    room: usize,
}

impl PairTokenizer {
    /// Loads the files that [`Tokenizer::load`] does.
    ///
    /// # Errors
    /// As there, and a limit below the number of special tokens of a pair.
    pub fn load(files: &ModelFiles) -> Result<Self, Error> {
        let mut tokenizer = Tokenizer::load(files)?;
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

    /// Splits two texts into tokens and cuts them so that they and the special tokens are within the
    /// limit.
    ///
    /// # Errors
    /// [`Error::Tokenize`] where the tokenizer's model has no token for a piece and no unknown token.
    pub fn encode(&self, first: &str, second: &str) -> Result<Tokens, Error> {
        // One by one and cut here: given both, the library would keep every combination of the parts
        // that it cuts off one text with those that it cuts off the other.
        let mut first = self.tokenizer.encoding(first, false)?;
        let mut second = self.tokenizer.encoding(second, false)?;
        let lengths = [uncut(&first), uncut(&second)];
        let kept = kept(lengths, self.room);
        for (encoding, kept) in [(&mut first, kept[0]), (&mut second, kept[1])] {
            encoding.truncate(kept, 0, self.tokenizer.truncation_side);
            encoding.take_overflowing();
        }
        // Post-processors set the segments themselves; without one they stay as they are here.
        second.set_type_ids(vec![1; second.len()]);
        let pair = guarded(|| self.tokenizer.inner.post_process(first, Some(second), true))?;
        // The library stops at the limit without a word about the rest. With special tokens that is
        // more than there is room for; without them the rest of a lone text is not to be seen.
        let at_limit = self.room == self.limit() && lengths.contains(&self.room);
        Ok(Tokens {
            ids: pair.get_ids().to_vec(),
            type_ids: pair.get_type_ids().to_vec(),
            truncated: kept != lengths || at_limit,
            ..Tokens::default()
        })
    }
}

/// How many tokens a text had before the library cut it. It stops splitting a text at the limit, at
/// the end of a word, so this need not be the length of the whole text.
fn uncut(encoding: &Encoding) -> usize {
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
