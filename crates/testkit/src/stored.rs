//! Golden values of real models: texts in JSON, vectors as raw little-endian f32 beside it.

use std::fs;

use serde::Deserialize;

use crate::text;

/// Texts and what FastEmbed 0.9.1 gives for each of them alone, on the model of the same name.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The name of the model in FastEmbed whose code ran.
    pub model: String,
    /// The inputs.
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

/// The golden values of a real model, by the name that [`asset`](crate::asset) takes.
///
/// # Panics
/// Where there are none of this name or the files do not belong together.
#[must_use]
pub fn stored(name: &str) -> Stored {
    let read = |suffix: &str| {
        let path = crate::data_dir().join(format!("{name}.{suffix}"));
        fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
    };
    let header: Header =
        serde_json::from_slice(&read("json")).unwrap_or_else(|e| panic!("{name}.json: {e}"));
    let bytes = read("f32");
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(
        rest.is_empty()
            && values.len() == header.texts.len() * header.dim
            && header.token_counts.len() == header.texts.len(),
        "{name}.f32 has {} bytes for {} texts of width {}",
        bytes.len(),
        header.texts.len(),
        header.dim
    );
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Stored {
        model: header.model,
        texts: header.texts,
        token_counts: header.token_counts,
        vectors: values.chunks_exact(header.dim).map(<[f32]>::to_vec).collect(),
    }
}
