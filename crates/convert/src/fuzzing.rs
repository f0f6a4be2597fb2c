//! What a fuzzer calls, and what the tests call with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use std::path::Path;

use crate::safetensors::parse_header;

/// A safetensors file from a stranger: what passes is side by side within the file, and as long as
/// types and shapes say.
///
/// # Panics
/// Where it is not.
pub fn safetensors_header(data: &[u8]) {
    let len = data.len() as u64;
    let Ok(tensors) = parse_header(data, len, Path::new("fuzzed")) else { return };
    let mut tensors: Vec<_> = tensors.values().collect();
    tensors.sort_by_key(|tensor| (tensor.offset, tensor.len));
    let taken: u64 = tensors.iter().map(|tensor| tensor.len).sum();
    let mut position = len.checked_sub(taken).expect("tensors are within the file");
    for tensor in tensors {
        assert_eq!(tensor.offset, position, "tensors are side by side");
        position += tensor.len;
    }
    assert_eq!(position, len);
}

#[cfg(test)]
mod tests {
    #[test]
    fn kept_inputs() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/safetensors_header");
        let files: Vec<_> = std::fs::read_dir(dir).unwrap().collect();
        assert!(files.len() > 3);
        for file in files {
            super::safetensors_header(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
