//! Models with several heads, against what PyTorch computes.

#![allow(clippy::unwrap_used, reason = "in tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use embedkit_convert::{ConvertOptions, Head, convert};
use embedkit_hybrid::{HybridOptions, HybridTextEmbedding};
use embedkit_testkit::{assert_close, load_options, runtime_library, zip_equal};
use embedkit_types::{
    Activation, BatchOptions, DenseLayer, Embedded, Error, GraphOutput, HybridEmbedding,
    HybridHeads, LoadOptions, ModelFiles, ModelSpec, Outputs, Role, SpecError, Task, TaskKind,
    TextHybrid,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    embeddings: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    dense: Vec<f32>,
    sparse: Vec<(u32, f32)>,
    multi_vector: Vec<Vec<f32>>,
    tokens: usize,
}

const LIMIT: usize = 14;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn golden(name: &str) -> Golden {
    serde_json::from_slice(&fs::read(folder(name).join("expected.json")).unwrap()).unwrap()
}

fn options() -> Option<LoadOptions> {
    Some(LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() })
}

fn head(file: &str, dim: usize) -> DenseLayer {
    DenseLayer { file: file.to_owned().into(), dim, bias: true, activation: Activation::Identity }
}

/// Layers behind the vectors of tokens, in files with this ending.
fn layers(ending: &str) -> HybridHeads {
    HybridHeads::Layers {
        output: GraphOutput::Index(0),
        sparse: Some(head(&format!("sparse_linear.{ending}"), 1)),
        multi_vector: Some(head(&format!("colbert_linear.{ending}"), 6)),
    }
}

fn outputs() -> HybridHeads {
    let named = |name: &str| GraphOutput::Name(name.to_owned().into());
    HybridHeads::Outputs {
        dense: named("dense_vecs"),
        sparse: Some(named("sparse_vecs")),
        multi_vector: Some(named("colbert_vecs")),
    }
}

fn spec(heads: HybridHeads) -> ModelSpec {
    let skip_tokens = ["<s>", "<pad>", "</s>", "<unk>"].map(Into::into).to_vec().into();
    ModelSpec {
        id: "me/three-heads".into(),
        file: "model.onnx".into(),
        task: Task::TextHybrid(TextHybrid { dim: 8, heads, skip_tokens }),
        ..ModelSpec::DEFAULT
    }
}

/// The files of a model with a graph; a converted one where there is a checkpoint.
fn files(name: &str) -> (tempfile::TempDir, ModelFiles) {
    let out = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), out.path().join(entry.file_name())).unwrap();
    }
    let model = out.path().join("model.onnx");
    if !model.exists() {
        let options = ConvertOptions { head: Head::Hidden, ..ConvertOptions::default() };
        convert(out.path(), &model, &options).unwrap();
    }
    let files = ModelFiles::new(out.path(), model);
    (out, files)
}

fn open(
    heads: HybridHeads,
    files: &ModelFiles,
    options: &LoadOptions,
    outputs: Option<Outputs>,
) -> Result<HybridTextEmbedding, Error> {
    let options_here = HybridOptions { outputs };
    HybridTextEmbedding::from_files_with(&spec(heads), files, options, &options_here)
}

/// Stored numbers that are within 1e-5.
const TOLERANCE: f32 = 1e-5;

#[track_caller]
fn equal(what: &str, found: &HybridEmbedding, expected: &Expected, outputs: Outputs) {
    assert_eq!(found.dense.is_some(), outputs.dense, "{what}");
    assert_eq!(found.sparse.is_some(), outputs.sparse, "{what}");
    assert_eq!(found.multi_vector.is_some(), outputs.multi_vector, "{what}");
    if let Some(dense) = &found.dense {
        assert_close(dense, &expected.dense, TOLERANCE);
    }
    if let Some(sparse) = &found.sparse {
        let (ids, weights): (Vec<u32>, Vec<f32>) = expected.sparse.iter().copied().unzip();
        assert_eq!(sparse.indices(), ids, "{what}");
        assert_close(sparse.values(), &weights, TOLERANCE);
    }
    if let Some(vectors) = &found.multi_vector {
        assert_eq!(vectors.len(), expected.multi_vector.len(), "{what}");
        for (vector, expected) in vectors.rows().zip(&expected.multi_vector) {
            assert_close(vector, expected, TOLERANCE);
        }
    }
}

/// Each text alone and all in batches of one length and of several.
#[test]
fn every_embedding_equals_the_original() {
    let Some(options) = options() else { return };
    for (name, heads) in [
        ("checkpoint", layers("pt")),
        ("checkpoint", layers("safetensors")),
        ("outputs", outputs()),
    ] {
        let (_out, files) = files(name);
        let Golden { texts, embeddings } = golden(name);
        let mut cut = 0;
        for batch in [BatchOptions::default(), embedkit_testkit::one_batch()] {
            let options = LoadOptions { batch, ..options.clone() };
            let model = open(heads.clone(), &files, &options, None).unwrap();
            assert_eq!((model.outputs(), model.embedding_size()), (Outputs::ALL, 8));
            let together: Vec<_> = model.embed_detailed(Role::Raw, &texts).collect();
            for ((text, expected), together) in zip_equal(zip_equal(&texts, &embeddings), together)
            {
                let what = format!("{name}, {text:?}");
                let Embedded { value, tokens, truncated, .. } = together.unwrap();
                assert_eq!(
                    (tokens, truncated),
                    (expected.tokens, expected.tokens == LIMIT),
                    "{what}"
                );
                cut += usize::from(truncated);
                equal(&what, &value, expected, Outputs::ALL);
                equal(&what, &model.query_embed_one(text).unwrap(), expected, Outputs::ALL);
            }
        }
        assert_eq!(cut, 2, "a text is above the limit");
    }
}

#[test]
fn only_the_outputs_that_are_asked_for_are_given() {
    let Some(options) = options() else { return };
    for (name, heads) in [("checkpoint", layers("pt")), ("outputs", outputs())] {
        let (_out, files) = files(name);
        let Golden { texts, embeddings } = golden(name);
        for choice in ["dense", "sparse", "multi", "dense,multi", "sparse,multi"] {
            let outputs: Outputs = choice.parse().unwrap();
            let model = open(heads.clone(), &files, &options, Some(outputs)).unwrap();
            assert_eq!(model.outputs(), outputs);
            let found = model.embed_batch(Role::Document, &texts).unwrap();
            for (found, expected) in zip_equal(&found, &embeddings) {
                equal(choice, found, expected, outputs);
            }
        }
    }
}

#[test]
fn a_head_that_is_not_asked_for_needs_no_file() {
    let Some(options) = options() else { return };
    let (out, files) = files("checkpoint");
    fs::remove_file(out.path().join("colbert_linear.pt")).unwrap();
    let outputs = Some("dense,sparse".parse().unwrap());
    assert!(open(layers("pt"), &files, &options, outputs).is_ok());
    let error = open(layers("pt"), &files, &options, None).unwrap_err().to_string();
    assert!(error.contains("colbert_linear.pt"), "{error}");
}

#[test]
fn outputs_that_the_model_lacks_are_errors() {
    let out = tempfile::tempdir().unwrap();
    let files = ModelFiles::new(out.path(), out.path().join("model.onnx"));
    let heads = || HybridHeads::Outputs {
        dense: GraphOutput::Index(0),
        sparse: Some(GraphOutput::Index(1)),
        multi_vector: None,
    };
    for asked in ["multi", "dense,multi"] {
        let options = load_options();
        let error = open(heads(), &files, &options, Some(asked.parse().unwrap())).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(asked) && text.contains("dense,sparse"), "{text}");
    }
    let none = open(heads(), &files, &load_options(), Some(Outputs::NONE)).unwrap_err();
    assert!(none.to_string().contains("dense,sparse"), "{none}");
}

#[test]
fn descriptions_and_options_without_meaning_are_errors() {
    let (_out, files) = files("outputs");
    let dense = ModelSpec { id: "me/dense".into(), ..ModelSpec::DEFAULT };
    let error = HybridTextEmbedding::from_files(&dense, &files, &load_options()).unwrap_err();
    let expected = SpecError::wrong_task(&dense, TaskKind::TextHybrid);
    assert_eq!(error.to_string(), Error::from(expected).to_string());
    let options = LoadOptions { dim: Some(4), ..load_options() };
    let error = open(outputs(), &files, &options, None).unwrap_err().to_string();
    assert!(error.contains("dim"), "{error}");
}

#[test]
fn damaged_heads_and_graphs_name_the_file_and_the_shape() {
    let Some(options) = options() else { return };
    let (out, files) = files("checkpoint");
    let wide = HybridHeads::Layers {
        output: GraphOutput::Index(0),
        sparse: Some(head("sparse_linear.pt", 2)),
        multi_vector: None,
    };
    let error = open(wide, &files, &options, None).unwrap_err().to_string();
    assert!(error.contains("sparse_linear.pt") && error.contains("[2, width]"), "{error}");
    fs::write(out.path().join("sparse_linear.pt"), b"PK\x03\x04").unwrap();
    let error = open(layers("pt"), &files, &options, None).unwrap_err().to_string();
    assert!(error.contains("sparse_linear.pt") && error.contains("archive"), "{error}");
    // A graph without the outputs that the description names.
    let error = open(outputs(), &files, &options, None).unwrap_err().to_string();
    assert!(error.contains("dense_vecs"), "{error}");
    // The vectors of tokens where the one vector should be.
    let swapped =
        HybridHeads::Outputs { dense: GraphOutput::Index(0), sparse: None, multi_vector: None };
    let model = open(swapped, &files, &options, None).unwrap();
    let error = model.query_embed_one("cat").unwrap_err().to_string();
    assert!(error.contains("[texts, dim]"), "{error}");
}
