//! A real encoder under a classifier's head: all-MiniLM-L6-v2, whose head's weights are made up.

use std::{fs, path::Path};

use embedkit_convert::{ConvertOptions, Head, convert};
use embedkit_rerank::TextCrossEncoder;
use embedkit_testkit::{assert_close, asset, rerank_stored};
use embedkit_types::{ModelFiles, ModelSpec, Rerank, Task};

use crate::options;

/// Writes the checkpoint with a last layer of one label: weights `(37i mod 101 - 50) / 64`, bias 1/4.
fn add_head(source: &Path, target: &Path) {
    const WIDTH: usize = 384;
    let file = fs::read(source).unwrap();
    let (size, rest) = file.split_at(8);
    let size = usize::try_from(u64::from_le_bytes(size.try_into().unwrap())).unwrap();
    let (header, data) = rest.split_at(size);
    let mut header: serde_json::Map<_, _> = serde_json::from_slice(header).unwrap();
    let mut end = data.len();
    for (name, shape, bytes) in
        [("classifier.weight", vec![1, WIDTH], 4 * WIDTH), ("classifier.bias", vec![1], 4)]
    {
        let tensor = serde_json::json!(
            { "dtype": "F32", "shape": shape, "data_offsets": [end, end + bytes] }
        );
        header.insert(name.to_owned(), tensor);
        end += bytes;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    for i in 0..WIDTH {
        let weight = f32::from(i16::try_from(i * 37 % 101).unwrap() - 50) / 64.0;
        file.extend(weight.to_le_bytes());
    }
    file.extend(0.25f32.to_le_bytes());
    fs::write(target, file).unwrap();
}

#[test]
fn a_real_classifier_equals_the_original() {
    let (Some(options), Some(source)) = (options(), asset("minilm")) else { return };
    let golden = rerank_stored("minilm-classifier");
    let dir = tempfile::tempdir().unwrap();
    for name in
        ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
    {
        fs::copy(source.join(name), dir.path().join(name)).unwrap();
    }
    add_head(&source.join("model.safetensors"), &dir.path().join("model.safetensors"));
    let convert_options = ConvertOptions { head: Head::Classifier, ..ConvertOptions::default() };
    convert(dir.path(), &dir.path().join("model.onnx"), &convert_options).unwrap();

    let spec = ModelSpec {
        id: "tiny/minilm-classifier".into(),
        file: "model.onnx".into(),
        task: Task::Rerank(Rerank::DEFAULT),
        ..ModelSpec::DEFAULT
    };
    let files = ModelFiles::in_dir(dir.path(), &spec);
    let model = TextCrossEncoder::from_files(&spec, &files, &options).unwrap();
    let scored: Vec<_> =
        model.rerank_pairs_detailed(golden.all_pairs()).map(Result::unwrap).collect();
    let expected = golden.all_scores();
    assert_eq!(scored.len(), expected.len());
    for (index, (scored, expected)) in scored.iter().zip(expected).enumerate() {
        assert_close(&[scored.value], &[expected.unwrap()], 1e-4);
        assert_eq!(scored.tokens, golden.token_counts[index], "{index}");
        assert_eq!(scored.truncated, golden.truncated[index], "{index}");
    }
}
