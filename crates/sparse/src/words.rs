//! The characters that words are made of, as the original sees them.

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

#[cfg(test)]
mod tests {
    use super::*;

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
