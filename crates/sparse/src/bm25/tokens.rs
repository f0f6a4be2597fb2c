//! Words as the original cuts them: runs of letters, numbers and `_`, lower-cased.

use crate::words::{is_word, runs};

/// Hands the tokens of a text to `take`, in order: each run lower-cased, and cut again where that
/// brought in other characters (`İ` becomes `i` and a dot above). `buffer` is working space.
pub(super) fn each_token(text: &str, buffer: &mut String, mut take: impl FnMut(&str)) {
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
        if is_word(first)
            && let Some(run) = runs(rest).next()
        {
            runs(&lower(run)).for_each(&mut take);
            start += run.len();
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
}
