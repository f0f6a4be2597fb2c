//! What the fuzzer of tokenizer configurations calls; the tests call it with the inputs that are kept
//! in `tests/corpus`.

use std::fs;

use embedkit_core::tokenizer::{Side, Tokenizer};
use embedkit_types::ModelFiles;

/// Five words, two special tokens around each text.
const TOKENIZER: &str = r#"{
    "version": "1.0",
    "added_tokens": [
        {"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
    ],
    "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {
        "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]
    },
    "decoder": null,
    "model": {
        "type": "WordLevel", "unk_token": "[UNK]",
        "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "hello": 4, "world": 5}
    }
}"#;
const TEXTS: [&str; 4] =
    ["", "hello world", "hello hello hello hello hello hello world", "<a> x\u{0}é"];

/// `tokenizer_config.json`, `config.json` and `special_tokens_map.json` of a stranger, with a zero
/// byte between them: whatever they say, a text has no more tokens than the limit, and says whether it
/// lost some.
///
/// # Panics
/// Where that does not hold.
#[allow(unreachable_pub, reason = "the fuzz target includes this file")]
pub fn tokenizer_config(data: &[u8]) {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    fs::write(dir.path().join("tokenizer.json"), TOKENIZER).expect("it is writable");
    let names = ["tokenizer_config.json", "config.json", "special_tokens_map.json"];
    for (name, part) in names.iter().zip(data.splitn(3, |byte| *byte == 0)) {
        fs::write(dir.path().join(name), part).expect("it is writable");
    }
    let files = ModelFiles::new(dir.path(), dir.path().join("model.onnx"));
    let Ok(tokenizer) = Tokenizer::load(&files) else { return };
    let padding = tokenizer.padding();
    assert!(matches!(padding.side, Side::Left | Side::Right) && padding.multiple_of > 0);
    for text in TEXTS {
        let Ok(tokens) = tokenizer.encode(text) else { continue };
        assert!(tokens.ids.len() <= tokenizer.limit(), "{} tokens", tokens.ids.len());
        assert!(padding.padded(tokens.ids.len()) >= tokens.ids.len());
        if tokens.truncated {
            assert_eq!(tokens.ids.len(), tokenizer.limit(), "{text:?} is cut at the limit");
        }
    }
}

#[test]
fn kept_inputs() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/tokenizer_config");
    let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
    assert!(files.len() > 3);
    for file in files {
        tokenizer_config(&fs::read(file.unwrap().path()).unwrap());
    }
}
