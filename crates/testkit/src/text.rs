//! Texts in golden files.

use serde::{Deserialize, Deserializer};

/// A string, or a recipe for a long one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Recipe { repeat: String, times: usize },
}

/// Reads a list of texts and expands the recipes.
pub(crate) fn expanded<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<Text>::deserialize(deserializer)?;
    Ok(texts
        .into_iter()
        .map(|text| match text {
            Text::Plain(text) => text,
            Text::Recipe { repeat, times } => repeat.repeat(times),
        })
        .collect())
}
