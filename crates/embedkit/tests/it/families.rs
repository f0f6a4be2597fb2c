//! Each family through `Model` gives what its typed model gives, bit for bit.

use embedkit::{
    Embedded, Error, ImageEmbedding, ImageInput, Input, InputKind,
    LateInteractionMultimodalEmbedding, LateInteractionTextEmbedding, Model, Output, OutputKind,
    Role, SparseTextEmbedding, TextCrossEncoder, TextEmbedding,
};
use embedkit_testkit::{
    dense_case, image_case, late_case, multimodal_case, rerank_case, sparse_case, zip_equal,
};

use crate::{open, options};

const ROLES: [Role; 3] = [Role::Raw, Role::Document, Role::Query];
/// Inputs that are one call's own work, in batches that depend on nothing else.
const FEW: usize = 8;

fn few(texts: &[String]) -> &[String] {
    &texts[..texts.len().min(FEW)]
}

/// Compares a stream of `Model` with that of a typed model.
#[track_caller]
fn assert_same<T: Into<Output>>(
    any: impl IntoIterator<Item = Result<Embedded<Output>, Error>>,
    typed: impl IntoIterator<Item = Result<Embedded<T>, Error>>,
) {
    let mut inputs = 0;
    for (any, typed) in zip_equal(any, typed) {
        let Embedded { value, tokens, truncated } = typed.unwrap();
        assert_eq!(any.unwrap(), Embedded { value: value.into(), tokens, truncated });
        inputs += 1;
    }
    assert!(inputs > 0);
}

#[test]
fn dense_models() {
    let Some(options) = options() else { return };
    for name in ["tasks", "mean-normalized", "static"] {
        let case = dense_case(name);
        let any = open(&case.spec, &case.dir).unwrap();
        let typed = TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
        let texts = few(&case.golden.texts);
        for role in ROLES {
            assert_same(any.embed(role, texts), typed.embed_detailed(role, texts));
        }
        let query = any.query(&texts[0]).unwrap();
        assert_eq!(query, typed.query_embed_one(&texts[0]).unwrap().into());
        let document = any.document(texts[0].as_str()).unwrap();
        assert_eq!(document, typed.passage_embed(&texts[..1]).next().unwrap().unwrap().into());
        assert_eq!(any.dim(), Some(typed.embedding_size()));
        assert_eq!(any.device(InputKind::Text).unwrap(), typed.device().unwrap());
        let count = any.token_count(Role::Raw, texts).unwrap();
        assert_eq!(count, typed.token_count(texts).unwrap());
        assert_eq!(any.capabilities().outputs, [OutputKind::Dense]);
    }
}

#[test]
fn sparse_models() {
    let Some(options) = options() else { return };
    for name in ["splade", "if-splade", "bm42", "minicoil"] {
        let case = sparse_case(name);
        let any = open(&case.spec, &case.dir).unwrap();
        let typed = SparseTextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
        let texts = few(&case.golden.texts);
        for role in ROLES {
            assert_same(any.embed(role, texts), typed.embed_detailed(role, texts));
        }
        assert_eq!(any.dim(), None);
        assert_eq!(any.capabilities().requires_idf, typed.requires_idf());
        let count = any.token_count(Role::Raw, texts).unwrap();
        assert_eq!(count, typed.token_count(texts).unwrap());
    }
}

#[test]
fn late_interaction_models_of_texts() {
    let Some(options) = options() else { return };
    for name in ["colbert", "token-embeddings"] {
        let case = late_case(name);
        let any = open(&case.spec, &case.dir).unwrap();
        let files = case.files();
        let typed = LateInteractionTextEmbedding::from_files(&case.spec, &files, &options).unwrap();
        let texts = few(&case.golden.texts);
        for role in ROLES {
            assert_same(any.embed(role, texts), typed.embed_detailed(role, texts));
            let count = any.token_count(role, texts).unwrap();
            assert_eq!(count, typed.token_count(texts, role, false).unwrap());
        }
        assert_eq!(any.dim(), Some(typed.embedding_size()));
    }
}

#[test]
fn multimodal_models() {
    let Some(options) = options() else { return };
    let case = multimodal_case("colmodernvbert");
    let any = open(&case.spec, &case.dir).unwrap();
    let files = case.files();
    let typed =
        LateInteractionMultimodalEmbedding::from_files(&case.spec, &files, &options).unwrap();
    let texts = few(&case.golden.texts);
    assert_same(any.embed(Role::Query, texts), typed.embed_text_detailed(texts));
    let images = case.images();
    let inputs = images.iter().map(|path| Input::image(path.as_path()));
    assert_same(any.embed(Role::Document, inputs), typed.embed_image_detailed(images.clone()));
    let count = any.token_count(Role::Raw, texts).unwrap();
    assert_eq!(count, typed.token_count(texts, false).unwrap());
}

#[test]
fn image_models() {
    let Some(options) = options() else { return };
    let case = image_case("clip");
    let any = open(&case.spec, &case.dir).unwrap();
    let typed = ImageEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
    let images: Vec<ImageInput> = case.pictures().into_iter().map(Into::into).collect();
    assert_same(any.embed(Role::Raw, images.clone()), typed.embed_detailed(images.clone()));
    let one = any.document(images[0].clone()).unwrap();
    assert_eq!(one, typed.embed(images[..1].iter().cloned()).next().unwrap().unwrap().into());
    assert!(any.token_count(Role::Raw, images).is_err());
}

#[test]
fn rerankers() {
    let Some(options) = options() else { return };
    let case = rerank_case("no-types");
    let any = open(&case.spec, &case.dir).unwrap();
    let typed = TextCrossEncoder::from_files(&case.spec, &case.files(), &options).unwrap();
    let (query, documents) = (&case.golden.query, few(&case.golden.documents));
    let scores: Result<Vec<_>, _> = typed.rerank(query, documents).collect();
    assert_eq!(any.rerank(query, documents).unwrap(), scores.unwrap());
    // Queries that change, and one that stays.
    let pairs = [("a", "b"), ("a", "c"), ("d", "c"), ("a", "c")];
    let inputs = pairs.map(|(query, document)| Input::pair(query, document));
    assert_same(any.embed(Role::Raw, inputs.clone()), typed.rerank_pairs_detailed(pairs));
    for (query, document) in pairs {
        let alone = any.rerank(query, [document]).unwrap();
        assert_eq!(alone, [typed.rerank(query, [document]).next().unwrap().unwrap()]);
    }
    let count = any.token_count(Role::Raw, inputs).unwrap();
    assert_eq!(count, typed.token_count(pairs).unwrap());
    assert!(any.query("a text").unwrap_err().to_string().contains("not texts"));
}

#[test]
fn bm25_needs_no_files() {
    let options = embedkit::Options {
        sparse: embedkit::SparseOptions {
            language: Some("german".to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    let any = Model::load("Qdrant/BM25", options.clone()).unwrap();
    let typed =
        SparseTextEmbedding::load_with("Qdrant/bm25", options.load.clone(), &options.sparse)
            .unwrap();
    assert_eq!(any.id(), "Qdrant/bm25");
    for role in ROLES {
        let text = "die Katzen schlafen";
        assert_same(any.embed(role, [text]), typed.embed_detailed(role, [text]));
    }
    let query = any.query("Katze").unwrap();
    assert!(query.score(&any.document("die Katzen schlafen").unwrap()).unwrap() > 1.0);
    assert!(any.capabilities().requires_idf && any.capabilities().uses_roles);
}
