//! Reads `vocab.txt` instead of `tokenizer.json`: the WordPiece tokenizer of BERT, as in old models.

use std::path::Path;

use embedkit_types::ModelFiles;
use serde_json::{Map, Value, json};

use super::{MAX_CONFIG_BYTES, Presence, flag, object};
use crate::error::{Error, read_bounded};

pub(super) const FILE: &str = "vocab.txt";

/// Transformers classes that are BERT's tokenizer under another name, also with the suffix `Fast`.
/// Other classes read a `vocab.txt` by their own rules.
const BERT: [&str; 11] = [
    "BertTokenizer",
    "ConvBertTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "RealmTokenizer",
    "RetriBertTokenizer",
];

/// Special tokens with a role, with BERT's names.
const SPECIAL: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

/// A tokenizer as JSON, and the tokens that must get these ids.
pub(super) struct Document {
    pub(super) json: Vec<u8>,
    pub(super) ids: Vec<(String, u64)>,
}

impl Document {
    /// Checks the ids of the tokens: the library assigns those from the size of the vocabulary on.
    pub(super) fn check_ids(
        &self,
        inner: &tokenizers::Tokenizer,
        path: &Path,
    ) -> Result<(), Error> {
        for (token, id) in &self.ids {
            let found = inner.token_to_id(token).map(u64::from);
            if found != Some(*id) {
                let reason = format!(
                    "the files beside it give the token {token:?} the id {id}, and its place is {found:?}"
                );
                return Err(Error::InvalidFile { path: path.to_owned(), reason });
            }
        }
        Ok(())
    }
}

/// Builds the `tokenizer.json` that transformers would write for the folder. `config`, the content of
/// tokenizer_config.json, gets BERT's padding token if it names none.
///
/// # Errors
/// Unreadable files, a class other than BERT's, settings of a wrong type, a special token without a
/// line in the vocabulary.
pub(super) fn tokenizer_json(
    files: &ModelFiles,
    config: &mut Map<String, Value>,
) -> Result<Document, Error> {
    let path = files.tokenizer_path(FILE);
    let config_path = files.tokenizer_path("tokenizer_config.json");
    let invalid = |path: &Path, reason| Error::InvalidFile { path: path.to_owned(), reason };
    if let Some(class) = config.get("tokenizer_class").and_then(Value::as_str)
        && !BERT.contains(&class.strip_suffix("Fast").unwrap_or(class))
    {
        let reason = format!(
            "expected the vocab.txt of a BERT tokenizer, got that of a {class}; write \
             tokenizer.json with transformers: \
             AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        );
        return Err(invalid(&path, reason));
    }
    let bytes = read_bounded(&path, MAX_CONFIG_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| invalid(&path, error.to_string()))?;
    if serde_json::from_str::<Map<String, Value>>(text).is_ok() {
        let reason =
            "expected one token per line, got JSON. Is it tokenizer.json under another name?";
        return Err(invalid(&path, reason.to_owned()));
    }
    let vocab = lines(text);

    let map = object(&files.tokenizer_path("special_tokens_map.json"), Presence::Optional)?;
    let mut special = Vec::with_capacity(SPECIAL.len());
    for (key, usual) in SPECIAL {
        let named = map.get(key).and_then(content).or(config.get(key).and_then(content));
        special.push(named.unwrap_or(usual).to_owned());
    }
    let mut added = added_tokens(files, config)?;
    for content in &special {
        let Some(id) = vocab.get(content.as_str()).and_then(Value::as_u64) else { continue };
        if !added.iter().any(|(known, _)| *known == id) {
            added.push((id, token(content, true)));
        }
    }
    added.sort_by_key(|(id, _)| *id);
    let name = |token: &Value| token["content"].as_str().unwrap_or_default().to_owned();
    let ids = added.iter().map(|(id, token)| (name(token), *id)).collect();
    let added = with_ids(added);
    let [unknown, separator, padding, class, _] = &special[..] else {
        return Err(invalid(&path, "no special tokens".to_owned()));
    };
    for needed in [unknown, separator, class] {
        if !vocab.contains_key(needed.as_str()) {
            let reason = format!("it has no line for the special token {needed:?}");
            return Err(invalid(&path, reason));
        }
    }
    config.entry("pad_token").or_insert_with(|| padding.as_str().into());
    let setting =
        |key, usual| flag(&config_path, config, key).map(|set: Option<bool>| set.unwrap_or(usual));
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": setting("tokenize_chinese_chars", true)?,
            "strip_accents": flag(&config_path, config, "strip_accents")?,
            "lowercase": setting("do_lower_case", true)?,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": [separator, vocab[separator.as_str()]],
            "cls": [class, vocab[class.as_str()]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    });
    tracing::debug!(
        path = %path.display(),
        "there is no tokenizer.json; the tokenizer is BERT's, made from the vocabulary"
    );
    Ok(Document { json: tokenizer.to_string().into_bytes(), ids })
}

/// Reads one token per line; the last of equal lines counts, as in transformers.
fn lines(text: &str) -> Map<String, Value> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.zip(0_u64..).map(|(line, id)| (line.to_owned(), id.into())).collect()
}

/// Added tokens as `tokenizer.json` has them.
pub(super) fn with_ids(tokens: Vec<(u64, Value)>) -> Vec<Value> {
    let with_id = |(id, mut token): (u64, Value)| {
        token["id"] = id.into();
        token
    };
    tokens.into_iter().map(with_id).collect()
}

/// Text of a token that is a string or an object.
pub(super) fn content(value: &Value) -> Option<&str> {
    value.get("content").unwrap_or(value).as_str().filter(|content| !content.is_empty())
}

pub(super) fn token(content: &str, special: bool) -> Value {
    json!({
        "id": 0, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": !special, "special": special,
    })
}

/// Tokens with explicit ids: `added_tokens_decoder` of tokenizer_config.json, else `added_tokens.json`.
pub(super) fn added_tokens(
    files: &ModelFiles,
    config: &Map<String, Value>,
) -> Result<Vec<(u64, Value)>, Error> {
    let config_path = files.tokenizer_path("tokenizer_config.json");
    let invalid = |path: &Path, reason| Error::InvalidFile { path: path.to_owned(), reason };
    if let Some(Value::Object(tokens)) = config.get("added_tokens_decoder") {
        let one = |(id, fields): (&String, &Value)| {
            let wrong = || {
                let reason = format!(
                    "`added_tokens_decoder`: expected an id with a token, got {id:?}: {fields}"
                );
                invalid(&config_path, reason)
            };
            let number = id.parse::<u32>().map_err(|_| wrong())?;
            let (Value::Object(fields), Some(content)) = (fields, content(fields)) else {
                return Err(wrong());
            };
            let mut token = token(content, flag(&config_path, fields, "special")?.unwrap_or(false));
            for key in ["single_word", "lstrip", "rstrip", "normalized"] {
                if let Some(value) = flag(&config_path, fields, key)? {
                    token[key] = value.into();
                }
            }
            Ok((u64::from(number), token))
        };
        return tokens.iter().map(one).collect();
    }
    let path = files.tokenizer_path("added_tokens.json");
    let tokens = object(&path, Presence::Optional)?;
    let one = |(content, id): (String, Value)| {
        let number = id.as_u64().filter(|&id| u32::try_from(id).is_ok());
        let reason = || format!("the id of the token {content:?} is {id}");
        let number = number.ok_or_else(|| invalid(&path, reason()))?;
        Ok((number, token(&content, false)))
    };
    tokens.into_iter().map(one).collect()
}
