//! The encoder: its configuration, and the files with its graph or its weights.

use std::fmt;

use crate::{
    DescribeError,
    document::{Document, Origin, Reader},
    modules::within,
};

/// Output that a graph of a checkpoint needs. The names are those of `embedkit-convert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Head {
    /// Token vectors of the last layer.
    Hidden,
    /// Logits over the vocabulary.
    MaskedLm,
    /// Logits of a sequence classifier.
    Classifier,
    /// Logits of tokens as the next one after each sequence.
    NextToken {
        /// Id of the first token.
        true_token: u32,
        /// Id of the second token, if there is one.
        false_token: Option<u32>,
    },
}

/// The name that `embedkit-convert` reads.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.write_str("hidden"),
            Self::MaskedLm => f.write_str("mlm"),
            Self::Classifier => f.write_str("classifier"),
            Self::NextToken { true_token, false_token: None } => {
                write!(f, "next-token-{true_token}")
            }
            Self::NextToken { true_token, false_token: Some(false_token) } => {
                write!(f, "next-token-{true_token}-{false_token}")
            }
        }
    }
}

/// A checkpoint of Transformers, from which a graph can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Folder of `config.json` and the weights within the model's; empty for its root.
    pub folder: String,
    /// `model_type` in `config.json`, such as `bert`.
    pub model_type: String,
    /// Output that the graph needs.
    pub head: Head,
    /// Files with the weights: `model.safetensors`, or the index of shards and the shards. Empty where
    /// there are none in this format.
    pub weights: Vec<String>,
}

/// The configuration of an encoder.
pub(crate) struct Config {
    pub(crate) document: Document,
    pub(crate) model_type: String,
    folder: String,
}

impl Config {
    /// Reads `config.json` in a folder.
    pub(crate) fn read(
        reader: &Reader<'_>,
        folder: &str,
        needed_by: &str,
    ) -> Result<Self, DescribeError> {
        let document = reader.required(&within(folder, "config.json"), needed_by)?;
        let model_type = document.text("model_type")?.ok_or_else(|| document.missing("model_type"));
        let model_type = model_type?.to_owned();
        Ok(Self { document, model_type, folder: folder.to_owned() })
    }

    /// Folder of the configuration; empty for the root.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// Dimension of the token vectors. The keys are those of BERT, DistilBERT, T5 and GPT-2.
    pub(crate) fn hidden(&self) -> Result<Origin, DescribeError> {
        let text = self.document.inner("text_config")?;
        for document in [Some(&self.document), text.as_ref()].into_iter().flatten() {
            if let Some(origin) = document.dim(&["hidden_size", "dim", "d_model", "n_embd"])? {
                return Ok(origin);
            }
        }
        Err(self.document.missing("hidden_size"))
    }

    /// The first of the architectures, such as `BertForMaskedLM`.
    pub(crate) fn architecture(&self) -> Result<Option<&str>, DescribeError> {
        let Some([first, ..]) = self.document.list("architectures")? else { return Ok(None) };
        match first.as_str() {
            Some(name) => Ok(Some(name)),
            None => Err(self.document.wrong("architectures", "a list of texts", first)),
        }
    }

    /// The checkpoint beside the configuration.
    pub(crate) fn checkpoint(&self, reader: &Reader<'_>, head: Head) -> Checkpoint {
        let (folder, model_type) = (self.folder.clone(), self.model_type.clone());
        Checkpoint { weights: weights(reader, &folder), folder, model_type, head }
    }
}

/// Files with the weights in a folder.
fn weights(reader: &Reader<'_>, folder: &str) -> Vec<String> {
    let whole = within(folder, "model.safetensors");
    if reader.has(&whole) {
        return vec![whole];
    }
    let index = within(folder, "model.safetensors.index.json");
    if !reader.has(&index) {
        return Vec::new();
    }
    let shard = |path: &&String| {
        let start = within(folder, "model-");
        path.strip_prefix(start.as_str())
            .is_some_and(|rest| !rest.contains('/') && rest.ends_with(".safetensors"))
    };
    let shards = reader.paths.iter().filter(shard).cloned();
    std::iter::once(index).chain(shards).collect()
}

/// Graphs in a folder and in its folder `onnx`, the usual names first.
pub(crate) fn graphs(reader: &Reader<'_>, folder: &str) -> Vec<String> {
    let usual = [within(folder, "onnx/model.onnx"), within(folder, "model.onnx")];
    let places = [within(folder, "onnx/"), within(folder, "")];
    let is_graph = |path: &&String| {
        path.ends_with(".onnx")
            && places.iter().any(|place| {
                path.strip_prefix(place.as_str()).is_some_and(|name| !name.contains('/'))
            })
    };
    let rank = |path: &String| usual.iter().position(|one| one == path).unwrap_or(usual.len());
    let mut graphs: Vec<_> = reader.paths.iter().filter(is_graph).cloned().collect();
    graphs.sort_by_key(rank);
    graphs
}
