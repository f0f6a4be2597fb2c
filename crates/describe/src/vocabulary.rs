//! `tokenizer.json` and the files beside it, as far as a description needs ids and names of tokens.

use serde_json::Value;

use crate::{
    DescribeError,
    document::{Document, Reader},
};

/// The file with the vocabulary.
const FILE: &str = "tokenizer.json";
/// Most bytes of a vocabulary; those of multilingual models have 17 million.
const MOST_BYTES: usize = 64 << 20;

/// The tokens of a model, by name.
pub(crate) struct Vocabulary {
    document: Document,
}

impl Vocabulary {
    pub(crate) fn read(reader: &Reader<'_>, needed_by: &str) -> Result<Self, DescribeError> {
        let Some(bytes) = reader.bytes(FILE, MOST_BYTES)? else {
            return Err(reader.missing_file(FILE, needed_by));
        };
        let value = serde_json::from_slice(&bytes).map_err(|source| DescribeError::Json {
            model: reader.model.to_owned(),
            file: FILE.to_owned(),
            source,
        })?;
        Ok(Self { document: reader.object(FILE, "", value)? })
    }

    /// The id of a token: an added one, or one of the model's own.
    pub(crate) fn id(&self, token: &str) -> Result<Option<u32>, DescribeError> {
        for entry in self.document.list("added_tokens")?.unwrap_or_default() {
            let content = entry.get("content").and_then(Value::as_str);
            if content == Some(token) {
                return Ok(entry.get("id").and_then(id));
            }
        }
        let model = self.document.get("model").and_then(|model| model.get("vocab"));
        Ok(match model {
            Some(Value::Object(tokens)) => tokens.get(token).and_then(id),
            // Unigram: pairs of a token and its score.
            Some(Value::Array(pairs)) => pairs
                .iter()
                .position(|pair| pair.get(0).and_then(Value::as_str) == Some(token))
                .and_then(|index| u32::try_from(index).ok()),
            _ => None,
        })
    }
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The mask token, by `special_tokens_map.json` or `tokenizer_config.json`.
pub(crate) fn mask_token(reader: &mut Reader<'_>) -> Result<String, DescribeError> {
    let mut last = None;
    for file in ["special_tokens_map.json", "tokenizer_config.json"] {
        let Some(document) = reader.document(file)? else { continue };
        let token = match document.get("mask_token") {
            Some(Value::Object(_)) => {
                let inner = document.inner("mask_token")?;
                inner
                    .as_ref()
                    .map(|inner| inner.text("content"))
                    .transpose()?
                    .flatten()
                    .map(str::to_owned)
            }
            _ => document.text("mask_token")?.map(str::to_owned),
        };
        if let Some(token) = token {
            reader.note("query_padding.token", &token, file);
            return Ok(token);
        }
        last = Some(document);
    }
    match last {
        Some(document) => Err(document.missing("mask_token")),
        None => Err(reader.missing_file("tokenizer_config.json", "query expansion")),
    }
}
