//! What a fuzzer calls, and what the tests call with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::safetensors::parse_header;
use crate::{ConvertOptions, Head, convert};

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

/// Weights of each family, which a configuration is tried on.
const CHECKPOINTS: [&str; 4] = ["bert-mlm", "roberta-mlm", "distilbert-mlm", "mpnet-mlm"];

/// `config.json` of a stranger beside weights of ours: a graph of the size that is reported, or an error
/// and no file.
///
/// # Panics
/// Where that does not hold.
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
        for head in Head::ALL {
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

/// An ONNX file that is to be quantised.
///
/// # Panics
/// Where the new file is not what it should be.
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
