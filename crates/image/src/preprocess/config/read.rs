//! Reads values of a configuration with Python's semantics.

use serde_json::{Map, Value};

use super::wrong;
use crate::preprocess::{Filter, PreprocessError};

pub(super) type Object = Map<String, Value>;

/// Maximum side that a configuration may ask for.
pub(super) const MAX_SIDE: u32 = 1 << 16;

/// Value of a required key.
pub(super) fn find<'a>(
    config: &'a Object,
    key: &'static str,
) -> Result<&'a Value, PreprocessError> {
    config.get(key).ok_or(PreprocessError::MissingKey { key })
}

/// Reads a switch, with Python's truth values.
pub(super) fn is_true(config: &Object, key: &str, default: bool) -> bool {
    match config.get(key) {
        None => default,
        Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::Number(value)) => value.as_f64() != Some(0.0),
        Some(Value::String(value)) => !value.is_empty(),
        Some(Value::Array(value)) => !value.is_empty(),
        Some(Value::Object(value)) => !value.is_empty(),
    }
}

/// Reads a number, or the default for a missing key.
pub(super) fn number(
    config: &Object,
    key: &'static str,
    default: f64,
) -> Result<f64, PreprocessError> {
    match config.get(key) {
        None => Ok(default),
        Some(value) => value.as_f64().ok_or_else(|| wrong(key, "a number", value)),
    }
}

/// A side in pixels.
pub(super) fn side(key: &'static str, value: &Value) -> Result<u32, PreprocessError> {
    let side = value.as_u64().and_then(|side| u32::try_from(side).ok());
    side.filter(|side| (1..=MAX_SIDE).contains(side))
        .ok_or_else(|| wrong(key, "an integer from 1 to 65536", value))
}

/// Reads height and width: an integer for a square, an object, or a list.
pub(super) fn sides(
    key: &'static str,
    expected: &'static str,
    value: &Value,
) -> Result<(u32, u32), PreprocessError> {
    let (height, width) = match value {
        Value::Number(_) => (value, value),
        Value::Object(sides) => match (sides.get("height"), sides.get("width")) {
            (Some(height), Some(width)) => (height, width),
            _ => return Err(wrong(key, expected, value)),
        },
        Value::Array(sides) => match &sides[..] {
            [side] => (side, side),
            [height, width] => (height, width),
            _ => return Err(wrong(key, expected, value)),
        },
        _ => return Err(wrong(key, expected, value)),
    };
    Ok((side(key, height)?, side(key, width)?))
}

/// Reads a filter by number or name. Null is Pillow's default.
pub(super) fn filter(
    config: &Object,
    key: &'static str,
    default: Filter,
) -> Result<Filter, PreprocessError> {
    let Some(value) = config.get(key) else { return Ok(default) };
    if value.is_null() {
        return Ok(Filter::Bicubic);
    }
    let name = value.as_str().map(str::to_ascii_lowercase);
    Ok(match (value.as_u64(), name.as_deref()) {
        (Some(0), _) | (_, Some("nearest")) => Filter::Nearest,
        (Some(1), _) | (_, Some("lanczos")) => Filter::Lanczos,
        (Some(2), _) | (_, Some("bilinear")) => Filter::Bilinear,
        (Some(3), _) | (_, Some("bicubic")) => Filter::Bicubic,
        (Some(4), _) | (_, Some("box")) => Filter::Box,
        (Some(5), _) | (_, Some("hamming")) => Filter::Hamming,
        _ => {
            let expected = "0 to 5, or one of nearest, lanczos, bilinear, bicubic, box and hamming";
            return Err(wrong(key, expected, value));
        }
    })
}

/// Reads one number for each of three channels; a single number is for all.
pub(super) fn channels(config: &Object, key: &'static str) -> Result<[f32; 3], PreprocessError> {
    let value = find(config, key)?;
    let numbers = match value {
        Value::Array(values) => match &values[..] {
            [red, green, blue] => [red.as_f64(), green.as_f64(), blue.as_f64()],
            _ => [None; 3],
        },
        value => [value.as_f64(); 3],
    };
    match numbers {
        [Some(red), Some(green), Some(blue)] => Ok([red as f32, green as f32, blue as f32]),
        _ => Err(wrong(key, "a number, or one for each of three channels", value)),
    }
}

/// Shortens a value to one line of a message.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
