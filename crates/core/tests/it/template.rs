//! Pairs within a template: what is cut, and what stays.

use std::fs;

use embedkit_core::tokenizer::{Side, TemplateTokenizer, TokenizerOptions};
use embedkit_types::{LoadOptions, ModelFiles, ModelSpec, Str};
use tempfile::TempDir;

const WORDS: [&str; 9] = ["<unk>", "<s>", "</s>", "Q", "D", "E", "a", "b", "c"];
const TEMPLATE: [&str; 3] = ["<s>", "Q {query} D {document} E", "</s>"];

/// A model whose tokens are words, with a limit of 10.
fn files() -> (TempDir, ModelFiles) {
    let dir = tempfile::tempdir().unwrap();
    let vocab: Vec<_> = (0..).zip(WORDS).map(|(id, word)| format!(r#""{word}": {id}"#)).collect();
    let tokenizer = format!(
        r#"{{"version": "1.0", "added_tokens": [], "normalizer": null, "decoder": null,
        "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "post_processor": null,
        "model": {{"type": "WordLevel", "unk_token": "<unk>", "vocab": {{{}}}}}}}"#,
        vocab.join(", ")
    );
    fs::write(dir.path().join("tokenizer.json"), tokenizer).unwrap();
    let config = r#"{"model_max_length": 10, "pad_token": "<unk>", "padding_side": "left"}"#;
    fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let files = ModelFiles::new(dir.path(), dir.path().join("model.onnx"));
    (dir, files)
}

fn load(template: &[&str]) -> Result<TemplateTokenizer, String> {
    let (_dir, files) = files();
    let template: Vec<Str> = template.iter().map(|text| (*text).to_owned().into()).collect();
    TemplateTokenizer::load_with(&files, TokenizerOptions::default(), &template)
        .map_err(|error| error.to_string())
}

#[test]
fn a_long_pair_is_cut_within_its_template() {
    let tokenizer = load(&TEMPLATE).unwrap();
    assert_eq!(tokenizer.limit(), 10);
    for (query, document, expected, truncated) in [
        ("a", "b c", "<s> Q a D b c E </s>", false),
        ("", "", "<s> Q D E </s>", false),
        ("a b", "c c c", "<s> Q a b D c c c E </s>", false),
        // The document is cut, and what follows it stays.
        ("a", "b c a b c", "<s> Q a D b c a b E </s>", true),
        ("a b c a", "b b b", "<s> Q a b c a D b E </s>", true),
        // Nothing of it is left.
        ("a b c a b", "c", "<s> Q a b c a b D E </s>", true),
        ("a b c a b", "", "<s> Q a b c a b D E </s>", false),
        // There is no room for any document.
        ("a b c a b c", "b", "<s> Q a b c a b D E </s>", true),
        ("a b c a b c", "", "<s> Q a b c a b D E </s>", true),
    ] {
        let tokens = tokenizer.encode(query, document).unwrap();
        let words: Vec<_> = tokens.ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
        assert_eq!((words.join(" ").as_str(), tokens.truncated), (expected, truncated));
    }
}

#[test]
fn very_long_texts_are_cut_like_long_ones() {
    let tokenizer = load(&TEMPLATE).unwrap();
    let long = "b c a ".repeat(20_000);
    let expected = tokenizer.encode("a", "b c a b c").unwrap();
    assert_eq!(tokenizer.encode("a", &long).unwrap(), expected);
    let expected = tokenizer.encode("b c a b c a", "").unwrap();
    assert_eq!(tokenizer.encode(&long, &long).unwrap(), expected);
}

#[test]
fn the_document_may_come_first() {
    let tokenizer = load(&["<s> {document}", "Q {query}"]).unwrap();
    let words = |query, document| {
        let tokens = tokenizer.encode(query, document).unwrap();
        let words = tokens.ids.iter().map(|&id| tokenizer.token(id).unwrap());
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words("a b", "c c"), "<s> c c Q a b");
    assert_eq!(words("a b", "c c c c c c c c"), "<s> c c c c c c Q a b");
    assert_eq!(words("a a a a a a a a a", "c"), "<s> Q a a a a a a a a");
}

#[test]
fn rows_are_filled_up_behind_the_pair() {
    assert_eq!(load(&TEMPLATE).unwrap().padding().side, Side::Right);
}

#[test]
fn templates_without_room_or_texts_are_errors() {
    for (template, expected) in [
        (&["{query} {document} a a a a a a a a a a"][..], "10 tokens, and the limit is 10"),
        (&["{query}"], "`{document}` once"),
        (&["{query} {query} {document}"], "`{query}` once"),
        (&["{query} {document}", ""], "none empty"),
        (&[], "1 to 32 texts"),
    ] {
        let error = load(template).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_smaller_limit_of_the_caller_is_in_force() {
    let (_dir, files) = files();
    let template: Vec<Str> = TEMPLATE.map(Into::into).to_vec();
    let load = LoadOptions { max_tokens: Some(7), ..LoadOptions::default() };
    let options = TokenizerOptions::of(&ModelSpec::DEFAULT, &load);
    let tokenizer = TemplateTokenizer::load_with(&files, options, &template).unwrap();
    let tokens = tokenizer.encode("a", "b c").unwrap();
    assert_eq!((tokens.ids.len(), tokens.truncated), (7, true));
}
