//! Parts of texts compared with whole texts, for each allowed structure and for real tokenizers.

use std::fmt::Write;

use tokenizers::{OffsetReferential, OffsetType, PreTokenizer};

use super::*;
use crate::tokenizer::{PairTokenizer, Tokenizer, Tokens};

/// Generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn of<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.below(list.len())]
    }
}

const WORDS_OF_TEXTS: [&str; 48] = [
    "the",
    "quick",
    "Fox",
    "it's",
    "WE'LL",
    "don't",
    "naïve",
    "nai\u{308}ve",
    "\u{e9}te\u{301}",
    "Ünïcödé",
    "İstanbul",
    "ŉ",
    "ß",
    "ΑΣ",
    "Σίσυφος",
    "привет",
    "שלום",
    "عربي",
    "\u{600}12",
    "हिन्दी",
    "ไทย",
    "狐狸",
    "。",
    "文字、",
    "ｆｕｌｌ",
    "カ\u{3099}",
    "한국어",
    "\u{1112}\u{1161}\u{11ab}",
    "ﬁ",
    "™",
    "½",
    "Ⅳ",
    "\u{fdfa}",
    "👩\u{200d}👩\u{200d}👧",
    "🇩🇪🇫",
    "e\u{304}\u{304}",
    "\u{301}",
    "\u{a8}",
    "12345",
    "3.14",
    "...",
    "``",
    "''",
    "<mask>",
    "[MASK]",
    "</s>",
    "user@example.org",
    "\u{ad}",
];
const SPACES_OF_TEXTS: [&str; 22] = [
    " ", " ", " ", " ", " ", " ", "\n", "\n", "  ", "   ", "\t", "\r\n", "\n\n", " \n", "\n ",
    "\u{a0}", "\u{2003}", "\u{3000}", "\u{200b}", "\u{2028}", "\u{b}", "\u{1}",
];

/// Words with all kinds of spaces; sometimes none, or a long word.
fn text(random: &mut Random, bytes: usize) -> String {
    let plain = random.below(3) == 0;
    let mut text = String::new();
    while text.len() < bytes {
        let words = if plain { &WORDS_OF_TEXTS[..6] } else { &WORDS_OF_TEXTS[..] };
        match random.below(60) {
            0 => text.push_str(&random.of(words).repeat(40)),
            1 => write!(text, "{}{}", random.of(words), random.of(words)).unwrap(),
            _ => text.push_str(random.of(words)),
        }
        if random.below(12) > 0 {
            text.push_str(random.of(&SPACES_OF_TEXTS));
        }
    }
    text
}

/// Pieces of a text that the model sees, and ids of added tokens. `None` if the library panics, which
/// it does for some texts in which white space of added tokens overlaps.
fn pieces(inner: &Inner, text: &str) -> Option<Vec<(String, Option<u32>)>> {
    let run = || {
        let vocabulary = inner.get_added_vocabulary();
        let mut split = vocabulary.extract_and_normalize(inner.get_normalizer(), text);
        inner.get_pre_tokenizer().unwrap().pre_tokenize(&mut split).unwrap();
        let splits = split.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        let piece = |(text, _, tokens): (&str, _, &Option<Vec<tokenizers::Token>>)| {
            (text.to_owned(), tokens.as_ref().map(|tokens| tokens[0].id))
        };
        splits.into_iter().map(piece).collect()
    };
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn inner(normalizer: &str, pre_tokenizer: &str, added: &str) -> Inner {
    let json = format!(
        r#"{{"version": "1.0", "added_tokens": [{added}], "normalizer": {normalizer},
            "pre_tokenizer": {pre_tokenizer}, "post_processor": null, "decoder": null,
            "model": {{"type": "WordLevel", "unk_token": "?", "vocab": {{"?": 0, "the": 1}}}}}}"#
    );
    json.parse().unwrap()
}

fn added(id: u32, content: &str, flags: &str) -> String {
    let flag = |name: &str| flags.contains(name);
    format!(
        r#"{{"id": {id}, "content": "{content}", "single_word": {}, "lstrip": {}, "rstrip": {},
            "normalized": {}, "special": {}}}"#,
        flag("single"),
        flag("lstrip"),
        flag("rstrip"),
        flag("normalized"),
        flag("special")
    )
}

fn sequence(kind: &str, list: &[&str]) -> String {
    format!(r#"{{"type": "Sequence", "{kind}": [{}]}}"#, list.join(", "))
}

fn split(pattern: &str, behavior: &str, invert: bool) -> String {
    let pattern = serde_json::to_string(pattern).unwrap();
    format!(
        r#"{{"type": "Split", "pattern": {{"Regex": {pattern}}}, "behavior": "{behavior}", "invert": {invert}}}"#
    )
}

const BERT: &str = r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
    "strip_accents": null, "lowercase": true}"#;
const META: &str =
    r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#;
const BYTES: &str =
    r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;

/// `"null"`, and each allowed kind, alone or combined as in models. The character map is that of a real
/// model, if it is present.
fn normalizers() -> Vec<String> {
    let cased = BERT.replace("\"lowercase\": true", "\"lowercase\": false");
    let replace = |pattern: &str, content: &str| {
        format!(r#"{{"type": "Replace", "pattern": {pattern}, "content": "{content}"}}"#)
    };
    let quotes = [replace(r#"{"String": "``"}"#, "\\\""), replace(r#"{"String": "''"}"#, "\\\"")];
    let mut list = vec!["null".to_owned(), BERT.to_owned(), cased];
    for kind in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"] {
        list.push(format!(r#"{{"type": "{kind}"}}"#));
    }
    for pattern in SPACES {
        let pattern = serde_json::to_string(pattern).unwrap();
        list.push(replace(&format!(r#"{{"Regex": {pattern}}}"#), " "));
    }
    let spaces = replace(r#"{"Regex": "\\s+"}"#, " ");
    list.push(sequence(
        "normalizers",
        &[r#"{"type": "NFC"}"#, &spaces, r#"{"type": "Lowercase"}"#],
    ));
    let strip = r#"{"type": "Strip", "strip_left": false, "strip_right": true}"#;
    let Some(dir) = embedkit_testkit::asset("static-tokenlearn") else { return list };
    let file = std::fs::read(dir.join("tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let map = json["normalizer"].to_string();
    let wide = replace(r#"{"Regex": " {2,}"}"#, "▁");
    list.push(sequence("normalizers", &[&map, strip, &wide]));
    let (nfkd, accents) = (r#"{"type": "NFKD"}"#, r#"{"type": "StripAccents"}"#);
    let lower = r#"{"type": "Lowercase"}"#;
    list.push(sequence("normalizers", &[&quotes[0], &quotes[1], nfkd, accents, lower, &map]));
    list.push(map);
    list
}

fn pre_tokenizers() -> Vec<String> {
    let digits = r#"{"type": "Digits", "individual_digits": true}"#;
    let numbers = r#"{"type": "Digits", "individual_digits": false}"#;
    let punctuation = r#"{"type": "Punctuation", "behavior": "Isolated"}"#;
    let bytes = BYTES.replace("\"use_regex\": true", "\"use_regex\": false");
    let prefixed = BYTES.replace("\"add_prefix_space\": false", "\"add_prefix_space\": true");
    let first = META.replace("always", "first");
    let mut list = vec![META.to_owned(), first.clone(), BYTES.to_owned(), prefixed.clone()];
    for kind in ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"] {
        list.push(format!(r#"{{"type": "{kind}"}}"#));
    }
    for words in WORDS {
        list.push(split(words, "Isolated", false));
        list.push(sequence("pretokenizers", &[&split(words, "Removed", true), &bytes]));
    }
    let whitespace = r#"{"type": "WhitespaceSplit"}"#;
    let scripts = r#"{"type": "UnicodeScripts"}"#;
    for parts in [
        &[whitespace, META][..],
        &[whitespace, &first],
        &[punctuation, META],
        &[digits, &prefixed],
        &[numbers, punctuation, BYTES],
        &[META, scripts, punctuation],
    ] {
        list.push(sequence("pretokenizers", parts));
    }
    list
}

/// Tokens of all kinds except those that forbid cuts. The library panics if white space after one token
/// is the start of another, so those are separate.
fn added_tokens() -> [String; 2] {
    let usual = [
        added(2, "[MASK]", "special lstrip"),
        added(3, "quick", "single normalized"),
        added(4, "fox", "normalized"),
    ]
    .join(", ");
    let strip =
        [added(5, "<mask>", "normalized lstrip rstrip"), added(6, "</s>", "special rstrip")];
    let spaces = [added(5, "  ", "normalized"), added(6, "\\n\\n", "special")];
    [strip, spaces].map(|more| format!("{usual}, {}", more.join(", ")))
}

#[test]
fn the_pieces_of_both_parts_are_those_of_the_whole() {
    let mut random = Random(1);
    let (mut cuts_found, mut known, mut panics) = (0, 0, 0);
    let tokens = added_tokens();
    for normalizer in normalizers() {
        for pre_tokenizer in pre_tokenizers() {
            let inner = inner(&normalizer, &pre_tokenizer, &tokens[known % 2]);
            let Some(cuts) = Cuts::of(&inner) else {
                panic!("{normalizer:.200} {pre_tokenizer}");
            };
            known += 1;
            for _ in 0..12 {
                let text = text(&mut random, 300);
                let Some(whole) = pieces(&inner, &text) else {
                    panics += 1;
                    continue;
                };
                let most = 20 + random.below(260);
                for direction in [TruncationDirection::Right, TruncationDirection::Left] {
                    let Some(part) = cuts.part(&inner, &text, most, direction) else { continue };
                    assert!(part.len() <= most && !part.is_empty());
                    let (start, end) = match direction {
                        TruncationDirection::Right => (part, &text[part.len()..]),
                        TruncationDirection::Left => (&text[..text.len() - part.len()], part),
                    };
                    let both = [start, end].map(|part| pieces(&inner, part).unwrap()).concat();
                    assert_eq!(
                        both, whole,
                        "{normalizer:.200} {pre_tokenizer} {start:?} | {end:?}"
                    );
                    cuts_found += 1;
                }
            }
        }
    }
    assert!(panics < known, "{panics} panics");
    assert!(cuts_found > known * 8, "{cuts_found} cuts in texts of {known} tokenizers");
}

#[test]
fn nothing_is_cut_where_pieces_or_added_tokens_may_span_a_space() {
    let known = |normalizer: &str, pre_tokenizer: &str, added: &str| {
        Cuts::of(&inner(normalizer, pre_tokenizer, added)).is_some()
    };
    let whitespace = r#"{"type": "WhitespaceSplit"}"#;
    assert!(known("null", whitespace, ""));
    for pre_tokenizer in [
        "null",
        r#"{"type": "Digits", "individual_digits": true}"#,
        r#"{"type": "Punctuation", "behavior": "Isolated"}"#,
        &META.replace("\"split\": true", "\"split\": false"),
        &BYTES.replace("\"use_regex\": true", "\"use_regex\": false"),
        &split(r"\w+ \w+", "Isolated", false),
        &split(WORDS[0], "MergedWithNext", false),
        &split(WORDS[0], "Removed", false),
        &sequence("pretokenizers", &[r#"{"type": "UnicodeScripts"}"#, whitespace]),
    ] {
        assert!(!known("null", pre_tokenizer, ""), "{pre_tokenizer}");
    }
    for normalizer in [
        r#"{"type": "Prepend", "prepend": "▁"}"#,
        r#"{"type": "ByteLevel"}"#,
        r#"{"type": "Strip", "strip_left": true, "strip_right": false}"#,
        r#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#,
        r#"{"type": "Replace", "pattern": {"String": "x"}, "content": ""}"#,
        r#"{"type": "Replace", "pattern": {"Regex": "x y"}, "content": "z"}"#,
    ] {
        assert!(!known(normalizer, whitespace, ""), "{normalizer}");
        assert!(!known(&sequence("normalizers", &[normalizer]), whitespace, ""), "{normalizer}");
    }
    for token in ["New York", "New\\nYork", "a "] {
        assert!(!known("null", whitespace, &added(2, token, "")), "{token}");
    }
    // Its normalised form has spaces around it.
    assert!(!known(BERT, whitespace, &added(2, "狐狸", "normalized")));
}

/// The tokenizer itself, and a copy that tokenises whole texts.
fn both(mut load: impl FnMut() -> Tokenizer) -> (Tokenizer, Tokenizer) {
    let (some, mut whole) = (load(), load());
    whole.cuts = None;
    (some, whole)
}

fn compare(name: &str, (some, whole): &(Tokenizer, Tokenizer), texts: usize) {
    assert!(some.cuts.is_some(), "{name}");
    let mut random = Random(7);
    for _ in 0..texts {
        let bytes = 200 + random.below(20_000);
        let text = text(&mut random, bytes);
        let expected: Tokens = whole.encode(&text).unwrap();
        assert_eq!(some.encode(&text).unwrap(), expected, "{name}: {text:?}");
    }
}

#[test]
fn tokens_of_long_texts_are_those_of_whole_tokenisation() {
    for name in ["limit-8", "limit-8-unigram", "truncation-left", "limit-8-bpe-left"] {
        let files = embedkit_testkit::dense_case(name).files();
        compare(name, &both(|| Tokenizer::load(&files).unwrap()), 30);
    }
    for name in ["minilm", "static-tokenlearn"] {
        let Some(root) = embedkit_testkit::asset(name) else { continue };
        let files = embedkit_types::ModelFiles::new(&root, root.join("model.onnx"));
        let load = || match name {
            "static-tokenlearn" => {
                Tokenizer::load_static(&files, super::super::TokenizerOptions::default()).unwrap().0
            }
            _ => Tokenizer::load(&files).unwrap(),
        };
        compare(name, &both(load), 40);
    }
}

#[test]
fn a_long_text_is_cut_near_the_limit() {
    let files = embedkit_testkit::dense_case("limit-8").files();
    let tokenizer = Tokenizer::load(&files).unwrap();
    let cuts = tokenizer.cuts.as_ref().unwrap();
    let text = "the quick brown fox\n".repeat(100_000);
    for direction in [TruncationDirection::Right, TruncationDirection::Left] {
        let part = cuts.part(&tokenizer.inner, &text, 4096, direction).unwrap();
        assert!((4000..=4096).contains(&part.len()), "{}", part.len());
    }
    // Without a cut the text is tokenised whole, and so is a text within the limit.
    let word = "x".repeat(100_000);
    assert_eq!(cuts.part(&tokenizer.inner, &word, 4096, TruncationDirection::Right), None);
    assert!(!tokenizer.encode(&word).unwrap().truncated);
    assert!(!tokenizer.encode(&" ".repeat(100_000)).unwrap().truncated);
    assert!(tokenizer.encode(&(" ".repeat(100_000) + &text)).unwrap().truncated);
}

#[test]
fn pairs_of_long_texts_are_those_of_whole_tokenisation() {
    for name in ["limit-10", "limit-11-left", "limit-3", "unigram", "byte-level"] {
        let files = embedkit_testkit::rerank_case(name).files();
        let some = PairTokenizer::load(&files).unwrap();
        let mut whole = PairTokenizer::load(&files).unwrap();
        whole.tokenizer.cuts = None;
        let mut random = Random(3);
        let bytes = [1, 30, 6000, 9000, 9000, 70_000];
        for _ in 0..16 {
            let [first, second] = [0, 1].map(|_| {
                let bytes = bytes[random.below(bytes.len())];
                text(&mut random, bytes)
            });
            // An equal length is a separate case.
            for second in [&second, &first] {
                let found = some.encode(&first, second).unwrap();
                assert_eq!(
                    found,
                    whole.encode(&first, second).unwrap(),
                    "{name}: {first:?} {second:?}"
                );
            }
        }
    }
}
