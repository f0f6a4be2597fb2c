//! Models that sentence-transformers saved, described, converted and run, against its own results.

use std::{
    fs,
    path::{Path, PathBuf},
};

use embedkit_convert::{ConvertOptions, Head as ConvertHead, convert};
use embedkit_core::tokenizer::{TemplateTokenizer, TokenizerOptions};
use embedkit_describe::{Description, Folder, Head, describe};
use embedkit_late_interaction::LateInteractionTextEmbedding;
use embedkit_rerank::TextCrossEncoder;
use embedkit_sparse::SparseTextEmbedding;
use embedkit_testkit::{load_options, runtime_library, zip_equal};
use embedkit_text_dense::TextEmbedding;
use embedkit_types::{Activation, LoadOptions, ModelFiles, Prompts, Role, SparseKind, Task};
use serde::Deserialize;

/// Results of sentence-transformers, one for each text.
#[derive(Deserialize)]
struct Expected<T> {
    texts: Vec<String>,
    raw: Option<Vec<T>>,
    query: Vec<T>,
    document: Vec<T>,
}

#[derive(Deserialize)]
struct Scores {
    texts: Vec<String>,
    scores: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn expected<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    serde_json::from_slice(&fs::read(folder(name).join("expected.json")).unwrap()).unwrap()
}

fn describe_folder(name: &str) -> Description {
    describe(name, &Folder::open(folder(name)).unwrap()).unwrap()
}

/// A copy of the folder with a graph where the model has a checkpoint.
fn files(name: &str, found: &Description) -> (tempfile::TempDir, ModelFiles) {
    let out = tempfile::tempdir().unwrap();
    copy(&folder(name), out.path());
    let files = with_graph(out.path(), found);
    (out, files)
}

/// The files of a model in a folder, which gets a graph where the model has a checkpoint.
fn with_graph(dir: &Path, found: &Description) -> ModelFiles {
    if let Some(checkpoint) = &found.checkpoint {
        let of_checkpoint = Path::new(&checkpoint.folder);
        assert_eq!(checkpoint.weights, [of_checkpoint.join("model.safetensors").to_str().unwrap()]);
        let head: ConvertHead = checkpoint.head.to_string().parse().unwrap();
        fs::create_dir(dir.join("onnx")).unwrap();
        let options = ConvertOptions { head, ..ConvertOptions::default() };
        let graph = dir.join(found.spec.file.as_ref());
        convert(&dir.join(of_checkpoint), &graph, &options).unwrap();
    }
    ModelFiles::in_dir(dir, &found.spec)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn options() -> Option<LoadOptions> {
    let onnxruntime = Some(runtime_library()?);
    Some(LoadOptions { onnxruntime, prompts: Prompts::Model, ..load_options() })
}

/// Compares vectors within 1e-5 of their size.
#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        let allowed = 1e-5 * expected.abs().max(1.0);
        assert!(difference <= allowed, "{what}, component {index}: {found}, not {expected}");
    }
}

const DENSE: [&str; 11] = [
    "mean-normalize",
    "cls",
    "every-pooling",
    "older-concat",
    "dense-tanh",
    "dense-chain",
    "prompts",
    "without-prompt",
    "lower-case",
    "static",
    "static-dense",
];

#[test]
fn dense_vectors_are_those_of_sentence_transformers() {
    let Some(options) = options() else { return };
    for name in DENSE {
        let found = describe_folder(name);
        let (_out, files) = files(name, &found);
        let model = TextEmbedding::from_files(&found.spec, &files, &options).unwrap();
        let Expected { texts, raw, query, document } = expected::<Expected<Vec<f32>>>(name);
        assert_eq!(found.spec.task.dim(), Some(query[0].len()), "{name}");
        for (role, vectors) in
            [(Role::Raw, raw.unwrap()), (Role::Query, query), (Role::Document, document)]
        {
            // Together and alone.
            let together = model.embed_batch(role, &texts).unwrap();
            for ((text, expected), together) in zip_equal(zip_equal(&texts, &vectors), &together) {
                let what = format!("{name}, {role:?} {text:?}");
                close(&what, together, expected);
                let alone = model.embed_batch(role, &[text]).unwrap().remove(0);
                close(&what, &alone, expected);
            }
        }
    }
}

/// A copy of the folder whose encoder lies in a folder of its own, with all of its files.
fn with_encoder_folder(name: &str) -> tempfile::TempDir {
    const ENCODER: &str = "0_Transformer";
    let out = tempfile::tempdir().unwrap();
    copy(&folder(name), out.path());
    fs::create_dir(out.path().join(ENCODER)).unwrap();
    for entry in fs::read_dir(out.path()).unwrap() {
        let (file, path) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
        let of_chain = ["modules.json", "config_sentence_transformers.json", "expected.json"];
        if path.is_file() && !of_chain.iter().any(|name| file == *name) {
            fs::rename(&path, out.path().join(ENCODER).join(&file)).unwrap();
        }
    }
    let modules = out.path().join("modules.json");
    let text = fs::read_to_string(&modules).unwrap();
    assert!(text.contains(r#""path": """#));
    let text = text.replacen(r#""path": """#, &format!(r#""path": "{ENCODER}""#), 1);
    fs::write(modules, text).unwrap();
    out
}

#[test]
fn an_encoder_in_a_folder_of_its_own_gives_the_same_vectors() {
    let Some(options) = options() else { return };
    for name in ["mean-normalize", "dense-tanh", "lower-case"] {
        let dir = with_encoder_folder(name);
        let found = describe(name, &Folder::open(dir.path()).unwrap()).unwrap();
        assert_eq!(found.spec.folder, "0_Transformer");
        let files = with_graph(dir.path(), &found);
        let model = TextEmbedding::from_files(&found.spec, &files, &options).unwrap();
        let Expected { texts, document, .. } = expected::<Expected<Vec<f32>>>(name);
        let results = model.embed_batch(Role::Document, &texts).unwrap();
        for ((text, expected), vector) in zip_equal(zip_equal(&texts, &document), &results) {
            close(&format!("{name}, {text:?}"), vector, expected);
        }
    }
    let dir = with_encoder_folder("reranker");
    let found = describe("reranker", &Folder::open(dir.path()).unwrap()).unwrap();
    let files = with_graph(dir.path(), &found);
    let model = TextCrossEncoder::from_files(&found.spec, &files, &options).unwrap();
    let Scores { texts, scores } = expected("reranker");
    let results: Vec<f32> = model.rerank("the fox", &texts).collect::<Result<_, _>>().unwrap();
    close("reranker", &results, &scores);
}

#[test]
fn sparse_vectors_are_those_of_sentence_transformers() {
    let Some(options) = options() else { return };
    for name in ["splade", "splade-sum", "splade-table"] {
        let found = describe_folder(name);
        let (_out, files) = files(name, &found);
        let model = SparseTextEmbedding::from_files(&found.spec, &files, &options).unwrap();
        let Expected { texts, query, document, .. } = expected::<Expected<Vec<f32>>>(name);
        for (role, vectors) in [(Role::Query, query), (Role::Document, document)] {
            let results = model.embed_batch(role, &texts).unwrap();
            for ((text, expected), sparse) in zip_equal(zip_equal(&texts, &vectors), &results) {
                let dense = sparse.to_dense(expected.len()).unwrap();
                close(&format!("{name}, {role:?} {text:?}"), &dense, expected);
            }
        }
    }
}

/// A copy of the folder whose documents are pooled in another way.
fn with_splade_pooling(name: &str, pooling: &str, activation: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    copy(&folder(name), out.path());
    let text = serde_json::json!({
        "pooling_strategy": pooling, "activation_function": activation, "embedding_dimension": null,
    });
    fs::write(out.path().join("document_1_SpladePooling/config.json"), text.to_string()).unwrap();
    out
}

#[test]
fn a_table_for_queries_goes_with_every_weight_of_documents() {
    let Some(options) = options() else { return };
    let name = "splade-table";
    // The golden values are `ln(1 + ln(1 + x))` of the largest logit, from which `ln(1 + x)` follows.
    let Expected { texts, query, document, .. } = expected::<Expected<Vec<f32>>>(name);
    for (pooling, activation, log_twice) in
        [("max", "relu", false), ("sum", "relu", false), ("sum", "log1p_relu", true)]
    {
        let dir = with_splade_pooling(name, pooling, activation);
        let found = describe(name, &Folder::open(dir.path()).unwrap()).unwrap();
        let Task::Sparse(sparse) = &found.spec.task else { panic!("{:?}", found.spec) };
        let SparseKind::IfSplade(facts) = &sparse.kind else { panic!("{:?}", found.spec) };
        assert_eq!((facts.documents.sum, facts.documents.log_twice), (pooling == "sum", log_twice));
        let files = with_graph(dir.path(), &found);
        let model = SparseTextEmbedding::from_files(&found.spec, &files, &options).unwrap();
        let results = model.embed_batch(Role::Query, &texts).unwrap();
        for (found, expected) in zip_equal(&results, &query) {
            close("query", &found.to_dense(expected.len()).unwrap(), expected);
        }
        let results = model.embed_batch(Role::Document, &texts).unwrap();
        for ((text, twice), found) in zip_equal(zip_equal(&texts, &document), &results) {
            let largest: Vec<f32> =
                twice.iter().map(|&x| if log_twice { x } else { x.exp_m1() }).collect();
            let found = found.to_dense(largest.len()).unwrap();
            if pooling == "max" {
                close(&format!("{activation} {text:?}"), &found, &largest);
            } else {
                // Special tokens count, so that every text has several.
                assert!(zip_equal(&found, &largest).all(|(sum, max)| *sum >= max - 1e-5));
                assert!(zip_equal(&found, &largest).any(|(sum, max)| *sum > max + 1e-5));
            }
        }
    }
}

#[test]
fn scores_are_those_of_a_cross_encoder() {
    let Some(options) = options() else { return };
    for (name, activation) in [
        ("reranker", Activation::Tanh),
        ("reranker-modernbert", Activation::Sigmoid),
        ("reranker-gte", Activation::Sigmoid),
    ] {
        let found = describe_folder(name);
        let Task::Rerank(task) = &found.spec.task else { panic!("{:?}", found.spec) };
        assert_eq!(task.activation, Some(activation));
        assert_eq!(found.checkpoint.as_ref().unwrap().head, Head::Classifier);
        let (_out, files) = files(name, &found);
        let model = TextCrossEncoder::from_files(&found.spec, &files, &options).unwrap();
        let Scores { texts, scores } = expected(name);
        let results: Vec<f32> = model.rerank("the fox", &texts).collect::<Result<_, _>>().unwrap();
        close(name, &results, &scores);
        for (text, expected) in zip_equal(&texts, &scores) {
            let alone = model.rerank("the fox", [text]).next().unwrap().unwrap();
            close(&format!("{name}, {text:?} alone"), &[alone], &[*expected]);
        }
    }
}

/// Results of a causal language model, one for each pair.
#[derive(Deserialize)]
struct PairScores {
    pairs: Vec<(String, String)>,
    scores: Vec<f32>,
    /// Tokens that the model saw.
    input_ids: Vec<Vec<u32>>,
}

#[test]
fn scores_are_those_of_a_causal_language_model() {
    let Some(options) = options() else { return };
    for name in ["decoder", "decoder-one-token"] {
        let found = describe_folder(name);
        let Task::Rerank(task) = &found.spec.task else { panic!("{:?}", found.spec) };
        let tokens = task.tokens.as_ref().unwrap();
        let (_out, files) = files(name, &found);
        let PairScores { pairs, scores, input_ids } = expected(name);
        let template =
            TemplateTokenizer::load_with(&files, TokenizerOptions::default(), &tokens.template);
        let template = template.unwrap();
        let mut cut = 0;
        for ((query, document), expected) in zip_equal(&pairs, &input_ids) {
            let tokens = template.encode(query, document).unwrap();
            assert_eq!(tokens.ids, *expected, "{name}, {query:?} {document:?}");
            cut += usize::from(tokens.truncated);
        }
        assert_eq!(cut, 2, "{name}: two documents are above the limit");

        let model = TextCrossEncoder::from_files(&found.spec, &files, &options).unwrap();
        let together: Vec<_> = model.rerank_pairs_detailed(pairs_of(&pairs)).collect();
        for ((pair, expected), result) in zip_equal(zip_equal(&pairs, &scores), together) {
            let what = format!("{name}, {pair:?}");
            let found = result.unwrap();
            close(&what, &[found.value], &[*expected]);
            let alone = model.rerank(&pair.0, [&pair.1]).next().unwrap().unwrap();
            close(&format!("{what} alone"), &[alone], &[*expected]);
        }
    }
}

fn pairs_of(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(query, document)| (query.as_str(), document.as_str())).collect()
}

#[test]
fn vectors_of_tokens_are_those_of_sentence_transformers() {
    let Some(options) = options() else { return };
    let found = describe_folder("late");
    let (_out, files) = files("late", &found);
    let model = LateInteractionTextEmbedding::from_files(&found.spec, &files, &options).unwrap();
    let Expected { texts, query, document, .. } = expected::<Expected<Vec<Vec<f32>>>>("late");
    for (role, vectors) in [(Role::Query, query), (Role::Document, document)] {
        let results = model.embed_batch(role, &texts).unwrap();
        for ((text, expected), vectors) in zip_equal(zip_equal(&texts, &vectors), &results) {
            let found: Vec<&[f32]> = vectors.rows().collect();
            for (found, expected) in zip_equal(found, expected) {
                close(&format!("late, {role:?} {text:?}"), found, expected);
            }
        }
    }
}

#[test]
fn every_field_has_its_file() {
    let found = describe_folder("without-prompt");
    let file = |field| found.fact(field).map(|fact| (fact.value.as_str(), fact.file.as_str()));
    let every = "last-token+cls+max+mean+mean-sqrt-len+weighted-mean";
    assert_eq!(file("pooling"), Some((every, "1_Pooling/config.json")));
    assert_eq!(file("pool_prompt"), Some(("false", "1_Pooling/config.json")));
    assert_eq!(file("prompts.raw"), Some(("\"other: \"", "config_sentence_transformers.json")));
    let found = describe_folder("dense-chain");
    let layers: Vec<_> = found.facts.iter().filter(|fact| fact.field == "layers").collect();
    assert_eq!(layers[1].value, "dense 5 to 4, gelu");
    assert_eq!(found.spec.additional_files.len(), 2);
    let found = describe_folder("splade-table");
    let Task::Sparse(sparse) = &found.spec.task else { panic!("{:?}", found.spec) };
    assert!(matches!(&sparse.kind, SparseKind::IfSplade(facts) if facts.special_tokens));
}
