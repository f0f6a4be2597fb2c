//! The words of BERT's tokenizers, looked up without the library's copies of the text.
//!
//! The library normalises and splits a text with the origin of each byte, and makes strings of all tokens, of which
//! only ids are wanted. Runs of ASCII letters and digits between white space and punctuation need none of that: BERT's
//! normaliser changes nothing but their case, BERT's pre-tokenizer makes a piece of each, and a WordPiece model that
//! has the piece takes it whole. The library gets the rest: what has other characters, or may begin an added token,
//! from one white space to the next. That splits a text where its tokens are those of the parts:
//!
//! 1. No added token has white space, so that none spans two parts.
//! 2. The normaliser maps single characters, or decomposes them and drops marks, which never goes beyond a space.
//! 3. The pre-tokenizer ends a piece at white space.

use tokenizers::{
    Encoding, Model as _, ModelWrapper, NormalizerWrapper, PostProcessor as _, PreTokenizerWrapper,
    Token, Tokenizer as Inner, models::wordpiece::WordPiece,
};

use super::cuts::normalise;
use crate::error::Error;

/// Kind of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Punctuation,
    /// A part with such a byte is the library's.
    Other,
}

/// A tokenizer whose words are looked up.
#[derive(Debug)]
pub(super) struct Words {
    classes: [Class; 256],
    lower_case: bool,
    unknown: u32,
    /// Special tokens before and after a text.
    around: [Vec<u32>; 2],
}

impl Words {
    /// Returns `None` for a tokenizer of another kind, and for one with added tokens that a byte does not tell.
    pub(super) fn of(inner: &Inner, special: bool) -> Option<Self> {
        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = inner.get_normalizer() else {
            return None;
        };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = inner.get_pre_tokenizer() else {
            return None;
        };
        let ModelWrapper::WordPiece(model) = inner.get_model() else { return None };
        let mut classes = [Class::Other; 256];
        for byte in 0..=u8::MAX {
            classes[usize::from(byte)] = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => Class::Space,
                _ if byte.is_ascii_alphanumeric() => Class::Letter,
                _ if byte.is_ascii_punctuation() => Class::Punctuation,
                _ => continue,
            };
        }
        for token in inner.get_added_vocabulary().get_added_tokens_decoder().values() {
            let normalised =
                normalise(&NormalizerWrapper::BertNormalizer(*normalizer), &token.content)?;
            for form in [&token.content, &normalised] {
                let first = form.bytes().next().filter(u8::is_ascii)?;
                if form.contains(char::is_whitespace) {
                    return None;
                }
                for byte in [first.to_ascii_lowercase(), first.to_ascii_uppercase()] {
                    classes[usize::from(byte)] = Class::Other;
                }
            }
        }
        Some(Self {
            classes,
            lower_case: normalizer.lowercase,
            unknown: model.token_to_id(&model.unk_token)?,
            around: if special { around(inner)? } else { Default::default() },
        })
    }

    /// Special tokens before and after a text.
    pub(super) fn around(&self) -> [&[u32]; 2] {
        self.around.each_ref().map(Vec::as_slice)
    }

    /// Ids of a text without special tokens: all, or the first ones, more than `enough`. `library` gives those of a
    /// part.
    pub(super) fn ids(
        &self,
        inner: &Inner,
        text: &str,
        enough: usize,
        library: impl Fn(&str) -> Result<Encoding, Error>,
    ) -> Result<Vec<u32>, Error> {
        let ModelWrapper::WordPiece(model) = inner.get_model() else {
            return Ok(library(text)?.get_ids().to_vec());
        };
        let mut lookup = Lookup { words: self, model, ids: Vec::new(), buffer: String::new() };
        let bytes = text.as_bytes();
        let class =
            |at: usize| bytes.get(at).map_or(Class::Space, |&byte| self.classes[usize::from(byte)]);
        // Parts of the library that follow each other are one: their begin and end.
        let mut odd: Option<(usize, usize)> = None;
        let mut start = 0;
        while start < bytes.len() && lookup.ids.len() <= enough {
            let mut end = start;
            let mut is_odd = false;
            while class(end) != Class::Space {
                is_odd |= class(end) == Class::Other;
                end += 1;
            }
            if is_odd {
                odd = Some((odd.map_or(start, |(begin, _)| begin), end));
            } else if end > start {
                if let Some((begin, end)) = odd.take() {
                    lookup.ids.extend_from_slice(library(&text[begin..end])?.get_ids());
                }
                lookup.part(&text[start..end]);
            }
            start = end + 1;
        }
        if let Some((begin, end)) = odd {
            lookup.ids.extend_from_slice(library(&text[begin..end])?.get_ids());
        }
        Ok(lookup.ids)
    }
}

/// Special tokens before and after a text; `None` where they are not only there.
fn around(inner: &Inner) -> Option<[Vec<u32>; 2]> {
    const TEXT: u32 = u32::MAX; // an id that no token has
    let Some(processor) = inner.get_post_processor() else { return Some(Default::default()) };
    let text = vec![Token::new(TEXT, String::new(), (0, 0)); 2];
    let processed = processor.process(Encoding::from_tokens(text, 0), None, true).ok()?;
    let ids = processed.get_ids();
    let start = ids.iter().position(|&id| id == TEXT)?;
    let (before, rest) = ids.split_at(start);
    let after = rest.strip_prefix(&[TEXT, TEXT])?;
    let added = before.len() + after.len();
    (!after.contains(&TEXT) && added == processor.added_tokens(false))
        .then(|| [before.to_vec(), after.to_vec()])
}

/// Looks words up.
struct Lookup<'t> {
    words: &'t Words,
    model: &'t WordPiece,
    ids: Vec<u32>,
    buffer: String,
}

impl Lookup<'_> {
    /// A part without white space, of ASCII letters, digits and punctuation.
    fn part(&mut self, part: &str) {
        let class = |byte: &u8| self.words.classes[usize::from(*byte)];
        let mut rest = part;
        while !rest.is_empty() {
            let letters = rest.bytes().take_while(|byte| class(byte) == Class::Letter).count();
            let (piece, behind) = rest.split_at(letters.max(1));
            if self.words.lower_case && piece.bytes().any(|byte| byte.is_ascii_uppercase()) {
                self.piece(&piece.to_ascii_lowercase());
            } else {
                self.piece(piece);
            }
            rest = behind;
        }
    }

    /// A piece: the longest token of the model that begins it, then the longest that goes on, and so forth.
    fn piece(&mut self, piece: &str) {
        let Self { words, model, ids, buffer } = self;
        if piece.len() > model.max_input_chars_per_word {
            return ids.push(words.unknown);
        }
        let (tokens, prefix) = (ids.len(), model.continuing_subword_prefix.as_str());
        let mut start = 0;
        while start < piece.len() {
            buffer.clear();
            if start > 0 {
                buffer.push_str(prefix);
            }
            let before = buffer.len();
            buffer.push_str(&piece[start..]);
            let found = loop {
                if buffer.len() == before {
                    break None;
                }
                match model.token_to_id(buffer) {
                    None => buffer.truncate(buffer.len() - 1),
                    id => break id,
                }
            };
            let Some(id) = found else {
                ids.truncate(tokens);
                return ids.push(words.unknown);
            };
            ids.push(id);
            start += buffer.len() - before;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tokenizer(normalizer: &Value, added: &[(&str, bool)]) -> Inner {
        let vocabulary = [
            "[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "##b", "ab", "##bab", "1", "##1", "-", ".",
            "[", "]", "é", "e", "##é", "##e", "漢", "A", "##A", "aba",
        ];
        let ids = vocabulary.iter().zip(0_u32..);
        let ids: serde_json::Map<_, _> =
            ids.map(|(token, id)| ((*token).to_owned(), Value::from(id))).collect();
        let added = (vocabulary.len()..).zip(added).map(|(id, (content, normalized))| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": true, "rstrip": true,
                "normalized": normalized, "special": !normalized})
        });
        let json = json!({
            "version": "1.0", "added_tokens": added.collect::<Vec<_>>(), "normalizer": normalizer,
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 7, "vocab": ids},
        });
        Inner::from_bytes(json.to_string()).unwrap()
    }

    fn bert(lowercase: bool, clean_text: bool, strip_accents: Option<bool>) -> Value {
        json!({"type": "BertNormalizer", "clean_text": clean_text, "handle_chinese_chars": true,
            "strip_accents": strip_accents, "lowercase": lowercase})
    }

    #[test]
    fn ids_are_those_of_the_library() {
        const PIECES: [&str; 36] = [
            "a", "b", "ab", "ABA", "abbab", "bbb1", "1", "-", ".", "[", "]", " ", " ", " ", "  ",
            "\t", "\n", "\r\n", "\u{b}", "\0", "\u{7f}", "é", "e\u{301}", "\u{301}", "É", "漢",
            "字", "\u{a0}", "\u{3000}", "[sep]", "[SEP]", "abababab", "+x", "\u{200d}", "≮", "İ",
        ];
        let mut state = 1_u64;
        let mut random = |below: usize| {
            // Knuth's linear congruential generator (MMIX); its high bits are the random ones.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for (normalizer, added) in [
            (bert(true, true, None), &[("[SEP]", false)][..]),
            (bert(true, false, None), &[("[SEP]", false), ("+X", true)]),
            (bert(false, true, Some(true)), &[("[sep]", true)]),
            (bert(false, false, Some(false)), &[("ab", true), ("1", false)]),
            (bert(true, true, Some(false)), &[]),
        ] {
            let inner = tokenizer(&normalizer, added);
            let words = Words::of(&inner, true).expect("its words can be looked up");
            assert_eq!(words.around(), [&[1][..], &[2]]);
            let library = |text: &str| Ok(inner.encode_fast(text, false).unwrap());
            for _ in 0..4000 {
                let text: String = (0..random(12)).map(|_| PIECES[random(PIECES.len())]).collect();
                let expected = library(&text).unwrap();
                let ids = words.ids(&inner, &text, usize::MAX, library).unwrap();
                assert_eq!(ids, expected.get_ids(), "{text:?} {normalizer}");
                let enough = random(4);
                let first = words.ids(&inner, &text, enough, library).unwrap();
                assert!(first.len() > enough || first.len() == ids.len(), "{text:?}");
                assert_eq!(first, ids[..first.len()], "{text:?}");
            }
        }
    }

    #[test]
    fn only_tokenizers_of_this_kind_have_words() {
        let usual = bert(true, true, None);
        assert!(Words::of(&tokenizer(&usual, &[("[SEP]", false)]), true).is_some());
        for added in ["a b", "é", "\u{a0}x"] {
            assert!(Words::of(&tokenizer(&usual, &[(added, false)]), true).is_none(), "{added}");
        }
        for normalizer in [json!({"type": "Lowercase"}), Value::Null] {
            assert!(Words::of(&tokenizer(&normalizer, &[]), true).is_none(), "{normalizer}");
        }
    }
}
