//! Entries of `config.json`, checked and bounded.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;
use crate::checkpoint::read_small;
use crate::encoder::Activation;

/// Maximum size of a configuration in bytes; the label names of large classifiers take the most.
const CONFIG_LIMIT: u64 = 10_000_000;

/// Entries of a configuration. A field may have several names; the first that is present counts.
pub(crate) struct Fields {
    path: PathBuf,
    fields: Map<String, Value>,
}

/// Names of an entry in different configurations, the one for messages first.
pub(crate) type Names = &'static [&'static str];

impl Fields {
    /// Reads `config.json` in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("config.json");
        let text = read_small(&path, CONFIG_LIMIT)?;
        let fields = serde_json::from_slice(&text).map_err(|source| Error::Json {
            path: path.clone(),
            what: "content",
            source,
        })?;
        Ok(Self { path, fields })
    }

    /// Entries in memory.
    #[cfg(test)]
    pub(crate) fn of(fields: Value) -> Self {
        let Value::Object(fields) = fields else { panic!("{fields} is not an object") };
        Self { path: PathBuf::from("config.json"), fields }
    }

    pub(crate) fn model_type(&self) -> Result<&str, Error> {
        self.text("model_type")?.ok_or_else(|| self.wrong("model_type", "is missing"))
    }

    // The bounds of the dimensions are far beyond real models and keep every product of two within 64
    // bits.

    /// Dimension of the hidden states.
    pub(crate) fn width(&self, names: Names) -> Result<usize, Error> {
        self.size(names, 1..=1 << 16)
    }

    /// Heads of a width that they divide.
    pub(crate) fn heads(&self, names: Names, width: usize) -> Result<usize, Error> {
        let heads = self.size(names, 1..=1 << 12)?;
        if !width.is_multiple_of(heads) {
            let reason = format!("is {heads}, which does not divide the width {width}");
            return Err(self.wrong(self.present(names), &reason));
        }
        Ok(heads)
    }

    pub(crate) fn layers(&self, names: Names) -> Result<usize, Error> {
        self.size(names, 1..=1024)
    }

    /// Dimension between the two layers of a feed-forward network.
    pub(crate) fn intermediate(&self, names: Names) -> Result<usize, Error> {
        self.size(names, 1..=1 << 20)
    }

    pub(crate) fn vocabulary(&self) -> Result<usize, Error> {
        self.size(&["vocab_size"], 1..=1 << 24)
    }

    /// Maximum length of a sequence.
    pub(crate) fn positions(&self, names: Names) -> Result<usize, Error> {
        self.size(names, 1..=1 << 20)
    }

    /// Rows of the token type table.
    pub(crate) fn token_types(&self, default: usize) -> Result<usize, Error> {
        self.size_or(&["type_vocab_size"], 0..=1 << 16, default)
    }

    /// Rejects decoders with the tensors of an encoder.
    pub(crate) fn refuse_decoders(&self) -> Result<(), Error> {
        self.refuse_flags(&["is_decoder", "add_cross_attention"])
    }

    /// Rejects flags that change the computation but not the tensor shapes.
    pub(crate) fn refuse_flags(&self, fields: &[&'static str]) -> Result<(), Error> {
        for field in fields {
            if self.flag(field, false)? {
                return Err(self.unsupported(field, "true", "false"));
            }
        }
        Ok(())
    }

    /// Rejects a text other than `expected`.
    pub(crate) fn refuse_other(
        &self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<(), Error> {
        match self.text(field)? {
            Some(other) if other != expected => Err(self.unsupported(field, other, expected)),
            _ => Ok(()),
        }
    }

    pub(crate) fn activation(&self, names: Names, default: &str) -> Result<Activation, Error> {
        let field = self.present(names);
        match self.text(field)?.unwrap_or(default) {
            "gelu" | "gelu_python" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            "quick_gelu" => Ok(Activation::QuickGelu),
            "relu" => Ok(Activation::Relu),
            "silu" | "swish" => Ok(Activation::Silu),
            other => Err(self.unsupported(
                field,
                other,
                "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, quick_gelu, relu, silu",
            )),
        }
    }

    /// True if the masked language model shares its last matrix with the word embeddings.
    pub(crate) fn tied(&self) -> Result<bool, Error> {
        self.flag("tie_word_embeddings", true)
    }

    /// Number of labels by their names or, without names, by their count.
    pub(crate) fn labels(&self) -> Result<Option<usize>, Error> {
        match self.get("id2label") {
            Some(Value::Object(labels)) => Ok(Some(labels.len())),
            Some(_) => Err(self.wrong("id2label", "is not an object")),
            None if self.get("num_labels").is_some() => {
                Ok(Some(self.size(&["num_labels"], 1..=1 << 20)?))
            }
            None => Ok(None),
        }
    }

    /// An entry; null counts as absent.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// True for an entry that is there and null.
    pub(crate) fn is_null(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(Value::is_null)
    }

    /// The name of an entry that is present, or the first.
    fn present(&self, names: Names) -> &'static str {
        names.iter().find(|name| self.get(name).is_some()).unwrap_or(&names[0])
    }

    pub(crate) fn size(&self, names: Names, range: RangeInclusive<usize>) -> Result<usize, Error> {
        let field = self.present(names);
        let value = self.get(field).ok_or_else(|| self.wrong(field, "is missing"))?;
        value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| range.contains(size))
            .ok_or_else(|| {
                let (low, high) = (range.start(), range.end());
                self.wrong(
                    field,
                    &format!("is {}, not an integer from {low} to {high}", brief(value)),
                )
            })
    }

    pub(crate) fn size_or(
        &self,
        names: Names,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, Error> {
        let present = self.get(self.present(names)).is_some();
        if present { self.size(names, range) } else { Ok(default) }
    }

    /// A positive number, or none if the entry is absent.
    pub(crate) fn positive(&self, names: Names) -> Result<Option<f64>, Error> {
        let field = self.present(names);
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number > 0.0 && number <= 1e15 => Ok(Some(number)),
            _ => Err(self.wrong(
                field,
                &format!("is {}, not a positive number of at most 1e15", brief(value)),
            )),
        }
    }

    /// Entries of an entry that is an object.
    pub(crate) fn object(&self, field: &'static str) -> Result<Option<Self>, Error> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                Ok(Some(Self { path: self.path.clone(), fields: fields.clone() }))
            }
            Some(other) => Err(self.wrong(field, &format!("is {}, not an object", brief(other)))),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, field: &'static str) -> Result<Option<Vec<&str>>, Error> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        match texts {
            Some(texts) => Ok(Some(texts)),
            None => Err(self.wrong(field, "is not a list of texts")),
        }
    }

    pub(crate) fn epsilon(&self, names: Names, default: f32) -> Result<f32, Error> {
        let field = self.present(names);
        let Some(value) = self.get(field) else {
            return Ok(default);
        };
        match value.as_f64() {
            Some(number) if number > 0.0 && number < 1.0 => Ok(number as f32),
            _ => {
                Err(self
                    .wrong(field, &format!("is {}, not a number between 0 and 1", brief(value))))
            }
        }
    }

    pub(crate) fn text(&self, field: &'static str) -> Result<Option<&str>, Error> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, &format!("is {}, not a text", brief(other)))),
        }
    }

    pub(crate) fn flag(&self, field: &'static str, default: bool) -> Result<bool, Error> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                Err(self.wrong(field, &format!("is {}, not true or false", brief(other))))
            }
        }
    }

    pub(crate) fn wrong(&self, field: &'static str, reason: &str) -> Error {
        Error::Config { path: self.path.clone(), field, reason: reason.to_owned() }
    }

    pub(crate) fn unsupported(
        &self,
        field: &'static str,
        found: &str,
        supported: impl Into<Cow<'static, str>>,
    ) -> Error {
        let found = found.chars().take(80).collect();
        let supported = supported.into();
        Error::Unsupported { path: self.path.clone(), field, found, supported }
    }
}

/// Shortens a value for an error message.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        scalar => scalar.to_string().chars().take(80).collect(),
    }
}
