//! Limit on tokens: the requested one, or else that of the model's files.

use std::path::{Path, PathBuf};

use embedkit_types::{LoadOptions, ModelFiles, ModelSpec};
use serde_json::{Map, Value};

use super::{Presence, object};
use crate::error::Error;

/// Options of tokenization beside those in the model's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenizerOptions {
    asked: Option<usize>,
    stated: Option<usize>,
    pub(super) reserve: Option<usize>,
    pub(super) lower_case: bool,
}

impl TokenizerOptions {
    /// Limit that the options or else the description request, the limit that the description only
    /// declares, and its lower case.
    #[must_use]
    pub fn of(spec: &ModelSpec, load: &LoadOptions) -> Self {
        let tokens = |tokens: u32| usize::try_from(tokens).unwrap_or(usize::MAX);
        let asked = spec.token_limit.map(|limit| tokens(limit.get()));
        Self {
            asked: load.max_tokens.or(asked),
            stated: spec.max_tokens.map(tokens).filter(|&tokens| tokens > 0),
            reserve: None,
            lower_case: spec.lower_case,
        }
    }

    /// Reserves `reserve` tokens for a model that adds them to the text: the limit is lowered by these,
    /// and texts are truncated on the right, whatever the files say.
    #[must_use]
    pub fn reserving(self, reserve: usize) -> Self {
        Self { reserve: Some(reserve), ..self }
    }

    /// The same with a limit of at most `tokens`.
    #[must_use]
    pub fn limited(self, tokens: usize) -> Self {
        Self { asked: Some(self.asked.map_or(tokens, |asked| asked.min(tokens))), ..self }
    }

    /// Requested limit of models that look tokens up in a table and have no positions.
    pub(super) fn of_table(self, usual: usize) -> usize {
        self.asked.unwrap_or(usual)
    }
}

/// A limit with its source.
pub(super) struct Limit {
    /// Limit in force.
    pub(super) tokens: usize,
    /// Limit of the model's own files, if any.
    pub(super) own: Option<usize>,
    /// File that errors name.
    pub(super) path: PathBuf,
}

/// Determines the limit, in this order: the request, tokenizer_config.json, `max_seq_length` of
/// sentence_bert_config.json, the positions of config.json, the description.
///
/// # Errors
/// [`Error::InvalidFile`] if there is no limit, and errors of reading sentence_bert_config.json.
pub(super) fn settle(
    files: &ModelFiles,
    tokenizer_config: &Map<String, Value>,
    config: &Map<String, Value>,
    options: TokenizerOptions,
) -> Result<Limit, Error> {
    const SENTENCE_CONFIG: &str = "sentence_bert_config.json";
    let path = files.tokenizer_path("tokenizer_config.json");
    let positions = Positions::of(config).count;
    let tokenizers = of_tokenizer(tokenizer_config);
    let others = || -> Result<_, Error> {
        let sentences = object(&files.tokenizer_path(SENTENCE_CONFIG), Presence::Optional)?;
        let sentences = sentences.get("max_seq_length").and_then(whole);
        Ok(sentences
            .map(|tokens| (tokens, SENTENCE_CONFIG))
            .or(positions.map(|tokens| (tokens, "config.json")))
            .or(options.stated.map(|tokens| (tokens, "the model's description"))))
    };
    let own = match tokenizers {
        Some(tokens) => Some((tokens, "a number with a point there")),
        None => others()?,
    };
    if let Some(asked) = options.asked {
        // A graph may take more than config.json says; tokenizer_config.json knows.
        let most = positions.map(|positions| positions.max(tokenizers.unwrap_or(0)));
        let tokens = most.map_or(asked, |most| asked.min(most));
        if tokens < asked {
            tracing::warn!(
                asked,
                tokens,
                "the limit on tokens is the number of positions that the model has"
            );
        } else {
            tracing::debug!(tokens, "the limit on tokens is the one asked for");
        }
        return Ok(Limit { tokens, own: own.map(|(tokens, _)| tokens), path });
    }
    let (tokens, from) = own.ok_or_else(|| no_limit(&path))?;
    if integer(tokenizer_config).is_none() {
        tracing::debug!(
            tokens,
            "tokenizer_config.json has no integer for the limit on tokens; it is taken from {from}"
        );
    }
    Ok(Limit { tokens, own: Some(tokens), path })
}

fn no_limit(path: &Path) -> Error {
    Error::InvalidFile {
        path: path.to_owned(),
        reason: "neither `model_max_length` nor `max_length` is a positive integer, and \
                 sentence_bert_config.json (`max_seq_length`), config.json \
                 (`max_position_embeddings`) and the model's description (`max_tokens`) have no \
                 limit either, so the longest text is unknown; give one with `max_tokens`"
            .to_owned(),
    }
}

/// TokenizerOptions in tokenizer_config.json.
const LIMITS: [&str; 2] = ["model_max_length", "max_length"];

/// The smaller usable limit. FastEmbed takes only integers; a whole number written with a decimal point
/// is used if there is no other.
fn of_tokenizer(config: &Map<String, Value>) -> Option<usize> {
    let written = LIMITS.into_iter().filter_map(|key| whole(config.get(key)?));
    integer(config).or(written.min())
}

/// Limit that FastEmbed uses.
fn integer(config: &Map<String, Value>) -> Option<usize> {
    let integer = |key: &str| {
        let value = config.get(key)?.as_u64()?;
        usize::try_from(value).ok().filter(|&n| n > 0 && n <= isize::MAX as usize)
    };
    LIMITS.into_iter().filter_map(integer).min()
}

/// A number of tokens, as integer or as 512.0, above 0 and far below 10^30, which means no limit.
fn whole(value: &Value) -> Option<usize> {
    const MOST: f64 = (1u64 << 31) as f64;
    let number = value.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range"
    )]
    let tokens =
        (number.fract() == 0.0 && (1.0..MOST).contains(&number)).then_some(number as u64)?;
    usize::try_from(tokens).ok()
}

/// Positions of a model, from config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positions {
    /// Position of the first token: above 0 for RoBERTa, whose table starts with rows that are not for
    /// tokens.
    pub(crate) first: usize,
    /// Number of tokens with a position.
    pub(crate) count: Option<usize>,
}

/// Models whose positions start after the padding token's id.
const AFTER_PADDING: [&str; 15] = [
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "layoutlmv3",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

impl Positions {
    fn of(config: &Map<String, Value>) -> Self {
        let kind = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let first = if AFTER_PADDING.contains(&kind) {
            let padding = config.get("pad_token_id").and_then(Value::as_u64);
            padding.and_then(|id| Some(usize::from(u16::try_from(id).ok()?) + 1)).unwrap_or(2)
        } else {
            0
        };
        let table = config.get("max_position_embeddings").and_then(whole);
        let count = table.and_then(|rows| rows.checked_sub(first)).filter(|&count| count > 0);
        Self { first, count }
    }

    /// Reads the positions of the model in `files`; starts from 0 without config.json.
    ///
    /// # Errors
    /// A config.json that is not a JSON object.
    #[cfg(feature = "onnx")]
    pub(crate) fn load(files: &ModelFiles) -> Result<Self, Error> {
        Ok(Self::of(&object(&files.tokenizer_path("config.json"), Presence::Optional)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_usable_limit_is_an_integer_or_else_whole() {
        for (json, expected) in [
            (r#"{"model_max_length": 512}"#, Some(512)),
            (r#"{"model_max_length": 512, "max_length": 128}"#, Some(128)),
            (r#"{"model_max_length": 512.0}"#, Some(512)),
            (r#"{"model_max_length": 16.0, "max_length": 128}"#, Some(128)),
            (r#"{"model_max_length": 512.5}"#, None),
            (r#"{"model_max_length": 1e30}"#, None),
            (r#"{"model_max_length": 1000000000000000019884624838656}"#, None),
            (r#"{"model_max_length": 0}"#, None),
            (r#"{"model_max_length": -1}"#, None),
            (r#"{"model_max_length": -8.0}"#, None),
            (r#"{"model_max_length": "512"}"#, None),
            (r#"{"model_max_length": true}"#, None),
            (r#"{"model_max_length": null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(of_tokenizer(&map(json)), expected, "{json}");
        }
    }

    #[test]
    fn positions_of_a_roberta_begin_after_the_padding() {
        for (json, first, count) in [
            (r#"{"model_type": "bert", "max_position_embeddings": 512}"#, 0, Some(512)),
            (r#"{"model_type": "xlm-roberta", "max_position_embeddings": 514}"#, 2, Some(512)),
            (
                r#"{"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}"#,
                2,
                Some(512),
            ),
            (
                r#"{"model_type": "roberta", "max_position_embeddings": 18, "pad_token_id": 0}"#,
                1,
                Some(17),
            ),
            (r#"{"model_type": "roberta", "max_position_embeddings": 1}"#, 2, None),
            (r#"{"max_position_embeddings": "512"}"#, 0, None),
            ("{}", 0, None),
        ] {
            assert_eq!(Positions::of(&map(json)), Positions { first, count }, "{json}");
        }
    }

    #[test]
    fn limits_are_taken_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let files = ModelFiles::new(dir.path(), dir.path().join("model.onnx"));
        let sentences = dir.path().join("sentence_bert_config.json");
        std::fs::write(&sentences, r#"{"max_seq_length": 16.0}"#).unwrap();
        let config = map(r#"{"max_position_embeddings": 20}"#);
        let huge = map(r#"{"model_max_length": 1e30}"#);
        let stated = TokenizerOptions { stated: Some(24), ..TokenizerOptions::default() };
        let tokens = |tokenizer: &Map<_, _>, config: &Map<_, _>, options| {
            settle(&files, tokenizer, config, options).map(|limit| (limit.tokens, limit.own))
        };
        let own = map(r#"{"model_max_length": 12}"#);
        assert_eq!(tokens(&own, &config, stated).unwrap(), (12, Some(12)));
        assert_eq!(tokens(&huge, &config, stated).unwrap(), (16, Some(16)));
        std::fs::remove_file(sentences).unwrap();
        assert_eq!(tokens(&huge, &config, stated).unwrap(), (20, Some(20)));
        assert_eq!(tokens(&huge, &map("{}"), stated).unwrap(), (24, Some(24)));
        let error = tokens(&huge, &map("{}"), TokenizerOptions::default()).unwrap_err();
        assert!(error.to_string().contains("max_tokens"), "{error}");

        let asked = |tokens| TokenizerOptions { asked: Some(tokens), ..stated };
        assert_eq!(tokens(&own, &config, asked(8)).unwrap(), (8, Some(12)));
        // More than tokenizer_config.json says, up to the positions.
        assert_eq!(tokens(&own, &config, asked(20)).unwrap(), (20, Some(12)));
        assert_eq!(tokens(&own, &config, asked(21)).unwrap(), (20, Some(12)));
        let beyond = map(r#"{"model_max_length": 64}"#);
        assert_eq!(tokens(&beyond, &config, asked(64)).unwrap(), (64, Some(64)));
        assert_eq!(tokens(&huge, &map("{}"), asked(9000)).unwrap(), (9000, Some(24)));
    }

    #[test]
    fn options_go_before_the_description() {
        let mut spec = ModelSpec { max_tokens: Some(512), ..ModelSpec::DEFAULT };
        let mut load = LoadOptions::default();
        let of = |spec: &ModelSpec, load: &LoadOptions| TokenizerOptions::of(spec, load).asked;
        assert_eq!(of(&spec, &load), None);
        spec.token_limit = std::num::NonZeroU32::new(64);
        assert_eq!(of(&spec, &load), Some(64));
        load.max_tokens = Some(32);
        assert_eq!(of(&spec, &load), Some(32));
    }
}
