//! Words as the original cuts them: runs of letters, numbers and `_`, lower-cased.

use std::hash::{Hash, Hasher};

use crate::words::{is_word, runs};

/// Bytes of a short token at most.
const SHORT: usize = 16;

/// A token, lower-cased.
pub(super) enum Token<'t> {
    Short(Short),
    Long(&'t str),
}

/// A token of a few bytes, as nearly all are: comparing two needs no look at memory elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short([u8; SHORT]); // zeros behind the text, which has none

impl Hash for Short {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_le_bytes(self.0));
    }
}

impl<'t> Token<'t> {
    fn of(text: &'t str) -> Self {
        if text.len() > SHORT {
            return Self::Long(text);
        }
        Self::Short(Short(padded(text.as_bytes())))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Short(Short(bytes)) => {
                let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(SHORT);
                str::from_utf8(&bytes[..length]).expect("the bytes are those of a text")
            }
            Self::Long(text) => text,
        }
    }
}

/// The first bytes of a text, and zeros where it has fewer.
fn padded(bytes: &[u8]) -> [u8; SHORT] {
    let mut padded = [0; SHORT];
    let length = bytes.len().min(SHORT);
    padded[..length].copy_from_slice(&bytes[..length]);
    padded
}

/// Hands the tokens of a text to `take`, in order: each run lower-cased, and cut again where that
/// brought in other characters (`İ` becomes `i` and a dot above).
pub(super) fn each_token(text: &str, mut take: impl FnMut(Token<'_>)) {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        // The usual run is short, and ASCII from end to end.
        let next = &bytes[start..];
        let mut next = next.first_chunk().copied().unwrap_or_else(|| padded(next));
        let mut ends = [0; SHORT];
        for (end, byte) in ends.iter_mut().zip(&mut next) {
            *end = if byte.is_ascii_alphanumeric() || *byte == b'_' { 0 } else { u8::MAX };
            *byte = byte.to_ascii_lowercase();
        }
        let length = u128::from_le_bytes(ends).trailing_zeros() as usize / 8;
        if let Some(end) = next.get(length)
            && end.is_ascii()
        {
            if length > 0 {
                let run = u128::from_le_bytes(next) & ((1 << (8 * length)) - 1);
                take(Token::Short(Short(run.to_le_bytes())));
            }
            // Behind the run stands one that is no word character.
            start += length + 1;
            continue;
        }
        let rest = &text[start..];
        let Some(first) = rest.chars().next() else { return };
        if is_word(first)
            && let Some(run) = runs(rest).next()
        {
            runs(&lower(run)).for_each(|token| take(Token::of(token)));
            start += run.len();
        } else {
            start += first.len_utf8();
        }
    }
}

/// Full lower-casing of a run at once, since a capital sigma depends on its neighbours.
///
/// Of all word characters one has changed since Unicode 14: `ʕ` (U+0295) was a lower-case letter and
/// is none in Rust's tables, so a sigma behind it would not be a final one.
fn lower(run: &str) -> String {
    let lower = run.to_lowercase();
    if !(run.contains('ʕ') && run.contains('Σ')) {
        return lower;
    }
    // Another lower-case letter in its place makes the same number of characters.
    let standing_in = run.replace('ʕ', "ɐ").to_lowercase();
    let both = standing_in.chars().zip(lower.chars());
    both.map(|(other, c)| if c == 'ʕ' { c } else { other }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        each_token(text, |token| tokens.push(token.as_str().to_owned()));
        tokens
    }

    #[test]
    fn tokens_are_those_of_the_original() {
        for (text, expected) in [
            ("", &[][..]),
            ("U.S.A. don't", &["u", "s", "a", "don", "t"]),
            ("1,000.50 C++", &["1", "000", "50", "c"]),
            ("½ ² ₁₂ Ⅷ ① Ⓐ", &["½", "²", "₁₂", "ⅷ", "①"]),
            ("cafe\u{301} re\u{301}sume\u{301}", &["cafe", "re", "sume"]),
            ("தமிழ் हिन्दी", &["தம", "ழ", "ह", "न", "द"]),
            ("東京タワー ΟΔΟΣ ΑΣ'Α Σ", &["東京タワー", "οδος", "ας", "α", "σ"]),
            ("ʕΣ ΑΣʕ ʕɐ", &["ʕς", "ασʕ", "ʕɐ"]),
            ("İstanbul ẞ ﬁ", &["i", "stanbul", "ß", "ﬁ"]),
            ("👩‍👩‍👧‍👦 flag 1️⃣ ab\u{ad}cd a‿b _x", &["flag", "1", "ab", "cd", "a", "b", "_x"]),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }
}
