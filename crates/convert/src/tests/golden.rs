//! Converted models give the values of PyTorch for the same checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use embedkit_testkit::{max_abs_diff, runtime_library};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;

use super::{data, onnx};
use crate::{ConvertOptions, Head, convert, convert_within};

/// Values are up to 6 in magnitude. They agreed within 8e-6 on the machine that made them; other
/// processors sum in another order.
const TOLERANCE: f32 = 3e-5;

/// Every checkpoint; the last head determines its name, and its values hold all of its heads.
const CHECKPOINTS: [&str; 13] = [
    "bert-mlm",
    "bert-mlm-untied",
    "bert-plain",
    "bert-classifier",
    "roberta-mlm",
    "roberta-classifier",
    "xlm-roberta-mlm",
    "xlm-roberta-classifier",
    "camembert-plain",
    "distilbert-mlm",
    "distilbert-classifier",
    "mpnet-mlm",
    "mpnet-classifier",
];

#[test]
fn graphs_equal_pytorch() {
    let Some(environment) = environment() else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in CHECKPOINTS {
        let expected = Expected::read(name);
        for key in expected.outputs() {
            let (options, label) = options_of(key);
            let done = convert(&data(name), &path, &options).unwrap();
            let found = run(environment, &path, &done.inputs, &expected, label);
            expected.check(name, key, &found);
        }
    }
}

#[test]
fn external_weights_equal_pytorch() {
    let Some(environment) = environment() else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    let expected = Expected::read("mpnet-mlm");
    let options = ConvertOptions { head: Head::MaskedLm, ..ConvertOptions::default() };
    let done = convert_within(&data("mpnet-mlm"), &path, &options, 1000).unwrap();
    assert_eq!(done.external_data, Some(out.path().join("model.onnx_data")));
    let found = run(environment, &path, &done.inputs, &expected, "short");
    expected.check("mpnet-mlm", "short.mlm", &found);
}

/// Checks inputs, outputs and operators without a runtime.
#[test]
fn graphs_have_the_ports_of_their_head() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in CHECKPOINTS {
        let expected = Expected::read(name);
        for key in expected.outputs() {
            let (options, _) = options_of(key);
            let done = convert(&data(name), &path, &options).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(done.bytes, bytes.len() as u64);
            assert_eq!((done.layers, done.width), (2, 8));
            let model = onnx::Model::read(&bytes);
            assert_eq!((model.ir_version, model.opset), (8, 17));
            let has_types = name.starts_with("bert") || name.starts_with("camembert");
            let mut inputs = vec!["input_ids", "attention_mask"];
            if has_types && options.token_types {
                inputs.push("token_type_ids");
            }
            assert_eq!(model.inputs, inputs, "{name} {key}");
            assert_eq!(model.inputs, done.inputs);
            let output = match options.head {
                Head::Hidden => "last_hidden_state",
                Head::Attention => "attention_2",
                Head::MaskedLm | Head::Classifier => "logits",
            };
            assert_eq!(model.outputs, [output], "{name} {key}");
            assert_eq!(model.outputs, [done.output]);
            let count = |operator| model.operators.iter().filter(|kind| *kind == operator).count();
            assert_eq!(count("Softmax"), 2, "{name} {key}");
        }
    }
}

/// Stored values of one checkpoint.
struct Expected(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Expected {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(data(name).join("expected.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let values = file
            .iter()
            .map(|(key, value)| (key.to_owned(), (value.shape().to_vec(), value.data().to_vec())));
        Self(values.collect())
    }

    /// The keys of outputs: `short.hidden`, `short.mlm-no-token-types` and the like.
    fn outputs(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|key| !key.ends_with("_ids") && !key.ends_with("_mask"))
    }

    fn input(&self, label: &str, name: &str) -> (Vec<usize>, Vec<i64>) {
        let (shape, bytes) = &self.0[&format!("{label}.{name}")];
        let numbers = bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
        (shape.clone(), numbers.collect())
    }

    fn check(&self, name: &str, key: &str, (shape, found): &(Vec<usize>, Vec<f32>)) {
        let (expected_shape, bytes) = &self.0[key];
        assert_eq!(shape, expected_shape, "{name} {key}");
        let expected = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        let worst = max_abs_diff(found, &expected.collect::<Vec<_>>());
        assert!(worst < TOLERANCE, "{name} {key}: differs by {worst}");
    }
}

/// Options for an output's key, and the label of its inputs.
fn options_of(key: &str) -> (ConvertOptions, &str) {
    let (label, head) = key.split_once('.').unwrap();
    let (head, token_types) = match head.strip_suffix("-no-token-types") {
        Some(head) => (head, false),
        None => (head, true),
    };
    (ConvertOptions { head: head.parse().unwrap(), token_types }, label)
}

/// The runtime, if there is one. A process has one environment, which its tests share.
fn environment() -> Option<&'static Environment> {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    let library = runtime_library()?;
    Some(
        ENVIRONMENT.get_or_init(|| {
            ort::init_from(library).unwrap().with_telemetry(false).build().unwrap()
        }),
    )
}

fn run(
    environment: &Environment,
    model: &Path,
    inputs: &[String],
    expected: &Expected,
    label: &str,
) -> (Vec<usize>, Vec<f32>) {
    let builder = Session::builder(environment).unwrap();
    let mut session = builder.with_intra_threads(1).unwrap().commit_from_file(model).unwrap();
    let feed: Vec<_> = inputs
        .iter()
        .map(|name| (name.as_str(), Tensor::from_array(expected.input(label, name)).unwrap()))
        .collect();
    let outputs = session.run(feed).unwrap();
    let (shape, values) = outputs[0].try_extract_tensor::<f32>().unwrap();
    (shape.iter().map(|&dim| dim as usize).collect(), values.to_vec())
}
