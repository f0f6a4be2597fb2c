//! Converted models give the values of PyTorch for the same checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use embedkit_testkit::{cosine, max_abs_diff, runtime_library};
use ort::environment::Environment;
use ort::session::{Session, SessionOutputs};
use ort::value::Tensor;

use super::{data, onnx};
use crate::{ConvertOptions, Head, Precision, convert, convert_within};

/// Values are up to 6 in magnitude. They agreed within 8e-6 on the machine that made them; other
/// processors sum in another order.
const TOLERANCE: f32 = 3e-5;
/// The hidden states of [`ARCHITECTURES`], relative to the largest where that is above 1.
const HIDDEN_TOLERANCE: f32 = 1e-5;

/// Checkpoints of architectures with values for one token, a few, and as many as the model takes.
const ARCHITECTURES: [&str; 41] = [
    "modernbert-mlm",
    "modernbert-classifier",
    "modernbert-plain",
    "gte-plain",
    "gte-mlm",
    "gte-classifier",
    "nomic-plain",
    "nomic-mlm",
    "nomic-mixture",
    "albert-mlm",
    "albert-classifier",
    "electra-mlm",
    "electra-classifier",
    "deberta-mlm",
    "deberta-classifier",
    "deberta-plain",
    "jina-bert-plain",
    "jina-bert-code",
    "jina-v3-plain",
    "jina-v3-mlm",
    "xlm-roberta-flash",
    "llama-plain",
    "mistral-plain",
    "qwen2-plain",
    "qwen2-bidirectional",
    "qwen3-plain",
    "llama-linear",
    "llama-dynamic",
    "llama-llama3",
    "qwen2-yarn",
    "qwen3-yarn",
    "gemma-linear",
    "gemma-plain",
    "gemma-causal",
    "llama-tokens",
    "qwen2-tokens",
    "qwen3-tokens",
    "gemma-tokens",
    "t5-plain",
    "t5-gated",
    "umt5-plain",
];

/// Checkpoints of the BERT family; the last head determines its name, and its values hold all of its
/// heads.
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
    each_output(&CHECKPOINTS, Expected::check);
}

/// The states of padding mean nothing, and implementations differ in them.
#[test]
fn architectures_equal_pytorch_where_tokens_are() {
    each_output(&ARCHITECTURES, Expected::check_tokens);
}

/// Converts checkpoints for each of their expected outputs, and passes on name, key and output of the graph.
fn each_output(names: &[&str], check: impl Fn(&Expected, &str, &str, &(Vec<usize>, Vec<f32>))) {
    let Some(environment) = environment() else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in names {
        let expected = Expected::read(name);
        for key in expected.outputs() {
            let (options, label) = options_of(key);
            let done = convert(&data(name), &path, &options).unwrap();
            let found = run(environment, &path, &done.inputs, &expected, label);
            check(&expected, name, key, &found);
        }
    }
}

/// A row alone, without its padding, has the states that it has in a batch.
#[test]
fn neighbours_and_padding_change_nothing() {
    let Some(environment) = environment() else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in ARCHITECTURES {
        let expected = Expected::read(name);
        let done = convert(&data(name), &path, &ConvertOptions::default()).unwrap();
        let mut session = open(environment, &path);
        let batch = infer(&mut session, &done.inputs, |input| expected.input("limit", input));
        let (shape, mask) = expected.input("limit", "attention_mask");
        for (row, mask) in mask.chunks(shape[1]).enumerate() {
            let tokens = mask.iter().take_while(|&&token| token == 1).count();
            if tokens == 0 {
                continue;
            }
            let alone = infer(&mut session, &done.inputs, |input| {
                let (shape_of, values) = expected.input("limit", input);
                if shape_of.is_empty() {
                    return (shape_of, values);
                }
                let start = row * shape[1];
                (vec![1, tokens], values[start..start + tokens].to_vec())
            });
            let width = done.width;
            let start = row * shape[1] * width;
            let worst = deviation(&alone.1, &batch.1[start..start + tokens * width]);
            assert!(worst < HIDDEN_TOLERANCE, "{name}, row {row}: differs by {worst}");
        }
    }
}

/// Checks inputs, outputs and operators without a runtime.
#[test]
fn architectures_have_the_ports_of_their_head() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in ARCHITECTURES {
        let expected = Expected::read(name);
        for key in expected.outputs() {
            let (options, label) = options_of(key);
            let done = convert(&data(name), &path, &options).unwrap();
            let model = onnx::Model::read(&std::fs::read(&path).unwrap());
            let mut inputs = vec!["input_ids", "attention_mask"];
            for more in ["token_type_ids", "task_id"] {
                if expected.0.contains_key(&format!("{label}.{more}")) {
                    inputs.push(more);
                }
            }
            assert_eq!(model.inputs, inputs, "{name} {key}");
            assert_eq!(model.outputs, [done.output], "{name} {key}");
            // One for each layer, and one for the router of the experts.
            let expected = done.layers + usize::from(name == "nomic-mixture");
            let count = model.operators.iter().filter(|kind| *kind == "Softmax").count();
            assert_eq!(count, expected, "{name} {key}");
        }
    }
}

/// Encoders of images, and of texts beside them.
const TOWERS: [&str; 5] = ["clip", "clip-older", "siglip", "vit", "dinov2"];

#[test]
fn towers_equal_pytorch() {
    let Some(environment) = environment() else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in TOWERS {
        let expected = Expected::read(name);
        for key in expected.outputs() {
            let (options, label) = options_of(key);
            let done = convert(&data(name), &path, &options).unwrap();
            let text = label == "text";
            // SigLIP sees padding like other tokens.
            let inputs: &[&str] = match (text, name) {
                (false, _) => &["pixel_values"],
                (true, "siglip") => &["input_ids"],
                (true, _) => &["input_ids", "attention_mask"],
            };
            assert_eq!(done.inputs, inputs, "{name} {key}");
            let found = if text {
                run(environment, &path, &done.inputs, &expected, label)
            } else {
                let shape = expected.0[&format!("{label}.pixel_values")].0.clone();
                let pixels = expected.floats(&format!("{label}.pixel_values"));
                let pixels = Tensor::from_array((shape, pixels)).unwrap();
                let mut session = open(environment, &path);
                output_of(&session.run(ort::inputs!["pixel_values" => pixels]).unwrap())
            };
            if key == "text.hidden" && inputs.contains(&"attention_mask") {
                expected.check_tokens(name, key, &found);
            } else {
                assert_eq!(found.0, expected.0[key].0, "{name} {key}");
                let worst = deviation(&found.1, &expected.floats(key));
                assert!(worst < HIDDEN_TOLERANCE, "{name} {key}: differs by {worst}");
            }
        }
    }
}

/// Graphs of f16 weights and f16 arithmetic: a token's state has the direction that PyTorch's has in f32.
#[test]
fn half_precision_keeps_the_directions() {
    let Some(environment) = environment() else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.onnx");
    for name in ARCHITECTURES {
        let expected = Expected::read(name);
        let full = convert(&data(name), &path, &ConvertOptions::default()).unwrap();
        let options = ConvertOptions { precision: Precision::F16, ..ConvertOptions::default() };
        let done = convert(&data(name), &path, &options).unwrap();
        assert!(done.bytes < full.bytes, "{name}");
        let (_, found) = run(environment, &path, &done.inputs, &expected, "limit");
        let states = expected.floats("limit.hidden");
        let (_, mask) = expected.input("limit", "attention_mask");
        let rows = found.chunks(done.width).zip(states.chunks(done.width)).zip(mask);
        for (place, ((found, expected), mask)) in rows.enumerate() {
            let close = cosine(found, expected);
            assert!(mask == 0 || close > 0.999, "{name}, place {place}: {close}");
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
    let done = convert_within(&data("mpnet-mlm"), &path, &options, 1000, &mut |_, _| {}).unwrap();
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
                Head::Text => "text_embeds",
                Head::Image => "image_embeds",
                Head::NextToken { .. } => panic!("encoders have no next token"),
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
            .filter(|key| !["_ids", "_id", "_mask", "_values"].iter().any(|end| key.ends_with(end)))
    }

    fn input(&self, label: &str, name: &str) -> (Vec<usize>, Vec<i64>) {
        let (shape, bytes) = &self.0[&format!("{label}.{name}")];
        let numbers = bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
        (shape.clone(), numbers.collect())
    }

    fn floats(&self, key: &str) -> Vec<f32> {
        let bytes = self.0[key].1.as_chunks().0.iter();
        bytes.map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    /// Compares the values that belong to tokens, not those of padding.
    fn check_tokens(&self, name: &str, key: &str, (shape, found): &(Vec<usize>, Vec<f32>)) {
        assert_eq!(*shape, self.0[key].0, "{name} {key}");
        let expected = self.floats(key);
        let (label, head) = key.split_once('.').unwrap();
        let (_, mask) = self.input(label, "attention_mask");
        let length = mask.len() / shape[0];
        // Values of one place of one row; the attention weights have several heads of places, a
        // classifier looks at the first place, and the next token is that of the row.
        let of_row = head.starts_with("next-token");
        let (places, heads) = match head {
            "classifier" => (1, 1),
            _ if of_row => (1, 1),
            "attention" => (length, shape[1]),
            _ => (length, 1),
        };
        let size = found.len() / shape[0] / heads / places;
        let hidden = head == "hidden";
        let mut compared = 0;
        for (at, (found, expected)) in found.chunks(size).zip(expected.chunks(size)).enumerate() {
            let (row, place) = (at / places / heads, at % places);
            let mask = &mask[row * length..][..length];
            let seen = mask[place] == 1 || of_row && mask.contains(&1);
            if seen {
                let (worst, tolerance) = if hidden {
                    (deviation(found, expected), HIDDEN_TOLERANCE)
                } else {
                    (max_abs_diff(found, expected), TOLERANCE)
                };
                assert!(worst < tolerance, "{name} {key}, row {row}: differs by {worst}");
                compared += 1;
            }
        }
        assert!(compared > 0, "{name} {key} has tokens");
    }

    fn check(&self, name: &str, key: &str, (shape, found): &(Vec<usize>, Vec<f32>)) {
        assert_eq!(*shape, self.0[key].0, "{name} {key}");
        let worst = max_abs_diff(found, &self.floats(key));
        assert!(worst < TOLERANCE, "{name} {key}: differs by {worst}");
    }
}

/// The largest difference, relative to the largest expected value where that is above 1: processors and
/// versions of ONNX Runtime sum in another order.
fn deviation(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    max_abs_diff(found, expected) / largest
}

/// Options for an output's key, and the label of its inputs.
fn options_of(key: &str) -> (ConvertOptions, &str) {
    let (label, head) = key.split_once('.').unwrap();
    let (head, token_types) = match head.strip_suffix("-no-token-types") {
        Some(head) => (head, false),
        None => (head, true),
    };
    (
        ConvertOptions { head: head.parse().unwrap(), token_types, ..ConvertOptions::default() },
        label,
    )
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
    infer(&mut open(environment, model), inputs, |name| expected.input(label, name))
}

fn open(environment: &Environment, model: &Path) -> Session {
    let builder = Session::builder(environment).unwrap();
    builder.with_intra_threads(1).unwrap().commit_from_file(model).unwrap()
}

/// Shape and values of the output for the given inputs.
fn infer(
    session: &mut Session,
    inputs: &[String],
    input: impl Fn(&str) -> (Vec<usize>, Vec<i64>),
) -> (Vec<usize>, Vec<f32>) {
    let feed: Vec<_> = inputs
        .iter()
        .map(|name| (name.as_str(), Tensor::from_array(input(name)).unwrap()))
        .collect();
    output_of(&session.run(feed).unwrap())
}

/// Shape and values of the first output.
fn output_of(outputs: &SessionOutputs<'_>) -> (Vec<usize>, Vec<f32>) {
    let (shape, values) = outputs[0].try_extract_tensor::<f32>().unwrap();
    (shape.iter().map(|&dim| dim as usize).collect(), values.to_vec())
}
