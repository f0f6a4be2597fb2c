//! Entry points of fuzzers; tests call them with the inputs in `tests/corpus`. Compiled for tests and
//! by cargo-fuzz only.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::safetensors::parse_header;
use crate::{ConvertOptions, Head, convert};

/// Reads a safetensors header. Accepted tensors lie within the file, do not overlap, and have the
/// lengths that dtypes and shapes imply.
///
/// # Panics
/// If an accepted tensor does not.
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

/// Weights of each architecture, to try a configuration on.
const CHECKPOINTS: [&str; 20] = [
    "bert-mlm",
    "roberta-mlm",
    "distilbert-mlm",
    "mpnet-mlm",
    "modernbert-mlm",
    "gte-mlm",
    "nomic-plain",
    "nomic-mixture",
    "albert-mlm",
    "electra-mlm",
    "deberta-mlm",
    "jina-bert-plain",
    "jina-v3-plain",
    "qwen3-plain",
    "qwen3-tokens",
    "gemma-plain",
    "t5-plain",
    "clip",
    "siglip",
    "dinov2",
];

/// Converts a `config.json` with test weights: the result is a graph of the reported size, or an
/// error and no file.
///
/// # Panics
/// If it is neither.
pub fn config(data: &[u8]) {
    static FOLDERS: OnceLock<TempDir> = OnceLock::new();
    let folders = FOLDERS.get_or_init(|| {
        let folders = tempfile::tempdir().expect("the folder for temporary files is writable");
        for name in CHECKPOINTS {
            let weights = Path::new("tests/data").join(name).join("model.safetensors");
            let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join(weights);
            fs::create_dir(folders.path().join(name)).expect("it is writable");
            fs::copy(weights, folders.path().join(name).join("model.safetensors"))
                .expect("it is writable");
        }
        folders
    });
    for name in CHECKPOINTS {
        let folder = folders.path().join(name);
        let out = folder.join("model.onnx");
        fs::write(folder.join("config.json"), data).expect("it is writable");
        let next_token = Head::NextToken { true_token: 7, false_token: Some(5) };
        for head in Head::ALL.into_iter().chain([next_token]) {
            match convert(&folder, &out, &ConvertOptions { head, ..ConvertOptions::default() }) {
                Ok(done) => {
                    let size = fs::metadata(&out).expect("it was written").len();
                    assert_eq!(size, done.bytes);
                    fs::remove_file(&out).expect("it was written");
                }
                Err(error) => assert!(!out.exists(), "{error}"),
            }
        }
    }
}

/// Quantises an ONNX file.
///
/// # Panics
/// If the new file is not valid.
#[cfg(feature = "quantize")]
pub fn quantize(data: &[u8]) {
    crate::quantize::fuzzed(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(folder: &str, target: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
        let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
        assert!(files.len() > 3, "{folder} has {} inputs", files.len());
        for file in files {
            target(&fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn headers() {
        each("safetensors_header", safetensors_header);
    }

    #[test]
    fn configurations() {
        each("config", config);
    }

    #[test]
    fn graphs() {
        each("quantize", quantize);
    }
}
