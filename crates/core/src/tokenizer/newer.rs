//! Diagnoses a `tokenizer.json` that the tokenizers library rejects.

use std::path::Path;

use serde_json::Value;

use crate::error::Error;

/// Parts of the file, with the types that version 0.23 of the library supports.
const PARTS: [(&str, &[&str]); 5] = [
    ("model", &["BPE", "Unigram", "WordLevel", "WordPiece"]),
    (
        "normalizer",
        &[
            "BertNormalizer",
            "ByteLevel",
            "Lowercase",
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Nmt",
            "Precompiled",
            "Prepend",
            "Replace",
            "Sequence",
            "Strip",
            "StripAccents",
        ],
    ),
    (
        "pre_tokenizer",
        &[
            "BertPreTokenizer",
            "ByteLevel",
            "CharDelimiterSplit",
            "Digits",
            "FixedLength",
            "Metaspace",
            "Punctuation",
            "Sequence",
            "Split",
            "UnicodeScripts",
            "Whitespace",
            "WhitespaceSplit",
        ],
    ),
    (
        "post_processor",
        &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"],
    ),
    (
        "decoder",
        &[
            "BPEDecoder",
            "ByteFallback",
            "ByteLevel",
            "CTC",
            "Fuse",
            "Metaspace",
            "Replace",
            "Sequence",
            "Strip",
            "WordPiece",
        ],
    ),
];

/// Keys of lists within a `Sequence`.
const LISTS: [&str; 4] = ["normalizers", "pretokenizers", "processors", "decoders"];

/// Error for a file that the library rejected for `reason`.
pub(super) fn explain(path: &Path, bytes: &[u8], reason: String) -> Error {
    let path = path.to_owned();
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return Error::InvalidFile { path, reason };
    };
    for (part, known) in PARTS {
        if let Some(found) = unknown(&json[part], known) {
            return Error::NewerTokenizer { path, part, found: found.to_owned() };
        }
    }
    Error::InvalidFile { path, reason }
}

/// First unknown type. The JSON parser limits depth, and thereby recursion.
fn unknown<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    let own = value["type"].as_str().filter(|kind| !known.contains(kind));
    own.or_else(|| {
        let lists = LISTS.iter().filter_map(|list| value[*list].as_array());
        lists.flatten().find_map(|value| unknown(value, known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": {"type": "Sequence",
        "normalizers": [{"type": "NFC"}]}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0}}}"#;

    #[test]
    fn an_unknown_type_is_named_with_its_part() {
        let path = Path::new("tokenizer.json");
        super::super::parse_bytes(path, GOOD.as_bytes()).unwrap();
        for (from, to, part) in [
            ("\"NFC\"", "\"NFE\"", "normalizer"),
            ("\"Whitespace\"", "\"Greyspace\"", "pre_tokenizer"),
            ("\"WordLevel\"", "\"SuperBPE\"", "model"),
        ] {
            let text = GOOD.replace(from, to);
            let error = super::super::parse_bytes(path, text.as_bytes()).unwrap_err();
            let Error::NewerTokenizer { part: named, found, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!((*named, format!("{found:?}")), (part, to.to_owned()));
        }
        let error = super::super::parse_bytes(path, &GOOD.as_bytes()[1..]).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
    }
}
