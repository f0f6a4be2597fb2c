//! Loads `tokenizer.json` and the files beside it, with FastEmbed 0.9.1's rules on limits and padding.
//!
//! Truncation is applied here. Padding is only *described* here ([`Padding`]), since a text is padded
//! in a batch.

mod byte_pairs;
mod cuts;
mod limit;
mod newer;
mod pair;
mod template;
mod vocabulary;
mod whole;
mod words;

use std::{
    cell::Cell,
    collections::HashSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use embedkit_types::{Embedded, ModelFiles, TokenizerFiles};
use serde_json::{Map, Value};
use tokenizers::{
    AddedToken, Encoding, ModelWrapper, NormalizerWrapper, PaddingDirection, PostProcessor,
    Tokenizer as Inner, TruncationDirection, TruncationParams,
    normalizers::{Sequence, utils::Lowercase},
};

#[cfg(feature = "onnx")]
pub(crate) use self::limit::Positions;
use self::{cuts::Cuts, words::Words};
pub use self::{
    limit::TokenizerOptions,
    pair::{FirstText, PairTokenizer},
    template::TemplateTokenizer,
};
use crate::error::{Error, read_bounded};

/// Maximum size of `tokenizer.json` in bytes, ten times the largest known one.
const MAX_TOKENIZER_BYTES: u64 = 400 << 20;
/// Maximum size of configuration files in bytes. They have a few KB, special token maps of some models
/// a few hundred.
const MAX_CONFIG_BYTES: u64 = 32 << 20;
/// Maximum multiple of tokens to pad to, whatever the limit: multiples are chosen for the hardware (8,
/// 64, 128), and the original pads to them beyond the limit, too.
const USUAL_MULTIPLE: usize = 1024;
/// Maximum tokens of a padded text. It has room for every model with padding to a fixed length.
const MAX_PADDING: usize = 1 << 16;
/// Usual upper bound of bytes for each token. Texts with longer tokens need a second pass.
const BYTES_OF_A_TOKEN: usize = 16;
/// Maximum bytes of a text that is always tokenised whole.
const SHORT: usize = 4096;
/// Limit on tokens of static models, whatever their files say, as in FastEmbed and model2vec.
pub const STATIC_MAX_TOKENS: usize = 512;

/// Token ids of one text, including special tokens, without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Ids in the tokenizer's vocabulary.
    pub ids: Vec<u32>,
    /// Segment of each token of a pair (0 or 1), from the tokenizer. Empty for a single text, whose
    /// tokens are all in segment 0, since FastEmbed ignores the tokenizer there.
    pub type_ids: Vec<u32>,
    /// Attention mask; empty if the model attends to all tokens. A token that is not attended to is no
    /// padding: it has its own vector.
    pub attention: Vec<bool>,
    /// Tokens at the start that take no part in the pooling: those of a prompt, for some models.
    pub unpooled: usize,
    /// The text exceeded the limit and lost its end (or its start, if the model's files say so).
    pub truncated: bool,
}

impl Tokens {
    /// Summary of the tokens for the caller.
    pub fn embedded<T>(&self, value: T) -> Embedded<T> {
        Embedded { value, tokens: self.ids.len(), truncated: self.truncated }
    }
}

/// Side of a short row that is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before the text.
    Left,
    /// After the text.
    Right,
}

/// Padding of the rows of a batch to one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Padded side.
    pub side: Side,
    /// Id of the padding token.
    pub id: u32,
    /// Segment id of the padding of a pair.
    pub type_id: u32,
    /// Lengths are rounded up to a multiple of this number.
    pub multiple_of: usize,
    /// Fixed length of every row.
    pub fixed: Option<usize>,
}

impl Padding {
    /// Padded length of a text of `len` tokens in a batch of its own.
    #[must_use]
    pub fn padded(&self, len: usize) -> usize {
        // An empty row still needs a position, since a tensor cannot be empty.
        self.fixed.unwrap_or(0).max(len.max(1).next_multiple_of(self.multiple_of))
    }
}

/// A tokenizer with a fixed limit; thread-safe.
#[derive(Debug)]
pub struct Tokenizer {
    inner: Inner,
    special: bool,
    limit: usize,
    /// Limit of the model's own files.
    own_limit: usize,
    truncation_side: TruncationDirection,
    padding: Padding,
    cuts: Option<Cuts>,
    words: Option<Words>,
}

impl Tokenizer {
    /// Loads `tokenizer.json`, `tokenizer_config.json` and, if they exist, `config.json`,
    /// `special_tokens_map.json` and `sentence_bert_config.json` from the folder of the tokenizer. Without
    /// `tokenizer.json`, `vocab.txt` is read as a BERT vocabulary, or `vocab.json` with `merges.txt` as one
    /// of byte-level BPE.
    ///
    /// # Errors
    /// Missing, oversized or invalid files; no usable limit (one between the number of special tokens
    /// and the largest index); no padding token or no id for it.
    pub fn load(files: &ModelFiles) -> Result<Self, Error> {
        Self::load_with(files, TokenizerOptions::default())
    }

    /// [`load`](Self::load) with options from other sources than the files.
    ///
    /// # Errors
    /// See [`load`](Self::load), for the limit in force.
    pub fn load_with(files: &ModelFiles, options: TokenizerOptions) -> Result<Self, Error> {
        let config_path = files.tokenizer_path("tokenizer_config.json");
        let Source { mut inner, config: tokenizer_config } = Source::read(files)?;
        let config = object(&files.tokenizer_path("config.json"), Presence::Optional)?;
        let tokens_path = files.tokenizer_path("special_tokens_map.json");
        let special_tokens = object(&tokens_path, Presence::Optional)?;

        let settled = limit::settle(files, &tokenizer_config, &config, options)?;
        let mut limit = settled.tokens;
        let mut truncation_side = match side(&config_path, &tokenizer_config, "truncation_side")? {
            Some(Side::Left) => TruncationDirection::Left,
            Some(Side::Right) => TruncationDirection::Right,
            None => inner.get_truncation().map_or(TruncationDirection::Right, |t| t.direction),
        };
        if let Some(reserve) = options.reserve {
            limit = limit.checked_sub(reserve).filter(|&left| left > 0).ok_or_else(|| {
                let reason = format!(
                    "the limit of {limit} tokens leaves no room for a text beside {reserve} more"
                );
                Error::InvalidFile { path: settled.path.clone(), reason }
            })?;
            truncation_side = TruncationDirection::Right;
        }
        // The padding token may be one that is added here, so padding comes later.
        for token in special_tokens.values().flat_map(flatten) {
            if let Some(token) = added_token(&tokens_path, token)? {
                inner.add_special_tokens([token]).map_err(|error| Error::InvalidFile {
                    path: tokens_path.clone(),
                    reason: error.to_string(),
                })?;
            }
        }
        if options.lower_case {
            lower_case(&mut inner)?;
        }
        let padding = padding(files, &inner, &tokenizer_config, &config, limit)?;
        inner.with_padding(None);
        let special = special_count(&inner, Texts::One);
        truncate(&mut inner, &config_path, limit, truncation_side, Texts::One, special)?;
        let own_limit = settled.own.unwrap_or(limit);
        let (cuts, words) = (Cuts::of(&inner), Words::of(&inner, true));
        Ok(Self { inner, special: true, limit, own_limit, truncation_side, padding, cuts, words })
    }

    /// Loads only `tokenizer.json`, for models that look tokens up in a table: no special tokens, and
    /// at most [`STATIC_MAX_TOKENS`] tokens or the requested limit. Returns the id of the unknown
    /// token, too.
    ///
    /// # Errors
    /// A missing, oversized or invalid file.
    pub fn load_static(
        files: &ModelFiles,
        options: TokenizerOptions,
    ) -> Result<(Self, Option<u32>), Error> {
        let path = files.tokenizer_path("tokenizer.json");
        let bytes = read_bounded(&path, MAX_TOKENIZER_BYTES)?;
        let mut inner = parse_bytes(&path, &bytes)?;
        inner.with_padding(None);
        if options.lower_case {
            lower_case(&mut inner)?;
        }
        let limit = options.of_table(STATIC_MAX_TOKENS);
        let truncation_side = TruncationDirection::Right;
        truncate(&mut inner, &path, limit, truncation_side, Texts::One, 0)?;
        let padding = Padding { side: Side::Right, id: 0, type_id: 0, multiple_of: 1, fixed: None };
        let own_limit = STATIC_MAX_TOKENS;
        let (cuts, words) = (Cuts::of(&inner), Words::of(&inner, false));
        let tokenizer =
            Self { inner, special: false, limit, own_limit, truncation_side, padding, cuts, words };
        let unknown = unknown_id(&path, &bytes)?;
        Ok((tokenizer, unknown))
    }

    /// Maximum tokens of a text, including special tokens.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Padding of rows in a batch.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Pads every row to a fixed length instead of a multiple: to the limit of the model's own files,
    /// with which it was trained, or to a larger requested [`limit`](Self::limit).
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if rows cannot be padded to the limit.
    pub fn padding_to_limit(&self, files: &ModelFiles) -> Result<Padding, Error> {
        let limit = self.own_limit.max(self.limit);
        if limit > MAX_PADDING {
            return Err(Error::InvalidFile {
                path: files.tokenizer_path("tokenizer_config.json"),
                reason: format!(
                    "expected a limit of at most {MAX_PADDING} tokens to pad every text to, got {limit}"
                ),
            });
        }
        Ok(Padding { multiple_of: 1, fixed: Some(limit), ..self.padding })
    }

    /// Id of a token, including special and added tokens.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Token of an id, including special and added tokens.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Ids of all special tokens, by their flag in `tokenizer.json` or their entry in
    /// `special_tokens_map.json`.
    #[must_use]
    pub fn special_ids(&self) -> HashSet<u32> {
        let added = self.inner.get_added_tokens_decoder();
        added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }

    /// Prefix of tokens that continue a word, such as `##`; `None` if the tokenizer's model has none.
    #[must_use]
    pub fn continuing_subword_prefix(&self) -> Option<&str> {
        match self.inner.get_model() {
            ModelWrapper::WordPiece(model) => Some(&model.continuing_subword_prefix),
            ModelWrapper::BPE(model) => model.continuing_subword_prefix.as_deref(),
            ModelWrapper::WordLevel(_) | ModelWrapper::Unigram(_) => None,
        }
    }

    /// Tokenises a text and truncates it at the limit.
    ///
    /// Only the relevant part of a text far above the limit is processed, if the tokenizer allows it.
    /// Otherwise time and memory grow with the text.
    ///
    /// # Errors
    /// [`Error::Tokenize`] if the tokenizer's model has no token for a piece and no unknown token.
    pub fn encode(&self, text: &str) -> Result<Tokens, Error> {
        self.encode_enough(text, |text| self.encode_whole(text), |tokens| tokens.truncated)
    }

    /// Encodes a part of a text and, unless the result is `enough`, the whole text.
    fn encode_enough<T>(
        &self,
        text: &str,
        encode: impl Fn(&str) -> Result<T, Error>,
        enough: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        if let Some(cuts) = &self.cuts {
            let mut most = self.limit.saturating_mul(BYTES_OF_A_TOKEN).max(SHORT);
            while most < text.len() / 2 {
                // If the part fails, the whole text decides.
                if let Some(part) = cuts.part(&self.inner, text, most, self.truncation_side)
                    && let Ok(result) = encode(part)
                    && enough(&result)
                {
                    return Ok(result);
                }
                most = most.saturating_mul(4);
            }
        }
        encode(text)
    }

    fn encode_whole(&self, text: &str) -> Result<Tokens, Error> {
        if let Some(words) = &self.words {
            let [before, after] = words.around();
            let room = self.limit.saturating_sub(before.len() + after.len());
            let (mut ids, overflowed) = self.looked_up(words, text, room)?;
            let truncated = self.cut(&mut ids, room) || overflowed;
            let ids = [before, &ids, after].concat();
            return Ok(Tokens { ids, truncated, ..Tokens::default() });
        }
        let encoding = self.encoding(text, self.special)?;
        let mut ids = encoding.get_ids().to_vec();
        let truncated = self.cut(&mut ids, self.limit) || !encoding.get_overflowing().is_empty();
        Ok(Tokens { ids, truncated, ..Tokens::default() })
    }

    /// Ids of a text without special tokens, of which more than `room` are cut off later, and `true` if the library
    /// has cut some off.
    fn looked_up(&self, words: &Words, text: &str, room: usize) -> Result<(Vec<u32>, bool), Error> {
        let enough = match self.truncation_side {
            TruncationDirection::Right => room,
            TruncationDirection::Left => usize::MAX,
        };
        let overflowed = Cell::new(false);
        let library = |part: &str| {
            let encoding = self.encoding(part, false)?;
            overflowed.set(overflowed.get() || !encoding.get_overflowing().is_empty());
            Ok(encoding)
        };
        let ids = words.ids(&self.inner, text, enough, library)?;
        Ok((ids, overflowed.get()))
    }

    /// Cuts ids to `room`; `false` if there are no more.
    fn cut(&self, ids: &mut Vec<u32>, room: usize) -> bool {
        let excess = ids.len().saturating_sub(room);
        match self.truncation_side {
            TruncationDirection::Right => ids.truncate(room),
            TruncationDirection::Left => drop(ids.drain(..excess)),
        }
        excess > 0
    }

    /// Ids of a text alone, without special tokens.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn piece_ids(&self, piece: &str) -> Result<Vec<u32>, Error> {
        let Some(words) = &self.words else {
            return Ok(self.encoding(piece, false)?.get_ids().to_vec());
        };
        let room =
            self.inner.get_truncation().map_or(usize::MAX, |truncation| truncation.max_length);
        let (mut ids, _) = self.looked_up(words, piece, room)?;
        self.cut(&mut ids, room);
        Ok(ids)
    }

    fn encoding(&self, text: &str, special: bool) -> Result<Encoding, Error> {
        guarded(|| self.inner.encode_fast(text, special))
    }
}

/// Runs the library and turns its panics on odd vocabularies into errors.
fn guarded(run: impl FnOnce() -> tokenizers::Result<Encoding>) -> Result<Encoding, Error> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|_| Error::Tokenize { reason: "it panicked on this text".to_owned() })?
        .map_err(|error| Error::Tokenize { reason: error.to_string() })
}

/// Parts of a tokenizer.
struct Source {
    inner: Inner,
    /// Content of tokenizer_config.json.
    config: Map<String, Value>,
}

impl Source {
    /// Reads `tokenizer.json` and its configuration, or a vocabulary for both.
    fn read(files: &ModelFiles) -> Result<Self, Error> {
        let path = files.tokenizer_path("tokenizer.json");
        let config_path = files.tokenizer_path("tokenizer_config.json");
        match read_bounded(&path, MAX_TOKENIZER_BYTES) {
            Ok(bytes) => Ok(Self {
                inner: parse_bytes(&path, &bytes)?,
                config: object(&config_path, Presence::Required)?,
            }),
            Err(error) if is_missing(&error) => match Self::from_vocabulary(files) {
                Some(source) => source,
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes a tokenizer from the vocabulary of the folder; `None` where there is none.
    fn from_vocabulary(files: &ModelFiles) -> Option<Result<Self, Error>> {
        let has = |form: TokenizerFiles| {
            form.names().iter().all(|name| files.tokenizer_path(name).is_file())
        };
        let form =
            [TokenizerFiles::WordPiece, TokenizerFiles::BytePairs].into_iter().find(|&f| has(f))?;
        let read = || {
            let config_path = files.tokenizer_path("tokenizer_config.json");
            let mut config = object(&config_path, Presence::Optional)?;
            let document = match form {
                TokenizerFiles::BytePairs => byte_pairs::tokenizer_json(files, &mut config)?,
                _ => vocabulary::tokenizer_json(files, &mut config)?,
            };
            let path = files.tokenizer_path(form.names()[0]);
            let inner = parse_bytes(&path, &document.json)?;
            document.check_ids(&inner, &path)?;
            Ok(Self { inner, config })
        };
        Some(read())
    }
}

/// Puts a normaliser for lower case before those of the tokenizer, unless it has one, as
/// sentence-transformers does. Special tokens in a text stay as they are.
fn lower_case(inner: &mut Inner) -> Result<(), Error> {
    let failed = |error: tokenizers::Error| Error::Tokenize { reason: error.to_string() };
    let mut chain = vec![NormalizerWrapper::Lowercase(Lowercase)];
    match inner.get_normalizer() {
        Some(normalizer) if lowers(normalizer) => return Ok(()),
        Some(NormalizerWrapper::Sequence(sequence)) => chain.extend_from_slice(sequence.as_ref()),
        Some(other) => chain.push(other.clone()),
        None => {}
    }
    inner.with_normalizer(Some(Sequence::new(chain))).map_err(failed)?;
    Ok(())
}

fn lowers(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::Lowercase(_) => true,
        NormalizerWrapper::BertNormalizer(bert) => bert.lowercase,
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(lowers),
        _ => false,
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn parse_bytes(path: &Path, bytes: &[u8]) -> Result<Inner, Error> {
    catch_unwind(AssertUnwindSafe(|| Inner::from_bytes(bytes)))
        .unwrap_or_else(|_| Err("the tokenizers library panicked on it".into()))
        .map_err(|error| newer::explain(path, bytes, error.to_string()))
}

/// Texts of one row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    One,
    Pair,
}

/// Number of special tokens around a text or a pair.
fn special_count(inner: &Inner, texts: Texts) -> usize {
    inner.get_post_processor().map_or(0, |processor| processor.added_tokens(texts == Texts::Pair))
}

fn truncate(
    inner: &mut Inner,
    path: &Path,
    limit: usize,
    direction: TruncationDirection,
    texts: Texts,
    special: usize,
) -> Result<(), Error> {
    let invalid = |reason| Error::InvalidFile { path: path.to_owned(), reason };
    // The library would not truncate below this limit.
    if limit < special {
        let every = match texts {
            Texts::One => "text",
            Texts::Pair => "pair of texts",
        };
        return Err(invalid(format!(
            "the limit of {limit} tokens is below the {special} special tokens of every {every}"
        )));
    }
    // The library truncates silently. If it then makes room for special tokens, its overflow shows
    // that; otherwise the limit is one token higher, which `encode` cuts off. For pairs the position of
    // the cut decides which text counts as the longer one.
    let one_more = special == 0 && texts == Texts::One;
    let max_length = if one_more { limit.saturating_add(1) } else { limit };
    let params = TruncationParams { max_length, direction, ..TruncationParams::default() };
    inner.with_truncation(Some(params)).map(|_| ()).map_err(|error| invalid(error.to_string()))
}

#[derive(Clone, Copy)]
enum Presence {
    Required,
    Optional,
}

fn object(path: &Path, presence: Presence) -> Result<Map<String, Value>, Error> {
    let bytes = match read_bounded(path, MAX_CONFIG_BYTES) {
        Err(error) if matches!(presence, Presence::Optional) && is_missing(&error) => {
            return Ok(Map::new());
        }
        other => other?,
    };
    let invalid = |reason| Error::InvalidFile { path: path.to_owned(), reason };
    match serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))? {
        Value::Object(map) => Ok(map),
        _ => Err(invalid("expected a JSON object".to_owned())),
    }
}

/// A boolean setting; `null` or a missing key is the default.
fn flag(path: &Path, map: &Map<String, Value>, key: &str) -> Result<Option<bool>, Error> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(Error::InvalidFile {
            path: path.to_owned(),
            reason: format!("`{key}`: expected true or false, got {other}"),
        }),
    }
}

fn side(path: &Path, config: &Map<String, Value>, key: &str) -> Result<Option<Side>, Error> {
    match config.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::String(side)) if side.is_empty() => Ok(None),
        Some(Value::String(side)) if side == "left" => Ok(Some(Side::Left)),
        Some(Value::String(side)) if side == "right" => Ok(Some(Side::Right)),
        Some(other) => Err(Error::InvalidFile {
            path: path.to_owned(),
            reason: format!("`{key}`: expected \"left\" or \"right\", got {other}"),
        }),
    }
}

/// Tokens of the special tokens map: strings, objects, and lists of either.
fn flatten(value: &Value) -> std::slice::Iter<'_, Value> {
    match value {
        Value::Array(list) => list.iter(),
        single => std::slice::from_ref(single).iter(),
    }
}

fn added_token(path: &Path, value: &Value) -> Result<Option<AddedToken>, Error> {
    let map = match value {
        Value::String(content) => return Ok(Some(AddedToken::from(content.clone(), true))),
        Value::Object(map) => map,
        _ => return Ok(None),
    };
    let content = match map.get("content") {
        Some(Value::String(content)) => content,
        // The original's token is empty then, and an empty token is not added.
        None => return Ok(None),
        Some(other) => {
            return Err(Error::InvalidFile {
                path: path.to_owned(),
                reason: format!("the `content` of a special token is {other}, not a string"),
            });
        }
    };
    let mut token = AddedToken::from(content.clone(), true);
    for (name, flag) in [
        ("single_word", &mut token.single_word),
        ("lstrip", &mut token.lstrip),
        ("rstrip", &mut token.rstrip),
        ("normalized", &mut token.normalized),
    ] {
        match map.get(name) {
            None => {}
            Some(Value::Bool(value)) => *flag = *value,
            Some(other) => {
                return Err(Error::InvalidFile {
                    path: path.to_owned(),
                    reason: format!("`{name}` of the token {content:?} is {other}, not a boolean"),
                });
            }
        }
    }
    Ok(Some(token))
}

fn padding(
    files: &ModelFiles,
    inner: &Inner,
    tokenizer_config: &Map<String, Value>,
    config: &Map<String, Value>,
    limit: usize,
) -> Result<Padding, Error> {
    let path = files.tokenizer_path("tokenizer_config.json");
    let serialised = inner.get_padding();
    let configured = match tokenizer_config.get("pad_token") {
        Some(Value::Object(token)) => token.get("content").and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    let token = serialised.map(|padding| padding.pad_token.as_str()).filter(|t| !t.is_empty());
    let Some(token) = token.or(configured) else {
        return Err(Error::InvalidFile {
            path,
            reason: "no `pad_token` is given, here or in tokenizer.json".to_owned(),
        });
    };
    let id = match (serialised, config.get("pad_token_id")) {
        (Some(padding), _) => padding.pad_id,
        (None, Some(Value::Null) | None) => {
            inner.token_to_id(token).ok_or_else(|| Error::InvalidFile {
                path: path.clone(),
                reason: format!("the padding token {token:?} has no id in the vocabulary"),
            })?
        }
        (None, Some(id)) => {
            id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| Error::InvalidFile {
                path: files.tokenizer_path("config.json"),
                reason: format!("`pad_token_id`: expected a token id, got {id}"),
            })?
        }
    };
    let multiple_of = serialised.and_then(|padding| padding.pad_to_multiple_of).unwrap_or(1).max(1);
    let largest = limit.clamp(USUAL_MULTIPLE, MAX_PADDING);
    if multiple_of > largest {
        return Err(Error::InvalidFile {
            path: files.tokenizer_path("tokenizer.json"),
            reason: format!(
                "`pad_to_multiple_of`: expected at most {largest} for a limit of {limit} tokens, got \
                 {multiple_of}"
            ),
        });
    }
    let serialised_side = serialised.map(|padding| match padding.direction {
        PaddingDirection::Left => Side::Left,
        PaddingDirection::Right => Side::Right,
    });
    Ok(Padding {
        side: side(&path, tokenizer_config, "padding_side")?
            .or(serialised_side)
            .unwrap_or(Side::Right),
        id,
        type_id: serialised.map_or(0, |padding| padding.pad_type_id),
        multiple_of,
        fixed: None,
    })
}

/// Id of the unknown token: `unk_id` of a Unigram model, else the entry of `unk_token`.
fn unknown_id(path: &Path, tokenizer_json: &[u8]) -> Result<Option<u32>, Error> {
    let json: Value = serde_json::from_slice(tokenizer_json)
        .map_err(|error| Error::InvalidFile { path: path.to_owned(), reason: error.to_string() })?;
    let model = &json["model"];
    let id = if model["type"] == "Unigram" {
        &model["unk_id"]
    } else {
        match model["unk_token"].as_str() {
            Some(token) if !token.is_empty() => &model["vocab"][token],
            _ => &Value::Null,
        }
    };
    Ok(id.as_u64().and_then(|id| u32::try_from(id).ok()))
}
