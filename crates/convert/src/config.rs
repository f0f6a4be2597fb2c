//! Reads `config.json`, checked and bounded.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;
use crate::checkpoint::read_small;

/// Maximum size of a configuration in bytes; the label names of large classifiers take the most.
const CONFIG_LIMIT: u64 = 10_000_000;
const MODEL_TYPES: &str = "bert, roberta, xlm-roberta, camembert, distilbert, mpnet";
/// Maximum distance in `relative_position_bucket` of the MPNet models, which has no entry in the
/// configuration.
const MPNET_BUCKETS: u64 = 32;

/// Dimensions and variants of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) model_type: String,
    pub(crate) family: Family,
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    /// Rows of the token type table; 0 if the model has none.
    pub(crate) token_types: usize,
    pub(crate) activation: Activation,
    pub(crate) norm_epsilon: f32,
    /// Padding id, if positions are counted from it.
    pub(crate) padding: usize,
    /// Buckets of relative positions; 0 if the model has none.
    pub(crate) buckets: usize,
    /// The masked language model shares its last matrix with the word embeddings.
    pub(crate) tied: bool,
    /// Number of classes, if the configuration says so.
    pub(crate) labels: Option<usize>,
}

/// Architectures that share tensor names and structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Bert,
    Roberta,
    DistilBert,
    MpNet,
}

/// Activation function of the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Exact GELU, x Φ(x).
    Gelu,
    /// GELU approximated by tanh.
    GeluTanh,
    Relu,
}

impl Config {
    /// Reads `config.json` in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("config.json");
        let text = read_small(&path, CONFIG_LIMIT)?;
        let fields = serde_json::from_slice(&text).map_err(|source| Error::Json {
            path: path.clone(),
            what: "content",
            source,
        })?;
        Fields { path, fields }.config()
    }
}

struct Fields {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Fields {
    fn config(&self) -> Result<Config, Error> {
        let model_type =
            self.text("model_type")?.ok_or_else(|| self.wrong("model_type", "is missing"))?;
        let family = match model_type {
            "bert" => Family::Bert,
            "roberta" | "xlm-roberta" | "camembert" => Family::Roberta,
            "distilbert" => Family::DistilBert,
            "mpnet" => Family::MpNet,
            _ => return Err(self.unsupported("model_type", model_type, MODEL_TYPES)),
        };
        self.refuse_variants()?;
        let distil = family == Family::DistilBert;
        let name = |usual, in_distilbert| if distil { in_distilbert } else { usual };
        // The bounds are far beyond real models and keep every product of two within 64 bits.
        let hidden = self.size(name("hidden_size", "dim"), 1..=1 << 16)?;
        let heads_field = name("num_attention_heads", "n_heads");
        let heads = self.size(heads_field, 1..=1 << 12)?;
        if hidden % heads != 0 {
            return Err(self.wrong(
                heads_field,
                &format!("is {heads}, which does not divide the width {hidden}"),
            ));
        }
        let positions = self.size("max_position_embeddings", 1..=1 << 20)?;
        Ok(Config {
            model_type: model_type.to_owned(),
            family,
            hidden,
            layers: self.size(name("num_hidden_layers", "n_layers"), 1..=1024)?,
            heads,
            intermediate: self.size(name("intermediate_size", "hidden_dim"), 1..=1 << 20)?,
            vocabulary: self.size("vocab_size", 1..=1 << 24)?,
            positions,
            token_types: match family {
                Family::Bert | Family::Roberta => {
                    self.size_or("type_vocab_size", 1..=1 << 16, 2)?
                }
                Family::DistilBert | Family::MpNet => 0,
            },
            activation: self.activation(name("hidden_act", "activation"))?,
            norm_epsilon: if distil { 1e-12 } else { self.epsilon("layer_norm_eps", 1e-12)? },
            padding: match family {
                Family::Roberta => self.size_or("pad_token_id", 0..=positions - 1, 1)?,
                _ => 1, // MPNet always counts from 1; the others do not count
            },
            buckets: if family == Family::MpNet { self.buckets()? } else { 0 },
            tied: self.flag("tie_word_embeddings", true)?,
            labels: self.labels()?,
        })
    }

    /// Rejects entries that change the computation but not the tensor shapes.
    fn refuse_variants(&self) -> Result<(), Error> {
        for field in ["is_decoder", "add_cross_attention"] {
            if self.flag(field, false)? {
                return Err(self.unsupported(field, "true", "false"));
            }
        }
        match self.text("position_embedding_type")? {
            None | Some("absolute") => Ok(()),
            Some(other) => Err(self.unsupported("position_embedding_type", other, "absolute")),
        }
    }

    fn activation(&self, field: &'static str) -> Result<Activation, Error> {
        match self.text(field)?.unwrap_or("gelu") {
            "gelu" | "gelu_python" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(self.unsupported(
                field,
                other,
                "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu",
            )),
        }
    }

    fn buckets(&self) -> Result<usize, Error> {
        let field = "relative_attention_num_buckets";
        match self.get(field) {
            None => Ok(MPNET_BUCKETS as usize),
            Some(value) if value.as_u64() == Some(MPNET_BUCKETS) => Ok(MPNET_BUCKETS as usize),
            Some(other) => Err(self.unsupported(field, &other.to_string(), "32")),
        }
    }

    /// Number of labels by their names or, without names, by their count.
    fn labels(&self) -> Result<Option<usize>, Error> {
        match self.get("id2label") {
            Some(Value::Object(labels)) => Ok(Some(labels.len())),
            Some(_) => Err(self.wrong("id2label", "is not an object")),
            None if self.get("num_labels").is_some() => {
                Ok(Some(self.size("num_labels", 1..=1 << 20)?))
            }
            None => Ok(None),
        }
    }

    /// An entry; null counts as absent.
    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn size(&self, field: &'static str, range: RangeInclusive<usize>) -> Result<usize, Error> {
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

    fn size_or(
        &self,
        field: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, Error> {
        if self.get(field).is_some() { self.size(field, range) } else { Ok(default) }
    }

    fn epsilon(&self, field: &'static str, default: f32) -> Result<f32, Error> {
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

    fn text(&self, field: &'static str) -> Result<Option<&str>, Error> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, &format!("is {}, not a text", brief(other)))),
        }
    }

    fn flag(&self, field: &'static str, default: bool) -> Result<bool, Error> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                Err(self.wrong(field, &format!("is {}, not true or false", brief(other))))
            }
        }
    }

    fn wrong(&self, field: &'static str, reason: &str) -> Error {
        Error::Config { path: self.path.clone(), field, reason: reason.to_owned() }
    }

    fn unsupported(&self, field: &'static str, found: &str, supported: &'static str) -> Error {
        let found = found.chars().take(80).collect();
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
