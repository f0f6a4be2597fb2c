//! Tests of whole conversions, on tiny checkpoints.

mod damage;
mod golden;
mod onnx;
mod output;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{ConvertOptions, Converted, Error, Head, convert};

/// A checkpoint of the test data.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A checkpoint in memory that a test modifies and writes to a temporary folder.
struct Draft {
    folder: tempfile::TempDir,
    config: Value,
    tensors: BTreeMap<String, DraftTensor>,
}

#[derive(Clone)]
struct DraftTensor {
    dtype: String,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

impl Draft {
    /// A copy of the test checkpoint `name`.
    fn of(name: &str) -> Self {
        let bytes = fs::read(data(name).join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, tensor)| {
            let tensor = DraftTensor {
                dtype: tensor.dtype().to_string(),
                shape: tensor.shape().iter().map(|&dim| dim as u64).collect(),
                bytes: tensor.data().to_vec(),
            };
            (name.to_owned(), tensor)
        });
        let config = fs::read(data(name).join("config.json")).unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            config: serde_json::from_slice(&config).unwrap(),
            tensors: tensors.collect(),
        }
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn weights(&self) -> PathBuf {
        self.dir().join("model.safetensors")
    }

    /// The header and the numbers of a safetensors file.
    fn parts(&self) -> (Value, Vec<u8>) {
        let mut header = json!({"__metadata__": {"format": "pt"}});
        let mut numbers = Vec::new();
        for (name, tensor) in &self.tensors {
            let begin = numbers.len();
            numbers.extend_from_slice(&tensor.bytes);
            header[name] = json!({
                "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, numbers.len()],
            });
        }
        (header, numbers)
    }

    /// Writes both files and converts them with `head`.
    fn convert(&self, head: Head) -> Result<Converted, Error> {
        let (header, numbers) = self.parts();
        self.convert_raw(&file_of(&header.to_string(), &numbers), head)
    }

    /// Writes the configuration and arbitrary bytes as weights, and converts them.
    fn convert_raw(&self, weights: &[u8], head: Head) -> Result<Converted, Error> {
        fs::write(self.weights(), weights).unwrap();
        fs::write(self.dir().join("config.json"), self.config.to_string()).unwrap();
        self.run(head)
    }

    /// Converts the content of the folder.
    fn run(&self, head: Head) -> Result<Converted, Error> {
        let options = ConvertOptions { head, ..ConvertOptions::default() };
        convert(self.dir(), &self.dir().join("out.onnx"), &options)
    }
}

/// A safetensors file of a header and numbers.
fn file_of(header: &str, numbers: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers].concat()
}
