//! A model with several embeddings through `Model`, and the choice among them.

use std::path::{Path, PathBuf};

use embedkit::{
    Embedded, ErrorKind, HybridEmbedding, HybridTextEmbedding, Model, Options, Output, OutputKind,
    Outputs, QueueOptions, Role, SpecError,
    scoring::max_sim,
    types::{GraphOutput, HybridHeads, LoadOptions, ModelFiles, ModelSpec, Task, TextHybrid},
};

use crate::options;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../hybrid/tests/data/outputs")
}

fn spec() -> ModelSpec {
    let heads = HybridHeads::Outputs {
        dense: GraphOutput::Index(0),
        sparse: Some(GraphOutput::Index(1)),
        multi_vector: Some(GraphOutput::Index(2)),
    };
    ModelSpec {
        id: "tiny/three".into(),
        file: "model.onnx".into(),
        task: Task::TextHybrid(TextHybrid {
            dim: 8,
            heads,
            skip_tokens: vec!["<s>".into()].into(),
        }),
        ..ModelSpec::DEFAULT
    }
}

fn open(load: &LoadOptions, outputs: Option<&str>) -> Result<Model, embedkit::Error> {
    let outputs = outputs.map(|outputs| outputs.parse().unwrap());
    let options = Options { outputs, ..load.clone().into() };
    Model::builder_for([spec()]).unwrap().dir(dir()).options(options).open()
}

const TEXTS: [&str; 3] = ["the quick brown fox", "the cat sleeps under the tree", ""];

#[test]
fn all_embeddings_are_those_of_the_typed_model() {
    let Some(options) = options() else { return };
    let model = open(&options, None).unwrap();
    let files = ModelFiles::new(dir(), dir().join("model.onnx"));
    let typed = HybridTextEmbedding::from_files(&spec(), &files, &options).unwrap();
    assert_eq!(model.capabilities().outputs, [OutputKind::Hybrid]);
    assert_eq!(model.dim(), Some(8));
    for role in [Role::Raw, Role::Query, Role::Document] {
        let typed: Vec<_> = typed.embed_detailed(role, TEXTS).map(Result::unwrap).collect();
        let any: Vec<_> = model.embed(role, TEXTS).map(Result::unwrap).collect();
        assert_eq!(any.len(), typed.len());
        let submitted = model.submit(role, TEXTS, QueueOptions::BULK).unwrap();
        assert_eq!(submitted.map(Result::unwrap).collect::<Vec<_>>(), any);
        for (any, Embedded { value, tokens, truncated }) in any.into_iter().zip(typed) {
            assert_eq!(any, Embedded { value: Output::Hybrid(value), tokens, truncated });
        }
    }
    assert_eq!(model.token_count(Role::Raw, TEXTS).unwrap(), typed.token_count(TEXTS).unwrap());
}

#[test]
fn a_single_embedding_is_one_like_any_other() {
    let Some(options) = options() else { return };
    let all = open(&options, None).unwrap().query(TEXTS[0]).unwrap().into_hybrid().unwrap();
    let HybridEmbedding { dense, sparse, multi_vector } = all;
    for (outputs, kind, expected) in [
        ("dense", OutputKind::Dense, Output::Dense(dense.unwrap())),
        ("sparse", OutputKind::Sparse, Output::Sparse(sparse.unwrap())),
        ("multi", OutputKind::MultiVector, Output::MultiVector(multi_vector.unwrap())),
    ] {
        let model = open(&options, Some(outputs)).unwrap();
        assert_eq!(model.capabilities().outputs, [kind], "{outputs}");
        assert_eq!(model.query(TEXTS[0]).unwrap(), expected, "{outputs}");
    }
}

#[test]
fn the_score_is_the_mean_of_the_three() {
    let Some(options) = options() else { return };
    let model = open(&options, None).unwrap();
    let (query, document) = (model.query(TEXTS[0]).unwrap(), model.document(TEXTS[1]).unwrap());
    let found = query.score(&document).unwrap();
    let (query, document) = (query.into_hybrid().unwrap(), document.into_hybrid().unwrap());
    let (query_vector, document_vector) = (query.dense.unwrap(), document.dense.unwrap());
    let dense: f32 = query_vector.iter().zip(&document_vector).map(|(x, y)| x * y).sum();
    let sparse = query.sparse.unwrap().dot(&document.sparse.unwrap());
    let (query, document) = (query.multi_vector.unwrap(), document.multi_vector.unwrap());
    let tokens = query.len() as f32;
    let multi = max_sim(&query, &document).unwrap() / tokens;
    let expected = (dense + sparse + multi) / 3.0;
    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
}

#[test]
fn outputs_that_a_model_lacks_are_errors() {
    let load = LoadOptions::default();
    let mut spec = spec();
    let Task::TextHybrid(task) = &mut spec.task else { unreachable!() };
    let HybridHeads::Outputs { multi_vector, .. } = &mut task.heads else { unreachable!() };
    *multi_vector = None;
    let options = Options { outputs: Some(Outputs::ALL), ..load.into() };
    let builder = Model::builder_for([spec]).unwrap().dir(dir()).options(options);
    let error = builder.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let known = "dense,sparse".parse().unwrap();
    let expected = SpecError::NoOutput { id: "tiny/three".into(), asked: Outputs::ALL, known };
    assert_eq!(error.to_string(), embedkit::Error::from(expected).to_string());
}
