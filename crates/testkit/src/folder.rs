//! A folder as sentence-transformers writes it, around a tiny checkpoint without an ONNX file.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

/// A text of ids that the checkpoint's golden values are of.
pub const TINY_TEXT: &str = "w6 w18 w21 w21 w12 w25 w6 w4 w11";

/// The mean of PyTorch's last hidden states for [`TINY_TEXT`]: `short.hidden-no-token-types`, row 0, of
/// the converter's case `bert-plain`.
pub const TINY_VECTOR: [f32; 8] = [
    -0.165_093_18,
    -1.632_963_4,
    0.493_577_15,
    -0.123_562_105,
    1.529_464,
    1.310_03,
    2.729_945_2,
    -2.855_972_3,
];

/// A temporary folder with a BERT checkpoint, a tokenizer of whole words (`w0` to `w28`), and the files that
/// describe it: mean pooling, no normalisation, at most 12 tokens.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn sentence_folder() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, content).expect("a file");
    };
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../convert/tests/data/bert-plain");
    for name in ["config.json", "model.safetensors"] {
        let content = fs::read(checkpoint.join(name));
        write(name, &content.unwrap_or_else(|e| panic!("cannot read {name}: {e}")));
    }
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]);
    let pooling = json!({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true});
    let vocabulary: serde_json::Map<_, _> =
        (0..29).map(|id| (format!("w{id}"), id.into())).collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w1"},
    });
    for (name, value) in [
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", json!({"max_seq_length": 12, "do_lower_case": false})),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", json!({"model_max_length": 16, "pad_token": "w0"})),
    ] {
        write(name, value.to_string().as_bytes());
    }
    dir
}
