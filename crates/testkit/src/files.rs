//! Files of golden values: JSON and raw little-endian f32.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// Parses a JSON file.
pub(crate) fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Reads the numbers of a file.
pub(crate) fn numbers(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{} ends within a number", path.display());
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Reads `count` vectors of `width` components from a file.
pub(crate) fn vectors(path: &Path, count: usize, width: usize) -> Vec<Vec<f32>> {
    let numbers = numbers(path);
    let found = numbers.len();
    assert_eq!(found, count * width, "{}: {count} vectors of width {width}", path.display());
    numbers.chunks_exact(width).map(<[f32]>::to_vec).collect()
}
