//! Models for benchmarks, made from test assets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use embedkit_convert::{ConvertOptions, Head, QuantizeOptions, convert, quantize, to_bf16};
use serde_json::{Value, json};

use xtask::assets;

/// Tokenizer files, which a converted model copies from the source of its weights.
const TOKENIZER: &[&str] =
    &["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"];

/// Converts a checkpoint under `folder` and returns the model's folder.
pub(super) fn converted(
    folder: &Path,
    name: &str,
    checkpoint: &Path,
    options: &ConvertOptions,
) -> Result<PathBuf> {
    let model = with_tokenizer(folder, name, checkpoint)?;
    convert(checkpoint, &model.join("model.onnx"), options)
        .with_context(|| format!("could not convert {}", checkpoint.display()))?;
    Ok(model)
}

/// Prepares the folder of a model under `folder`, with the tokenizer of another and no graph yet.
pub(super) fn with_tokenizer(folder: &Path, name: &str, other: &Path) -> Result<PathBuf> {
    let model = folder.join("models").join(name);
    fs::create_dir_all(&model).with_context(|| format!("could not make {}", model.display()))?;
    for file in TOKENIZER {
        let from = other.join(file);
        if from.exists() {
            fs::copy(&from, model.join(file))
                .with_context(|| format!("could not copy {}", from.display()))?;
        }
    }
    Ok(model)
}

/// The dense model, quantised as `embedkit quantize` does.
pub(super) fn quantized(folder: &Path) -> Result<PathBuf> {
    let minilm = assets::minilm();
    let model = with_tokenizer(folder, "int8", &minilm)?;
    let options = QuantizeOptions {
        onnxruntime: Some(assets::newest_runtime()),
        ..QuantizeOptions::default()
    };
    quantize(&minilm.join("model.onnx"), &model.join("model.onnx"), &options)
        .context("could not quantise the dense model")?;
    Ok(model)
}

/// The dense model with products of bf16.
pub(super) fn in_bf16(folder: &Path) -> Result<PathBuf> {
    let minilm = assets::minilm();
    let model = with_tokenizer(folder, "bf16", &minilm)?;
    to_bf16(&minilm.join("model.onnx"), &model.join("model.onnx"))
        .context("could not rewrite the dense model for bf16")?;
    Ok(model)
}

/// A reranker: MiniLM with a made-up classifier as large as a real one. Its scores are meaningless, its
/// cost is realistic.
pub(super) fn reranker(folder: &Path) -> Result<PathBuf> {
    let checkpoint = folder.join("models").join("reranker-checkpoint");
    fs::create_dir_all(&checkpoint)
        .with_context(|| format!("could not make {}", checkpoint.display()))?;
    let minilm = assets::minilm();
    for file in TOKENIZER {
        fs::copy(minilm.join(file), checkpoint.join(file))
            .with_context(|| format!("could not copy {file}"))?;
    }
    let config = checkpoint.join("config.json");
    let text = fs::read_to_string(&config).context("reading a configuration")?;
    let mut fields: Value = serde_json::from_str(&text).context("a configuration is JSON")?;
    fields["architectures"] = json!(["BertForSequenceClassification"]);
    fields["num_labels"] = json!(1);
    fields["id2label"] = json!({"0": "LABEL_0"});
    fs::write(&config, fields.to_string()).context("writing a configuration")?;

    let width = fields["hidden_size"].as_u64().context("a configuration has a width")?;
    let weights = (0..width).map(|i| (i * 7919 % 101) as f32 * 0.002 - 0.1);
    let weights: Vec<u8> = weights.flat_map(f32::to_le_bytes).collect();
    let file = fs::read(minilm.join("model.safetensors")).context("reading MiniLM")?;
    let file = with_tensors(
        &file,
        &[("classifier.weight", &[1, width], &weights), ("classifier.bias", &[1], &[0; 4])],
    )?;
    fs::write(checkpoint.join("model.safetensors"), file).context("writing a checkpoint")?;
    let options = ConvertOptions { head: Head::Classifier, ..ConvertOptions::default() };
    converted(folder, "reranker", &checkpoint, &options)
}

/// Adds f32 tensors (name, shape, bytes) to a safetensors file.
fn with_tensors(file: &[u8], tensors: &[(&str, &[u64], &[u8])]) -> Result<Vec<u8>> {
    let (length, rest) = file.split_first_chunk().context("the file has no header")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    ensure!(length <= rest.len(), "the header is longer than the file");
    let (header, data) = rest.split_at(length);
    let mut header: Value = serde_json::from_slice(header).context("the header is JSON")?;
    let mut data = data.to_vec();
    for (name, shape, bytes) in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        header[*name] =
            json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
    }
    let mut header = header.to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' '); // tensors begin at multiples of eight bytes
    }
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(header.as_bytes());
    out.append(&mut data);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_added_behind_the_others() {
        let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header);
        file.extend_from_slice(&[1, 2, 3, 4]);
        let file = with_tensors(&file, &[("b", &[2], &[5; 8])]).expect("a file");
        let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
        assert_eq!(length % 8, 0);
        let header: Value = serde_json::from_slice(&file[8..8 + length]).expect("JSON");
        assert_eq!(header["b"]["data_offsets"], json!([4, 12]));
        assert_eq!(file[8 + length..], [1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5]);
        assert!(with_tensors(&[0; 4], &[]).is_err());
        assert!(with_tensors(&[9, 0, 0, 0, 0, 0, 0, 0, 1], &[]).is_err());
    }
}
