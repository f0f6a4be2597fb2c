//! Words as the original's BM25 cuts them: runs of letters, numbers and `_`, lower-cased.

use super::word_ranges::{PUNCTUATION, WORD};

/// One bit for each code point of the Basic Multilingual Plane, where nearly all text lives.
static WORD_BITS: [u64; 1024] = {
    let mut bits = [0; 1024];
    let mut range = 0;
    while range < WORD.len() {
        let (first, last) = WORD[range];
        let mut code = first;
        while code <= last && code < 0x1_0000 {
            bits[(code >> 6) as usize] |= 1 << (code & 63);
            code += 1;
        }
        range += 1;
    }
    bits
};

/// Whether a character belongs to words: general category L* or N* in Unicode 14, or `_`. Marks,
/// symbols, joiners and what later versions added do not.
#[must_use]
pub(crate) fn is_word(c: char) -> bool {
    let code = u32::from(c);
    if code < 0x1_0000 {
        WORD_BITS[(code >> 6) as usize] >> (code & 63) & 1 == 1
    } else {
        contains(&WORD, code)
    }
}

/// Whether a text is a single punctuation character: general category P* in Unicode 14.
#[must_use]
pub(crate) fn is_punctuation(text: &str) -> bool {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => contains(&PUNCTUATION, u32::from(c)),
        _ => false,
    }
}

fn contains(ranges: &[(u32, u32)], code: u32) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= code);
    after.checked_sub(1).is_some_and(|index| code <= ranges[index].1)
}

/// The maximal runs of word characters in a text.
pub(crate) fn runs(text: &str) -> Runs<'_> {
    Runs { text, at: 0 }
}

pub(crate) struct Runs<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Runs<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let start = self.at + find(rest, true)?;
        let length = find(&self.text[start..], false).unwrap_or(self.text.len() - start);
        self.at = start + length;
        Some(&self.text[start..self.at])
    }
}

/// The place of the first character that is one of words, or is not.
fn find(text: &str, word: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii() {
            if (byte.is_ascii_alphanumeric() || byte == b'_') == word {
                return Some(at);
            }
            at += 1;
        } else {
            let c = text[at..].chars().next()?;
            if is_word(c) == word {
                return Some(at);
            }
            at += c.len_utf8();
        }
    }
    None
}

/// Hands the tokens of a text to `take`, in order: each run lower-cased, and cut again where that
/// brought in other characters (`İ` becomes `i` and a dot above). `buffer` is working space.
pub(crate) fn each_token(text: &str, buffer: &mut String, mut take: impl FnMut(&str)) {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        // The usual run is ASCII from end to end.
        let (mut end, mut class) = (start, 0);
        while let Some(found) = bytes.get(end).map(|&byte| CLASSES[usize::from(byte)])
            && found & WORD_CLASS != 0
        {
            class |= found;
            end += 1;
        }
        if bytes.get(end).is_none_or(u8::is_ascii) {
            let run = &text[start..end];
            if class & UPPER_CLASS != 0 {
                buffer.clear();
                buffer.push_str(run);
                buffer.make_ascii_lowercase();
                take(buffer);
            } else if class != 0 {
                take(run);
            }
            // Behind the run stands one that is no word character.
            start = end + 1;
            continue;
        }
        let rest = &text[start..];
        let Some(first) = rest.chars().next() else { return };
        if is_word(first) {
            let length = find(rest, false).unwrap_or(rest.len());
            runs(&lower(&rest[..length])).for_each(&mut take);
            start += length;
        } else {
            start += first.len_utf8();
        }
    }
}

const WORD_CLASS: u8 = 1;
const UPPER_CLASS: u8 = 2;

/// What a byte of ASCII is; 0 for all others.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            classes[byte as usize] = WORD_CLASS;
        }
        if byte.is_ascii_uppercase() {
            classes[byte as usize] |= UPPER_CLASS;
        }
        byte += 1;
    }
    classes
};

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
        each_token(text, &mut String::new(), |token| tokens.push(token.to_owned()));
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

    #[test]
    fn the_bitmap_and_the_ranges_agree() {
        let count = (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|&c| is_word(c));
        assert_eq!(count.count(), 133_548);
        for code in 0..0x1_0000 {
            let Some(c) = char::from_u32(code) else { continue };
            assert_eq!(is_word(c), contains(&WORD, code), "{code:x}");
            if c.is_ascii() {
                assert_eq!(is_word(c), c.is_ascii_alphanumeric() || c == '_');
            }
        }
    }

    #[test]
    fn punctuation_is_one_character() {
        assert!(is_punctuation("_") && is_punctuation("。") && is_punctuation("—"));
        assert!(!is_punctuation("") && !is_punctuation("..") && !is_punctuation("+"));
    }
}
