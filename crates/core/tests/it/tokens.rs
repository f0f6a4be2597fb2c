//! Token ids of every golden case, without a runtime.

use std::path::{Path, PathBuf};

use embedkit_core::tokenizer::{PairTokenizer, Side, Tokenizer, TokenizerOptions};
use embedkit_testkit::{Repair, dense_cases, zip_equal};
use embedkit_types::{Encoder, LoadOptions, ModelFiles, Task, Token};

#[test]
fn ids_and_masks_equal_the_original() {
    let mut checked = 0;
    for case in dense_cases() {
        let Task::TextDense(task) = &case.spec.task else { continue };
        let (Some(ids), Some(masks)) = (&case.golden.input_ids, &case.golden.attention_mask) else {
            continue;
        };
        let repaired = case.golden.repaired.as_ref();
        if task.encoder == Encoder::Static || repaired.is_some_and(|r| r.to == Repair::Error) {
            continue;
        }
        let limits = TokenizerOptions::of(&case.spec, &LoadOptions::default());
        let tokenizer = Tokenizer::load_with(&case.files(), limits).unwrap();
        for ((text, ids), mask) in case.golden.texts.iter().zip(ids).zip(masks) {
            let tokens = tokenizer.encode(text).unwrap();
            let real: Vec<u32> =
                ids.iter().zip(mask).filter_map(|(&id, &mask)| (mask == 1).then_some(id)).collect();
            assert_eq!(tokens.ids, real, "{}: {text:?}", case.name);
            assert!(tokens.ids.len() <= tokenizer.limit());
            let padding = tokenizer.padding();
            let padded = ids.iter().zip(mask).find_map(|(&id, &mask)| (mask == 0).then_some(id));
            let Some(padded) = padded.filter(|_| !real.is_empty()) else { continue };
            assert_eq!(padding.id, padded, "{}", case.name);
            assert_eq!(padding.side == Side::Left, mask[0] == 0, "{}", case.name);
        }
        checked += 1;
    }
    assert!(checked > 80, "only {checked} cases have tokens");
}

/// Ids that transformers gives for a vocabulary of byte-level BPE.
#[derive(serde::Deserialize)]
struct Expected {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    pair: ExpectedPair,
}

#[derive(serde::Deserialize)]
struct ExpectedPair {
    first: String,
    second: String,
    ids: Vec<u32>,
}

#[test]
fn byte_pairs_without_a_tokenizer_file_equal_transformers() {
    for name in ["roberta", "roberta-prefix-space", "qwen2", "gpt2"] {
        let root = byte_pairs().join(name);
        let files = ModelFiles::new(&root, root.join("model.onnx"));
        let expected = std::fs::read(root.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&expected).unwrap();
        let tokenizer = Tokenizer::load(&files).unwrap();
        for (text, ids) in zip_equal(&expected.texts, &expected.ids) {
            assert_eq!(tokenizer.encode(text).unwrap().ids, *ids, "{name}: {text:?}");
        }
        let pairs = PairTokenizer::load(&files).unwrap();
        let ExpectedPair { first, second, ids } = expected.pair;
        assert_eq!(pairs.encode(&first, &second).unwrap().ids, ids, "{name}");
    }
}

fn byte_pairs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/byte-pairs")
}

#[test]
fn damaged_vocabularies_of_byte_pairs_are_errors() {
    let load = |changed: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "config.json"] {
            std::fs::copy(byte_pairs().join("roberta").join(name), dir.path().join(name)).unwrap();
        }
        for (name, content) in changed {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        Tokenizer::load(&ModelFiles::new(dir.path(), dir.path().join("model.onnx")))
    };
    load(&[]).unwrap();
    // Without a class the type of the model decides.
    let limit = r#"{"model_max_length": 32}"#;
    load(&[("tokenizer_config.json", limit)]).unwrap();
    for (changed, part) in [
        (vec![("vocab.json", "[]")], "vocab.json"),
        (vec![("vocab.json", r#"{"a": -1}"#)], "the id of the token \"a\" is -1"),
        (vec![("vocab.json", r#"{"a": 0}"#), ("merges.txt", "")], "\"<s>\" has no id"),
        (vec![("merges.txt", "#version: 0.2\na\n")], "vocab.json"),
        (vec![("merges.txt", "a zzzz\n")], "vocab.json"),
        (
            vec![("tokenizer_config.json", r#"{"tokenizer_class": "CLIPTokenizer"}"#)],
            "CLIPTokenizer",
        ),
        (vec![("tokenizer_config.json", limit), ("config.json", "{}")], "the model type none"),
    ] {
        let error = load(&changed).unwrap_err().to_string();
        assert!(error.contains(part), "{changed:?}: {error}");
    }
}

#[test]
fn a_cut_text_is_reported_whatever_the_special_tokens_and_the_side() {
    let mut seen = 0;
    for name in ["limit-8", "limit-8-bpe-left", "limit-8-unigram", "truncation-left"] {
        let tokenizer = Tokenizer::load(&embedkit_testkit::dense_case(name).files()).unwrap();
        for words in 0..60 {
            let tokens = tokenizer.encode(&"fox ".repeat(words)).unwrap();
            let longer = tokenizer.encode(&"fox ".repeat(words + 40)).unwrap();
            assert!(tokens.ids.len() <= tokenizer.limit());
            // A text that is not cut gets longer with its words.
            assert_eq!(
                tokens.truncated,
                tokens.ids.len() == longer.ids.len() && {
                    let next = tokenizer.encode(&"fox ".repeat(words.saturating_sub(1))).unwrap();
                    next.ids.len() == tokenizer.limit()
                },
                "{name}: {words} words"
            );
            seen += usize::from(tokens.truncated);
        }
    }
    let (tokenizer, _) = Tokenizer::load_static(
        &embedkit_testkit::dense_case("static").files(),
        TokenizerOptions::default(),
    )
    .unwrap();
    for (words, truncated) in [(511, false), (512, false), (513, true), (2000, true)] {
        for word in ["fox ", "漢 "] {
            let tokens = tokenizer.encode(&word.repeat(words)).unwrap();
            assert_eq!((tokens.ids.len(), tokens.truncated), (words.min(512), truncated));
        }
    }
    assert!(seen > 100);
}

#[test]
fn all_tokens_of_a_text_are_given_whatever_the_limit_and_the_side() {
    for name in ["limit-8", "limit-8-bpe-left", "limit-8-unigram", "truncation-left"] {
        let tokenizer = Tokenizer::load(&embedkit_testkit::dense_case(name).files()).unwrap();
        let text = |words| vec!["fox"; words].join(" ");
        let two = tokenizer.tokenize(&text(2), true).unwrap();
        let start = |token: &Token| token.range.as_ref().map(|range| range.start);
        // A word that is not the first may have other tokens; its blank may belong to it.
        let later = two.iter().filter(|token| start(token) >= Some(3)).count();
        let first = two.iter().filter(|token| start(token).is_some_and(|at| at < 3)).count();
        let before = two.iter().take_while(|token| token.special).count();
        let (specials, word) = (two.len() - first - later, &two[before + first..][..later]);
        for words in [1, 2, 5, 40] {
            let tokens = tokenizer.tokenize(&text(words), true).unwrap();
            assert_eq!(tokens.len(), specials + first + later * (words - 1), "{name}: {words}");
            let inner: Vec<_> = tokens.iter().filter(|token| !token.special).collect();
            assert!(tokens[..before].iter().all(|token| token.special && token.range.is_none()));
            for (index, tokens) in inner[first..].chunks(later).enumerate() {
                for (token, expected) in tokens.iter().zip(word) {
                    assert_eq!(token.id, expected.id, "{name}");
                    assert_eq!(start(token), start(expected).map(|at| at + 4 * index), "{name}");
                }
            }
            let plain = tokenizer.tokenize(&text(words), false).unwrap();
            assert!(plain.iter().eq(inner.iter().copied()), "{name}: {words}");
            if words == 1 {
                let ids = tokenizer.encode("fox").unwrap().ids;
                assert!(tokens.iter().map(|token| token.id).eq(ids), "{name}");
            }
            let ids: Vec<_> = tokens.iter().map(|token| token.id).collect();
            assert_eq!(tokenizer.decode(&ids, true).unwrap().trim(), text(words), "{name}");
        }
        let error = tokenizer.decode(&[1 << 30], true).unwrap_err().to_string();
        assert!(error.contains("1073741824 is not in the vocabulary"), "{error}");
    }
}

#[test]
fn damaged_tokenizers_never_panic() {
    let case = embedkit_testkit::dense_case("mean");
    let (dir, files) = case.copy();
    Tokenizer::load(&files).unwrap();
    let mut state = 42u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        let whole = std::fs::read(case.dir.join(name)).unwrap();
        for _ in 0..60 {
            let mut bytes = whole.clone();
            match random(3) {
                0 => bytes.truncate(random(whole.len())),
                1 => {
                    let at = random(bytes.len());
                    bytes[at] = u8::try_from(random(256)).unwrap();
                }
                _ => {
                    let at = random(bytes.len());
                    bytes.splice(at..at, *b"\xff[{\"1e999");
                }
            }
            std::fs::write(dir.path().join(name), &bytes).unwrap();
            if let Ok(tokenizer) = Tokenizer::load(&files) {
                let _ = tokenizer.encode("the quick brown fox, 狐 🦊");
            }
        }
        std::fs::write(dir.path().join(name), &whole).unwrap();
    }
}

/// The tiny tokenizer with other padding in its tokenizer.json and another limit.
fn padded_as(padding: &str, limit: u64) -> Result<Tokenizer, embedkit_core::Error> {
    let case = embedkit_testkit::dense_case("mean-normalized").files();
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(case.path("tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["padding"] = serde_json::from_str(padding).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let config = format!(r#"{{"model_max_length": {limit}, "pad_token": "[PAD]"}}"#);
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let root = folder.path().to_owned();
    Tokenizer::load(&ModelFiles::new(&root, root.join("model.onnx")))
}

/// Padding of a strategy to a multiple.
fn padding(strategy: &str, multiple: &str) -> String {
    format!(
        r#"{{"strategy": {strategy}, "direction": "Right", "pad_to_multiple_of": {multiple},
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}}"#
    )
}

/// The original forgets a fixed length, takes 0 for none, and rounds up beyond the limit.
#[test]
fn padding_to_a_multiple_is_the_original_s_within_bounds() {
    for (strategy, multiple, expected) in [
        (r#""BatchLongest""#, "null", 5),
        (r#""BatchLongest""#, "0", 5),
        (r#""BatchLongest""#, "1", 5),
        (r#""BatchLongest""#, "8", 8),
        (r#""BatchLongest""#, "100", 100),
        (r#""BatchLongest""#, "1024", 1024),
        (r#"{"Fixed": 1000000000000}"#, "null", 5),
        (r#"{"Fixed": 18446744073709551615}"#, "8", 8),
        (r#"{"Fixed": 0}"#, "0", 5),
    ] {
        let tokenizer = padded_as(&padding(strategy, multiple), 64).unwrap();
        assert_eq!(tokenizer.padding().padded(5), expected, "{strategy}, {multiple}");
        assert_eq!(tokenizer.padding().fixed, None);
    }
    let long = padded_as(&padding(r#""BatchLongest""#, "4096"), 8192).unwrap();
    assert_eq!(long.padding().padded(4097), 8192);
}

#[test]
fn padding_that_no_text_needs_is_an_error() {
    for (multiple, limit) in [
        ("1025", 64),
        ("1000000000", 64),
        ("1000000000000", 64),
        ("4611686018427387904", 64),
        ("18446744073709551615", 64),
        // A limit as absurd as the multiple allows nothing more.
        ("1000000000000", 1_000_000_000_000),
    ] {
        let error = padded_as(&padding(r#""BatchLongest""#, multiple), limit).unwrap_err();
        let text = error.to_string();
        let named =
            text.contains("tokenizer.json") && text.contains("`pad_to_multiple_of`: expected");
        assert!(named && text.contains(multiple), "{text}");
    }
}

#[test]
fn rows_are_padded_to_the_limit_where_that_is_one() {
    let case = embedkit_testkit::dense_case("mean-normalized").files();
    let load = |limit| padded_as(&padding(r#""BatchLongest""#, "8"), limit).unwrap();
    let fixed = load(100).padding_to_limit(&case).unwrap();
    assert_eq!((fixed.padded(5), fixed.padded(100)), (100, 100));
    let error = load(1_000_000_000_000).padding_to_limit(&case).unwrap_err().to_string();
    assert!(
        error.contains("at most 65536 tokens to pad every text to, got 1000000000000"),
        "{error}"
    );
}
