//! Reads `vocab.json` and `merges.txt` instead of `tokenizer.json`: byte-level BPE, as in old models.

use std::path::Path;

use embedkit_types::{ModelFiles, TokenizerFiles};
use serde_json::{Map, Value, json};

use super::{
    MAX_CONFIG_BYTES, Presence, flag, object,
    vocabulary::{Document, added_tokens, content, token},
};
use crate::error::{Error, read_bounded};

/// Rules of a class of Transformers: the splitting of texts, and the special tokens around them.
#[derive(Clone, Copy)]
enum Family {
    /// `<s>` and `</s>` around a text.
    Roberta,
    /// No special token around a text, or one before it.
    Gpt2,
    /// Composed characters, single digits, no special token.
    Qwen2,
}

/// Classes of Transformers, also with the suffix `Fast`. Other classes read the files by their own rules.
const CLASSES: [(&str, Family); 5] = [
    ("RobertaTokenizer", Family::Roberta),
    ("LongformerTokenizer", Family::Roberta),
    ("BartTokenizer", Family::Roberta),
    ("GPT2Tokenizer", Family::Gpt2),
    ("Qwen2Tokenizer", Family::Qwen2),
];

/// Types of models whose files do not name a class.
const MODEL_TYPES: [(&str, Family); 6] = [
    ("roberta", Family::Roberta),
    ("longformer", Family::Roberta),
    ("bart", Family::Roberta),
    ("gpt2", Family::Gpt2),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen2),
];

/// Words, single digits and punctuation of Qwen2.
const QWEN2_WORDS: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

impl Family {
    fn of(files: &ModelFiles, config: &Map<String, Value>) -> Result<Self, Error> {
        let model = object(&files.tokenizer_path("config.json"), Presence::Optional)?;
        let class = [config, &model].into_iter().find_map(|fields| {
            fields.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned)
        });
        let known = |table: &[(&str, Self)], name: &str| {
            table.iter().find(|(known, _)| *known == name).map(|&(_, family)| family)
        };
        let (found, got) = match class {
            Some(class) => (
                known(&CLASSES, class.strip_suffix("Fast").unwrap_or(&class)),
                format!("a {class}"),
            ),
            None => {
                let model_type = model.get("model_type").and_then(Value::as_str).unwrap_or("none");
                (known(&MODEL_TYPES, model_type), format!("the model type {model_type}"))
            }
        };
        found.ok_or_else(|| Error::InvalidFile {
            path: files.tokenizer_path(TokenizerFiles::BytePairs.names()[0]),
            reason: format!(
                "expected the vocabulary of one of {}, got that of {got}; write tokenizer.json with \
                 transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                CLASSES.map(|(name, _)| name).join(", ")
            ),
        })
    }

    /// Special tokens with a role, with the names of the class.
    fn special(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Roberta => &[
                ("cls_token", "<s>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("mask_token", "<mask>"),
            ],
            Self::Gpt2 => &[
                ("bos_token", "<|endoftext|>"),
                ("eos_token", "<|endoftext|>"),
                ("unk_token", "<|endoftext|>"),
            ],
            Self::Qwen2 => &[("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")],
        }
    }
}

/// Builds the `tokenizer.json` that transformers would write for the folder. `config`, the content of
/// tokenizer_config.json, gets the padding token of the class if it names none.
///
/// # Errors
/// Unreadable files, a class other than those known, settings of a wrong type, a special token without an
/// id.
pub(super) fn tokenizer_json(
    files: &ModelFiles,
    config: &mut Map<String, Value>,
) -> Result<Document, Error> {
    let [vocab_path, merges_path] =
        [0, 1].map(|file| files.tokenizer_path(TokenizerFiles::BytePairs.names()[file]));
    let config_path = files.tokenizer_path("tokenizer_config.json");
    let family = Family::of(files, config)?;
    let vocab = vocabulary(&vocab_path)?;
    let map = object(&files.tokenizer_path("special_tokens_map.json"), Presence::Optional)?;

    let mut added = added_tokens(files, config)?;
    let mut names = Map::new();
    for &(role, usual) in family.special() {
        let named = map.get(role).and_then(content).or(config.get(role).and_then(content));
        let name = named.unwrap_or(usual);
        names.insert(role.to_owned(), name.into());
        let Some(id) = vocab.get(name).and_then(Value::as_u64) else { continue };
        if !added.iter().any(|(known, _)| *known == id) {
            added.push((id, token(name, true)));
        }
    }
    added.sort_by_key(|(id, _)| *id);
    let id_of = |role: &str| -> Result<(Value, Value), Error> {
        let name = names[role].clone();
        let of_added = added.iter().find(|(_, token)| token["content"] == name);
        let id = of_added.map(|(id, _)| *id).or_else(|| vocab.get(name.as_str()?)?.as_u64());
        let reason = || format!("the special token {name} has no id");
        let id = id.ok_or_else(|| invalid(&vocab_path, reason()))?;
        Ok((name, id.into()))
    };
    let prefix = flag(&config_path, config, "add_prefix_space")?.unwrap_or(false);
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": true,
    });
    let post_processor = match family {
        Family::Roberta => {
            let ((cls, cls_id), (sep, sep_id)) = (id_of("cls_token")?, id_of("sep_token")?);
            json!({
                "type": "RobertaProcessing", "cls": [cls, cls_id], "sep": [sep, sep_id],
                "trim_offsets": true, "add_prefix_space": prefix,
            })
        }
        Family::Gpt2 if flag(&config_path, config, "add_bos_token")?.unwrap_or(false) => {
            let (bos, id) = id_of("bos_token")?;
            let special = json!({"SpecialToken": {"id": bos, "type_id": 0}});
            let text = |id, type_id| json!({"Sequence": {"id": id, "type_id": type_id}});
            json!({
                "type": "TemplateProcessing",
                "single": [special, text("A", 0)],
                "pair": [special, text("A", 0), text("B", 1)],
                "special_tokens": {bos.as_str().unwrap_or_default(): {"id": bos, "ids": [id], "tokens": [bos]}},
            })
        }
        Family::Gpt2 | Family::Qwen2 => bytes.clone(),
    };
    let (normalizer, pre_tokenizer) = match family {
        Family::Roberta | Family::Gpt2 => (Value::Null, bytes),
        Family::Qwen2 => {
            let mut bytes = bytes;
            bytes["use_regex"] = false.into();
            let words = json!({
                "type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated",
                "invert": false,
            });
            let both = json!({"type": "Sequence", "pretokenizers": [words, bytes]});
            (json!({"type": "NFC"}), both)
        }
    };
    if let Some(padding) = names.get("pad_token") {
        config.entry("pad_token").or_insert_with(|| padding.clone());
    }
    let ids = added.iter().map(|(id, token)| (name_of(token), *id)).collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": super::vocabulary::with_ids(added),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab,
            "merges": merges(&merges_path)?,
        },
    });
    tracing::debug!(
        path = %vocab_path.display(),
        "there is no tokenizer.json; the tokenizer is made from the vocabulary and its merges"
    );
    Ok(Document { json: tokenizer.to_string().into_bytes(), ids })
}

fn name_of(token: &Value) -> String {
    token["content"].as_str().unwrap_or_default().to_owned()
}

/// Tokens with their ids.
fn vocabulary(path: &Path) -> Result<Map<String, Value>, Error> {
    let bytes = read_bounded(path, MAX_CONFIG_BYTES)?;
    let vocab: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| invalid(path, error.to_string()))?;
    let is_id = |id: &Value| id.as_u64().is_some_and(|id| u32::try_from(id).is_ok());
    match vocab.iter().find(|(_, id)| !is_id(id)) {
        Some((token, id)) => Err(invalid(path, format!("the id of the token {token:?} is {id}"))),
        None => Ok(vocab),
    }
}

/// Pairs of tokens in the order in which they are merged; the first line may name a version.
fn merges(path: &Path) -> Result<Vec<String>, Error> {
    let bytes = read_bounded(path, MAX_CONFIG_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| invalid(path, error.to_string()))?;
    let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

fn invalid(path: &Path, reason: String) -> Error {
    Error::InvalidFile { path: path.to_owned(), reason }
}
