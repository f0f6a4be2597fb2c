//! A file that describes a single model.

use std::{fmt, num::NonZeroU32};

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::ModelSpec;

/// A file with one model: its row at top level, or as the only `[[model]]`. Its `max_tokens` is in
/// force, as [`ModelSpec::token_limit`].
///
/// ```
/// let text = r#"
///     id = "me/my-model"
///     file = "onnx/model.onnx"
///     task = "text-dense"
///     dim = 384
///     pooling = "mean"
///     normalize = true
/// "#;
/// let file: embedkit_types::ModelFile = toml::from_str(text)?;
/// assert_eq!(file.model.task.dim(), Some(384));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The model.
    pub model: ModelSpec,
}

impl<'de> Deserialize<'de> for ModelFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut file = deserializer.deserialize_map(ModelFileVisitor)?;
        // Whoever writes a description of their own means what they write.
        file.model.token_limit = file.model.max_tokens.and_then(NonZeroU32::new);
        Ok(file)
    }
}

/// Tells the two forms of a [`ModelFile`] apart by the first key, so that an error is one of the form
/// that was meant.
struct ModelFileVisitor;

impl<'de> Visitor<'de> for ModelFileVisitor {
    type Value = ModelFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of one model, or exactly one [[model]]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelFile, A::Error> {
        let first = map.next_key::<String>()?;
        if first.as_deref() != Some("model") {
            let rest = Resumed { first, map };
            let model = ModelSpec::deserialize(MapAccessDeserializer::new(rest))?;
            return Ok(ModelFile { model });
        }
        let mut models = map.next_value::<Vec<ModelSpec>>()?;
        if let Some(key) = map.next_key::<String>()? {
            return Err(de::Error::custom(format_args!("`{key}` stands beside [[model]]")));
        }
        match (models.pop(), models.len()) {
            (Some(model), 0) => Ok(ModelFile { model }),
            (last, others) => {
                let found = others + usize::from(last.is_some());
                Err(de::Error::invalid_length(found, &"exactly one [[model]]"))
            }
        }
    }
}

/// A map whose first key has been read already.
struct Resumed<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Resumed<A> {
    type Error = A::Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
