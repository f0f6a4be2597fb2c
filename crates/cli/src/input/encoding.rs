//! Inputs that are no UTF-8 text, by their first bytes: UTF-16, UTF-32, and binary files.

use crate::report::{CliError, failure};

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Bytes that are looked at.
pub(super) const SAMPLE: usize = 4096;

/// Files that begin so, of which some text may, too: only what is no text is called by its kind.
const KINDS: [(&[u8], &str, Option<&str>); 12] = [
    (b"\x89PNG", "a PNG image", None),
    (b"\xFF\xD8\xFF", "a JPEG image", None),
    (b"GIF8", "a GIF image", None),
    (b"RIFF", "an image or sound in RIFF", None),
    (b"%PDF", "a PDF document", None),
    (b"PK\x03\x04", "a ZIP archive or an office document", None),
    (b"\x1F\x8B", "compressed with gzip", Some("gzip -dc FILE | embedkit …")),
    (b"\x28\xB5\x2F\xFD", "compressed with zstd", Some("zstd -dc FILE | embedkit …")),
    (b"\xFD7zXZ", "compressed with xz", Some("xz -dc FILE | embedkit …")),
    (b"\x93NUMPY", "a NumPy array", None),
    (b"PAR1", "a Parquet table", None),
    (b"\x7FELF", "a program", None),
];

/// The reason why a text that begins with `sample` cannot be read; `None` for UTF-8, and for what is wrong in
/// some places only, which their lines say.
pub(super) fn refuse(sample: &[u8], place: &str) -> Option<CliError> {
    if let Some(name) = wide(sample) {
        return Some(
            failure(format!("{place} is {name} text, and UTF-8 is read"))
                .hint(format!("convert it: iconv -f {name} -t UTF-8 FILE | embedkit …")),
        );
    }
    if !is_binary(sample) {
        return None;
    }
    let kind = KINDS.iter().find(|(start, ..)| sample.starts_with(start));
    let refused = failure(match kind {
        Some((_, kind, _)) => format!("{place} is no text: it is {kind}"),
        None => format!("{place} is no text: it holds binary data"),
    });
    Some(match kind.and_then(|(.., hint)| *hint) {
        Some(hint) => refused.hint(hint),
        None => refused.hint("texts are read as lines, or as jsonl, in UTF-8"),
    })
}

/// The name of an encoding with units of two or four bytes, by its mark, or because the bytes make
/// no sense as UTF-8 and make sense so.
fn wide(sample: &[u8]) -> Option<&'static str> {
    if sample.starts_with(b"\xFF\xFE\0\0") || sample.starts_with(b"\0\0\xFE\xFF") {
        return Some("UTF-32");
    }
    if sample.starts_with(b"\xFF\xFE") || sample.starts_with(b"\xFE\xFF") {
        return Some("UTF-16");
    }
    if !sample.contains(&0) || !(is_damaged(sample) || is_controls(sample)) {
        return None;
    }
    let quads = sample.as_chunks::<4>().0;
    let is_utf32 =
        |unit: fn([u8; 4]) -> u32| are_text(quads.iter().map(|&four| char::from_u32(unit(four))));
    if is_utf32(u32::from_le_bytes) {
        return Some("UTF-32LE");
    }
    if is_utf32(u32::from_be_bytes) {
        return Some("UTF-32BE");
    }
    let mut pairs = sample.as_chunks::<2>().0;
    // The second half of a pair may be beyond the sample, and is of no use here.
    if let [whole @ .., last] = pairs
        && (last[0] & 0xFC == 0xD8 || last[1] & 0xFC == 0xD8)
    {
        pairs = whole;
    }
    let is_utf16 = |unit: fn([u8; 2]) -> u16| {
        are_text(char::decode_utf16(pairs.iter().map(|&two| unit(two))).map(Result::ok))
    };
    if is_utf16(u16::from_le_bytes) {
        return Some("UTF-16LE");
    }
    is_utf16(u16::from_be_bytes).then_some("UTF-16BE")
}

/// True if all characters are such as texts have, with a line break, space or letter of ASCII among
/// them: random bytes make characters, too, but seldom those.
fn are_text(chars: impl Iterator<Item = Option<char>>) -> bool {
    let mut ascii = false;
    for char in chars {
        let Some(char) = char.filter(|&char| is_text(char)) else { return false };
        ascii |= char.is_ascii();
    }
    ascii
}

/// True for a character that texts have.
fn is_text(char: char) -> bool {
    let private = matches!(char, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..);
    let no_character =
        u32::from(char) & 0xFFFE == 0xFFFE || matches!(char, '\u{FDD0}'..='\u{FDEF}');
    !private && !no_character && (!char.is_control() || matches!(char, '\t' | '\n' | '\r' | '\x0C'))
}

fn is_binary(sample: &[u8]) -> bool {
    let known = KINDS.iter().any(|(start, ..)| sample.starts_with(start));
    is_damaged(sample) && (known || sample.contains(&0)) || is_controls(sample)
}

/// True if it is no UTF-8, wherever it is cut off.
fn is_damaged(sample: &[u8]) -> bool {
    std::str::from_utf8(sample).is_err_and(|error| error.error_len().is_some())
}

/// True if so much of it are control characters, with a NUL among them, that it is no text. A text
/// may well have one between two words.
fn is_controls(sample: &[u8]) -> bool {
    let control =
        |byte: &&u8| **byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | 0x1B);
    sample.contains(&0) && sample.iter().filter(control).count() * 10 > sample.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn wide_text_is_named_with_and_without_its_mark() {
        for text in [
            "hello world\nand more\n",
            "a",
            "Grüße, “Welt”\r\nund mehr",
            "привет мир\nвторая строка",
            "καλημέρα κόσμε\n",
            "日本語の文章。\n次の行\n",
            "שלום עולם\n",
            "one 😀 two 😀\n",
        ] {
            assert_eq!(wide(&utf16(text, u16::to_le_bytes)), Some("UTF-16LE"), "{text}");
            assert_eq!(wide(&utf16(text, u16::to_be_bytes)), Some("UTF-16BE"), "{text}");
            let marked = format!("\u{feff}{text}");
            assert_eq!(wide(&utf16(&marked, u16::to_le_bytes)), Some("UTF-16"), "{text}");
            assert_eq!(wide(&utf16(&marked, u16::to_be_bytes)), Some("UTF-16"), "{text}");
            let quads = |unit: fn(u32) -> [u8; 4]| -> Vec<u8> {
                text.chars().flat_map(|char| unit(char.into())).collect()
            };
            assert_eq!(wide(&quads(u32::to_le_bytes)), Some("UTF-32LE"), "{text}");
            assert_eq!(wide(&quads(u32::to_be_bytes)), Some("UTF-32BE"), "{text}");
        }
        // Cut off anywhere.
        let long = utf16("a text with 😀 in it", u16::to_le_bytes);
        for end in 4..long.len() {
            assert_eq!(wide(&long[..end]), Some("UTF-16LE"), "{end}");
        }
    }

    #[test]
    fn text_is_text() {
        for text in [
            &b""[..],
            b"\n",
            b"a\0b\n",
            b"hello\0world\n",
            b"GIF89a is a format\n",
            b"%PDF and PAR1\n",
            "日本語\n".as_bytes(),
            &"日本語".as_bytes()[..8],
            b"Gr\xFC\xDFe in Latin-1\n",
            b"\x1b[31mred\x1b[0m\n",
            b"\xEF\xBB\xBFmarked\n",
        ] {
            assert!(refuse(text, "x").is_none(), "{text:?}");
        }
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        for (content, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "a PNG image"),
            (b"\x1F\x8B\x08\0\0\0\0\0\0\x03", "gzip"),
            (b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n", "PDF"),
            (b"\x93NUMPY\x01\0\x76\0{'descr'", "NumPy"),
            (b"PAR1\x15\x04\x15\x80\xA1\0", "Parquet"),
            (b"\x01\x02\x03\0\0\0\0", "binary"),
            (b"abc\xFF\0\xFE", "binary"),
        ] {
            let refused = refuse(content, "x").unwrap().to_string();
            assert!(refused.starts_with("x is no text: ") && refused.contains(kind), "{refused}");
        }
    }
}
