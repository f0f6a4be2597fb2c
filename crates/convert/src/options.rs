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
    /// `logits` of one or two tokens as the next one after each sequence, f32 `[batch_size, 1]` or
    /// `[batch_size, 2]`, for rerankers that are causal language models. Of the last matrix only the rows of
    /// these tokens are in the graph.
    NextToken {
        /// Id of the token of the first column.
        true_token: u32,
        /// Id of the token of the second column, if there is one.
        false_token: Option<u32>,
    },
}

impl Head {
    /// Name of a [`NextToken`](Self::NextToken), without its tokens.
    pub const NEXT_TOKEN: &'static str = "next-token";

    /// Every head without parameters, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Hidden, Self::Attention, Self::MaskedLm, Self::Classifier, Self::Text, Self::Image];

    /// Name, which [`FromStr`] reads and [`Display`](fmt::Display) writes; those also have the tokens of a
    /// [`NextToken`](Self::NextToken) after it, as in `next-token-9693-2152`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Attention => "attention",
            Self::MaskedLm => "mlm",
            Self::Classifier => "classifier",
            Self::Text => "text",
            Self::Image => "image",
            Self::NextToken { .. } => Self::NEXT_TOKEN,
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::NextToken { true_token, false_token } = self {
            write!(f, "-{true_token}")?;
            if let Some(false_token) = false_token {
                write!(f, "-{false_token}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|head| head.name() == name)
            .or_else(|| next_token(name))
            .ok_or_else(|| Error::UnknownHead { name: name.to_owned() })
    }
}

/// The head of a name with ids of tokens.
fn next_token(name: &str) -> Option<Head> {
    let ids = name.strip_prefix(Head::NEXT_TOKEN)?.strip_prefix('-')?;
    let ids: Vec<u32> = ids.split('-').map(|id| id.parse().ok()).collect::<Option<_>>()?;
    match ids[..] {
        [true_token] => Some(Head::NextToken { true_token, false_token: None }),
        [true_token, no] => Some(Head::NextToken { true_token, false_token: Some(no) }),
        _ => None,
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
        let next = |false_token| Head::NextToken { true_token: 7, false_token };
        for head in Head::ALL.into_iter().chain([next(None), next(Some(5))]) {
            assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
        }
        assert_eq!(next(Some(5)).to_string(), "next-token-7-5");
        for wrong in
            ["next-token", "next-token-", "next-token-a", "next-token-1-2-3", "next-token1"]
        {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
        let error = "pooler".parse::<Head>().unwrap_err();
        assert_eq!(error.to_string(), "unknown head `pooler`");
        assert!(error.hint().is_some_and(|hint| {
            hint.to_string().contains("hidden, attention, mlm, classifier, text, image")
        }));
    }
}
