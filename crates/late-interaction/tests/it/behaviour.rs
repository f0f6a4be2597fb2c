//! What the original does not have, or does wrong: options, errors, batches.

use std::sync::Arc;

use embedkit_core::{Error as Core, registry};
use embedkit_late_interaction::{LateInteractionError, LateInteractionTextEmbedding};
use embedkit_testkit::{
    assert_close, dense_case, fails_alone, fault, late_case, load_options, one_batch,
    runtime_library, texts_with_a_long_one,
};
use embedkit_types::{
    BatchOptions, Embed, Error, LateText, LoadOptions, ModelFiles, ModelPrompts, ModelSpec,
    MultiVector, MultiVectorModel, Prompts, Role, SpecError, Task,
};

/// The model of a case, with its description and options changed; `None` without a runtime.
fn open(
    name: &str,
    change: impl FnOnce(&mut ModelSpec, &mut LoadOptions),
) -> Option<Result<LateInteractionTextEmbedding, Error>> {
    let mut case = late_case(name);
    let mut options = LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() };
    let files = case.files();
    change(&mut case.spec, &mut options);
    Some(LateInteractionTextEmbedding::from_files(&case.spec, &files, &options))
}

fn facts(spec: &mut ModelSpec) -> &mut LateText {
    match &mut spec.task {
        Task::LateText(task) => task,
        other => panic!("a model for {}", other.name()),
    }
}

#[track_caller]
fn assert_same(found: &MultiVector, expected: &MultiVector, tolerance: f32) {
    assert_eq!((found.len(), found.dim()), (expected.len(), expected.dim()));
    assert_close(found.values(), expected.values(), tolerance);
}

#[test]
fn results_do_not_depend_on_batching_threads_or_replicas() {
    for name in
        ["colbert", "colbert-left", "jina-colbert", "lateon", "mlateon", "token-embeddings-left"]
    {
        let Some(reference) = open(name, |_, _| {}) else { return };
        let reference = reference.unwrap();
        let golden = late_case(name).golden;
        let texts: Vec<String> =
            (0..150).map(|i| golden.texts[i * 7 % 11].repeat(i % 3 + 1)).collect();
        for role in [Role::Document, Role::Query] {
            let alone: Vec<_> = texts
                .iter()
                .map(|text| reference.embed_batch(role, &[text]).unwrap().remove(0))
                .collect();
            for (rows, tokens, window, replicas, threads) in
                [(1, 1, 1, 1, 1), (3, 64, 10, 3, 1), (256, 100_000, 9999, 2, 2)]
            {
                let model = open(name, |_, options| {
                    options.batch = BatchOptions {
                        rows: Some(rows),
                        tokens: Some(tokens),
                        window,
                        ..BatchOptions::default()
                    };
                    options.replicas = Some(replicas);
                    options.threads = Some(threads);
                });
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let model: Arc<dyn Embed<Input = str, Output = MultiVector>> =
                    Arc::new(model.unwrap().unwrap());
                let vectors = model.embed_batch(role, &texts).unwrap();
                assert_eq!(vectors.len(), alone.len());
                for (vectors, alone) in vectors.iter().zip(&alone) {
                    assert_same(vectors, alone, 1e-5);
                }
            }
        }
    }
}

#[test]
fn queries_are_filled_up_and_documents_are_not() {
    let Some(model) = open("colbert", |_, _| {}) else { return };
    let model = model.unwrap();
    let lengths = |role| model.embed_batch(role, &["", "hello world"]).unwrap();
    let queries: Vec<_> = lengths(Role::Query).iter().map(MultiVector::len).collect();
    let documents: Vec<_> = lengths(Role::Document).iter().map(MultiVector::len).collect();
    assert_eq!((queries, documents), (vec![32, 32], vec![3, 5]));
}

#[test]
fn dimensions_keep_the_heads_and_unit_length() {
    let Some(whole) = open("colbert", |_, _| {}) else { return };
    let whole = whole.unwrap();
    let cut = open("colbert", |_, options| options.dim = Some(3)).unwrap().unwrap();
    assert_eq!((cut.embedding_size(), MultiVectorModel::embedding_size(&whole)), (3, 4));
    for role in [Role::Document, Role::Query] {
        let text = ["the quick brown fox"];
        let (whole, cut) =
            (whole.embed_batch(role, &text).unwrap(), cut.embed_batch(role, &text).unwrap());
        assert_eq!(whole[0].len(), cut[0].len());
        for (whole, cut) in whole[0].rows().zip(cut[0].rows()) {
            let norm = whole[..3].iter().map(|x| x * x).sum::<f32>().sqrt();
            let expected: Vec<f32> = whole[..3].iter().map(|x| x / norm).collect();
            assert_close(cut, &expected, 1e-5);
        }
    }
    let error = open("colbert", |_, options| options.dim = Some(5)).unwrap().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Core::DimTooLarge { wanted: 5, dim: 4, .. })));
}

#[test]
fn prompts_are_used_or_refused() {
    let prompts = ModelPrompts {
        query: Some("the quick ".into()),
        passage: Some("lazy dog ".into()),
        ..ModelPrompts::default()
    };
    let Some(plain) = open("lateon", |_, _| {}) else { return };
    let plain = plain.unwrap();
    let prompted = open("lateon", |spec, options| {
        spec.prompts = Some(prompts.clone());
        options.prompts = Prompts::Model;
    });
    let prompted = prompted.unwrap().unwrap();
    for (role, text) in [
        (Role::Raw, "brown fox"),
        (Role::Query, "the quick brown fox"),
        (Role::Document, "lazy dog brown fox"),
    ] {
        let with = prompted.embed_batch(role, &["brown fox"]).unwrap();
        let by_hand = plain.embed_batch(role, &[text]).unwrap();
        assert_eq!(with, by_hand, "{role:?}");
    }
    let custom = open("lateon", |_, options| {
        options.prompts = Prompts::Custom { query: Some("the quick ".to_owned()), document: None };
    });
    assert_eq!(
        custom.unwrap().unwrap().query_embed_one("brown fox").unwrap(),
        prompted.query_embed_one("brown fox").unwrap()
    );
    let unknown = open("lateon", |spec, options| {
        spec.prompts = Some(ModelPrompts { unknown: true, ..ModelPrompts::default() });
        options.prompts = Prompts::Model;
    });
    let error = unknown.unwrap().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(SpecError::PromptUnknown { .. })), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_names() {
    let wrong = open("colbert", |spec, _| {
        spec.task = registry::find("Qdrant/bm25").unwrap()[0].task.clone();
    });
    let Some(wrong) = wrong else { return };
    let error = wrong.unwrap_err().to_string();
    assert_eq!(error, "tiny/colbert is a model for sparse, not for late-text");

    let error = open("error-mask-token", |_, _| {}).unwrap().unwrap_err();
    let Some(LateInteractionError::MissingToken { token, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(token, "[MASK]");
    assert!(error.hint().unwrap().to_string().contains("special_tokens_map.json"));

    let error = open("error-limit", |_, _| {}).unwrap().unwrap_err();
    assert!(error.to_string().contains("tokenizer_config.json"), "{error}");
    let error = open("colbert", |spec, _| facts(spec).reserve = 32).unwrap().unwrap_err();
    assert!(error.to_string().contains("leaves no room"), "{error}");

    let error = open("colbert", |spec, _| {
        facts(spec).output = embedkit_types::GraphOutput::Name("missing".into());
    });
    assert!(error.unwrap().unwrap_err().to_string().contains("missing"));

    let model = open("error-pooled", |_, _| {}).unwrap().unwrap();
    for role in [Role::Document, Role::Query] {
        let error = model.embed_batch(role, &["hello"]).unwrap_err().to_string();
        assert!(error.contains("expected [texts, tokens, width]"), "{error}");
    }
}

#[test]
fn a_graph_without_mask_embeds_documents_and_refuses_what_it_would_attend_to() {
    let Some(library) = runtime_library() else { return };
    let dense = dense_case("no-mask-input");
    let mut spec = late_case("colbert").spec;
    spec.file = dense.spec.file.clone();
    let files = dense.files();
    let options = LoadOptions { onnxruntime: Some(library), ..load_options() };
    let model = LateInteractionTextEmbedding::from_files(&spec, &files, &options).unwrap();
    assert_eq!(model.embed_batch(Role::Document, &["hello world"]).unwrap()[0].len(), 5);
    let error = model.embed_batch(Role::Query, &["hello world"]).unwrap_err().to_string();
    assert!(error.contains("has no input `attention_mask`"), "{error}");
    // A long query has no padding.
    let long = "a ".repeat(31);
    assert_eq!(model.embed_batch(Role::Query, &[&long]).unwrap()[0].len(), 32);
}

#[test]
fn the_registered_width_gives_way_to_the_graph() {
    let Some(model) = open("colbert", |spec, _| facts(spec).dim = 128) else { return };
    let model = model.unwrap();
    assert_eq!(model.embedding_size(), 4);
    assert_eq!(model.embed_batch(Role::Raw, &["fox"]).unwrap()[0].dim(), 4);
}

#[test]
fn all_models_of_the_registry_are_listed() {
    let ids: Vec<_> =
        LateInteractionTextEmbedding::supported_models().map(|spec| spec.id.as_ref()).collect();
    for id in [
        "colbert-ir/colbertv2.0",
        "answerdotai/answerai-colbert-small-v1",
        "jinaai/jina-colbert-v2",
        "lightonai/LateOn",
        "lightonai/mLateOn",
        "jinaai/jina-embeddings-v2-small-en-tokens",
    ] {
        assert!(ids.contains(&id), "{ids:?}");
    }
}

#[test]
fn no_texts_give_nothing() {
    let Some(model) = open("colbert", |_, _| {}) else { return };
    let model = model.unwrap();
    assert_eq!(model.embed(Vec::<&str>::new()).count(), 0);
    assert_eq!(model.token_count(Vec::<&str>::new(), Role::Query, true).unwrap(), 0);
    assert!(!model.device().unwrap().is_empty());
}

#[test]
fn a_text_that_the_graph_fails_on_fails_alone() {
    let Some(library) = runtime_library() else { return };
    let case = late_case("token-embeddings");
    let files = ModelFiles { model: fault("hidden"), ..case.files() };
    let options = LoadOptions { onnxruntime: Some(library), batch: one_batch(), ..load_options() };
    let model = LateInteractionTextEmbedding::from_files(&case.spec, &files, &options).unwrap();
    let texts = texts_with_a_long_one(23);
    let mut others = texts.clone();
    others.remove(23);
    let error = fails_alone(23, model.embed(&texts), model.embed(&others));
    assert!(matches!(error.downcast_ref(), Some(Core::Run { .. })), "{error}");
}
