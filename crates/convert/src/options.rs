//! Options and report of a conversion.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// Output of the graph, computed from the encoder's last layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Head {
    /// `last_hidden_state`, f32 `[batch_size, sequence_length, width]`, for dense, late-interaction and
    /// token embeddings.
    #[default]
    Hidden,
    /// `attention_N` with N the number of layers: the last layer's attention weights after the softmax,
    /// f32 `[batch_size, heads, sequence_length, sequence_length]`, for BM42.
    Attention,
    /// `logits` over the vocabulary, f32 `[batch_size, sequence_length, vocabulary]`, for SPLADE.
    MaskedLm,
    /// `logits` of a sequence classifier, f32 `[batch_size, labels]`, for rerankers.
    Classifier,
    /// `text_embeds`, f32 `[batch_size, width]`, of the encoder of text in CLIP and SigLIP.
    Text,
    /// `image_embeds`, f32 `[batch_size, width]`, of an encoder of images.
    Image,
}

impl Head {
    /// Every head, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Hidden, Self::Attention, Self::MaskedLm, Self::Classifier, Self::Text, Self::Image];

    /// Name that [`FromStr`] reads and [`Display`](fmt::Display) writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Attention => "attention",
            Self::MaskedLm => "mlm",
            Self::Classifier => "classifier",
            Self::Text => "text",
            Self::Image => "image",
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|head| head.name() == name)
            .ok_or_else(|| Error::UnknownHead { name: name.to_owned() })
    }
}

/// Numbers that a graph stores and computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// f16, for GPUs: half the memory. Angles, means and the norms' sums are computed in f32, and inputs and
    /// outputs are those of the f32 graph. Models whose activations exceed 65504, such as Gemma 3, need
    /// f32.
    F16,
}

/// Options of [`convert`](crate::convert).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvertOptions {
    /// Output of the graph.
    pub head: Head,
    /// Adds the input `token_type_ids` if the model has more than one token type (BERT). With `false`,
    /// type 0 is built in, for callers without token types, such as ColBERT with its marker token.
    /// Models with one type or none never have the input.
    pub token_types: bool,
    /// Numbers of the graph.
    pub precision: Precision,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self { head: Head::default(), token_types: true, precision: Precision::default() }
    }
}

/// Report of [`convert`](crate::convert).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// `model_type` of the configuration, such as `bert`.
    pub model_type: String,
    /// Encoder layers of the model.
    pub layers: usize,
    /// Dimension of the hidden states.
    pub width: usize,
    /// Names of the graph's inputs, in order.
    pub inputs: Vec<String>,
    /// Name of the graph's output.
    pub output: String,
    /// Size of the output in bytes, both files together if there are two.
    pub bytes: u64,
    /// File of the weights, if they do not fit into the ONNX file.
    pub external_data: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_names_read_back() {
        for head in Head::ALL {
            assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
        }
        let error = "pooler".parse::<Head>().unwrap_err();
        assert_eq!(error.to_string(), "unknown head `pooler`");
        assert!(error.hint().is_some_and(|hint| {
            hint.to_string().contains("hidden, attention, mlm, classifier, text, image")
        }));
    }
}
