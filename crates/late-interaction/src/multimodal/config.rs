//! What the configuration files beside ColModernVBERT say of its tiles.

use std::{ops::RangeInclusive, path::PathBuf};

use embedkit_core::{Error, read_bounded};
use embedkit_types::ModelFiles;
use serde_json::{Map, Value};

/// Such files have a few kilobytes.
const MAX_CONFIG_BYTES: u64 = 32 << 20;
/// Sides of images in pixels: the black image of a text must fit into memory.
pub(super) const SIDES: RangeInclusive<usize> = 1..=4096;
/// Tokens of a tile; the real ones have 64.
const TOKENS: RangeInclusive<usize> = 0..=65_536;

/// Sizes of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TileConfig {
    /// Tokens for each tile of an image.
    pub(super) tokens: usize,
    /// The side of the black tile that goes with texts.
    pub(super) text_side: usize,
}

impl TileConfig {
    /// Reads `processor_config.json` and `config.json`. Both have to be there, the keys need not be:
    /// the defaults are those of the original.
    pub(super) fn load(files: &ModelFiles) -> Result<Self, Error> {
        let processor = File::read(files, "processor_config.json")?;
        let tokens = processor.count(&processor.content, "image_seq_len", 64, TOKENS)?;
        let config = File::read(files, "config.json")?;
        let nothing = Map::new();
        let vision = match config.content.get("vision_config") {
            None => &nothing,
            Some(Value::Object(vision)) => vision,
            Some(other) => return Err(config.invalid("vision_config", other, "an object")),
        };
        let text_side = config.count(vision, "image_size", 512, SIDES)?;
        Ok(Self { tokens, text_side })
    }
}

struct File {
    path: PathBuf,
    content: Map<String, Value>,
}

impl File {
    fn read(files: &ModelFiles, name: &str) -> Result<Self, Error> {
        let path = files.path(name);
        let bytes = read_bounded(&path, MAX_CONFIG_BYTES)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(content)) => Ok(Self { path, content }),
            Ok(_) => Err(Error::InvalidFile { path, reason: "expected a JSON object".to_owned() }),
            Err(error) => Err(Error::InvalidFile { path, reason: error.to_string() }),
        }
    }

    fn count(
        &self,
        map: &Map<String, Value>,
        key: &str,
        default: usize,
        allowed: RangeInclusive<usize>,
    ) -> Result<usize, Error> {
        let Some(value) = map.get(key) else { return Ok(default) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count.filter(|count| allowed.contains(count)).ok_or_else(|| {
            let (least, most) = allowed.into_inner();
            self.invalid(key, value, &format!("a whole number from {least} to {most}"))
        })
    }

    fn invalid(&self, key: &str, found: &Value, expected: &str) -> Error {
        let reason = format!("`{key}`: expected {expected}, got {found}");
        Error::InvalidFile { path: self.path.clone(), reason }
    }
}
