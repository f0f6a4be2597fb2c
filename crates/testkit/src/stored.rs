//! Golden values of real models: texts in JSON, vectors as raw little-endian f32 beside it.

use serde::Deserialize;

use crate::{
    files::{parsed, vectors},
    text,
};

/// Texts with FastEmbed 0.9.1's results for each of them alone, on the model of the same name.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Inputs.
    pub texts: Vec<String>,
    /// `token_count` of each text.
    pub token_counts: Vec<usize>,
    /// One vector for each text.
    pub vectors: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    dim: usize,
    token_counts: Vec<usize>,
    #[serde(deserialize_with = "text::expanded")]
    texts: Vec<String>,
}

/// Golden values of a real model, by the name that [`asset`](crate::asset) takes.
///
/// # Panics
/// If the name is unknown or the files contradict each other.
#[must_use]
pub fn stored(name: &str) -> Stored {
    let file = |suffix: &str| crate::data_dir().join(format!("{name}.{suffix}"));
    let header: Header = parsed(&file("json"));
    let count = header.texts.len();
    assert_eq!(header.token_counts.len(), count, "{name}.json: counts for {count} texts");
    Stored {
        vectors: vectors(&file("f32"), count, header.dim),
        model: header.model,
        texts: header.texts,
        token_counts: header.token_counts,
    }
}
