//! Facts of registered models, and lookups.

mod peers;

use embedkit_types::{
    Encoder, GraphOutput, ImagePooling, LateMultimodalKind, LateText, Markers, ModelPrompts,
    Pooling, QueryPadding, SparseKind, SpladeConfig, Task, TaskKind, TextDense,
};

use super::*;

fn dense(id: &str) -> &'static TextDense {
    match &find_task(id, TaskKind::TextDense).unwrap().task {
        Task::TextDense(task) => task,
        other => panic!("{other:?}"),
    }
}

fn late_text(id: &str) -> &'static LateText {
    match &find_task(id, TaskKind::LateText).unwrap().task {
        Task::LateText(task) => task,
        other => panic!("{other:?}"),
    }
}

fn sparse(id: &str) -> &'static SparseKind {
    match &find_task(id, TaskKind::Sparse).unwrap().task {
        Task::Sparse(task) => &task.kind,
        other => panic!("{other:?}"),
    }
}

fn similar(id: &str) -> Vec<&'static str> {
    let error = find(id).unwrap_err();
    match error.downcast_ref() {
        Some(LookupError::Unknown { similar, .. }) => similar.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn look_up_ignores_case_and_keeps_tasks_apart() {
    let ids = |id: &str| find(id).unwrap().iter().map(|spec| spec.task.name()).collect::<Vec<_>>();
    assert_eq!(ids("JINAAI/jina-CLIP-v1"), ["text-dense", "image"]);
    assert_eq!(ids("google/siglip2-base-patch16-224"), ["text-dense", "image"]);
    assert_eq!(ids("qdrant/BM25"), ["sparse"]);
    let spec = find_task("jinaai/JINA-clip-v1", TaskKind::Image).unwrap();
    assert_eq!(
        (spec.id.as_ref(), spec.file.as_ref()),
        ("jinaai/jina-clip-v1", "onnx/vision_model.onnx")
    );
    for spec in models() {
        let shouted = find_task(&spec.id.to_uppercase(), spec.task.kind()).unwrap();
        assert_eq!(shouted, spec);
    }
}

#[test]
fn another_task_is_named() {
    let error = find_task("BAAI/bge-small-en-v1.5", TaskKind::Rerank).unwrap_err();
    let expected = "model BAAI/bge-small-en-v1.5 is not registered for rerank, only for text-dense";
    assert_eq!(error.to_string(), expected);
    let hint = error.hint().unwrap().to_string();
    assert_eq!(hint, "open BAAI/bge-small-en-v1.5 as a model for text-dense");
    let error = find_task("jinaai/jina-clip-v1", TaskKind::Sparse).unwrap_err();
    assert!(error.to_string().ends_with("only for text-dense and image"), "{error}");
}

#[test]
fn unknown_ids_lead_to_similar_ones() {
    assert_eq!(similar("BAAI/bge-smal-en-v1.5")[0], "BAAI/bge-small-en-v1.5");
    assert_eq!(similar("all-minilm-l6-v2")[0], "sentence-transformers/all-MiniLM-L6-v2");
    assert_eq!(similar("someone/colbertv2.0"), ["colbert-ir/colbertv2.0"]);
    assert_eq!(similar("prithvida/Splade_PP_en_v2")[0], "prithivida/Splade_PP_en_v1");
    let clip = similar("Qdrant/clip-ViT-B-32");
    assert!(clip.contains(&"Qdrant/clip-ViT-B-32-text"), "{clip:?}");
    assert!(clip.contains(&"Qdrant/clip-ViT-B-32-vision"), "{clip:?}");
    let bge = similar("BAAI/something-else-altogether");
    assert!(bge.len() == 5 && bge.iter().all(|id| id.starts_with("BAAI/")), "{bge:?}");
    assert!(similar("").is_empty());
    assert!(similar("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq").is_empty());
    assert!(similar(&"x".repeat(1 << 20)).is_empty());
}

#[test]
fn names_of_the_manual_lead_to_the_registered_ids() {
    for name in ["vidore/colpali", "vidore/colpali-v1.3", "Vidore/ColPali-v1.2"] {
        assert_eq!(similar(name), ["Qdrant/colpali-v1.3-fp16"]);
    }
    let error = find("vidore/colmodernvbert").unwrap_err();
    assert_eq!(error.to_string(), "unknown model \"vidore/colmodernvbert\"");
    assert_eq!(error.hint().unwrap().to_string(), "did you mean Qdrant/colmodernvbert?");
    let error = find("vidore/colqwen2").unwrap_err();
    let hint = error.hint().unwrap().to_string();
    assert!(hint.contains("FastEmbed does not have it either"), "{hint}");
}

#[test]
fn hints_are_one_line() {
    let error = find("qqqqqqqq").unwrap_err();
    assert_eq!(error.hint(), Some(&Hint::SimilarModels(vec![])));
    let hint = find("vit-b").unwrap_err().hint().unwrap().to_string();
    assert!(
        hint.starts_with("did you mean ") && hint.contains(" or ") && hint.ends_with('?'),
        "{hint}"
    );
}

#[test]
fn facts_of_dense_models() {
    let bge = find("BAAI/bge-small-en-v1.5").unwrap()[0];
    assert_eq!(bge.source.repo.as_deref(), Some("Qdrant/bge-small-en-v1.5-onnx-Q"));
    assert_eq!((bge.size_gb, bge.max_tokens, bge.year), (Some(0.067), Some(512), Some(2023)));
    let task = dense("BAAI/bge-small-en-v1.5");
    assert_eq!((task.dim, task.pooling), (384, Pooling::Cls));
    assert!(task.accept_pooled && task.normalize && !task.pad_to_limit);

    let clip = dense("Qdrant/clip-ViT-B-32-text");
    assert_eq!((clip.pooling, clip.normalize, clip.accept_pooled), (Pooling::None, false, false));

    let siglip = dense("google/siglip2-base-patch16-224");
    assert_eq!(siglip.output, GraphOutput::Name("pooler_output".into()));
    assert!(siglip.pad_to_limit && siglip.normalize && siglip.accept_pooled);

    assert!(dense("sentence-transformers/all-MiniLM-L6-v2").normalize);
    assert!(!dense("intfloat/multilingual-e5-large").normalize);
    assert!(dense("intfloat/multilingual-e5-small").normalize);

    let jina = dense("jinaai/jina-embeddings-v3");
    let tasks = jina.tasks.as_ref().unwrap();
    assert_eq!((tasks.default, tasks.query, tasks.passage), (1, 0, 1));
    let names = ["retrieval.query", "retrieval.passage", "separation", "classification"];
    assert_eq!(tasks.names[..4], names);
    assert_eq!(tasks.names[4..], ["text-matching"]);

    let gemma = dense("google/embeddinggemma-300m");
    assert_eq!(
        (&gemma.output, gemma.pooling, gemma.normalize),
        (&GraphOutput::Index(1), Pooling::None, false)
    );
    assert_eq!(dense("Qwen/Qwen3-Embedding-0.6B").pooling, Pooling::LastToken);
    for spec in models().iter().filter(|spec| spec.id.starts_with("minishlab/")) {
        assert_eq!(dense(&spec.id).encoder, Encoder::Static);
        assert!(dense(&spec.id).normalize);
    }
}

#[test]
fn facts_of_dense_models_beyond_fastembed() {
    let pooling = |id: &str| {
        let task = dense(id);
        (task.pooling, task.normalize)
    };
    assert_eq!(pooling("BAAI/bge-m3"), (Pooling::Cls, true));
    assert_eq!(pooling("Alibaba-NLP/gte-large-en-v1.5-Q"), (Pooling::Cls, true));
    assert_eq!(pooling("Alibaba-NLP/gte-modernbert-base"), (Pooling::Cls, false));
    assert_eq!(pooling("nomic-ai/modernbert-embed-base"), (Pooling::Mean, true));
    assert_eq!(pooling("gpahal/bge-m3-onnx-int8"), (Pooling::None, false));
    assert_eq!(
        dense("google/embeddinggemma-300m-Q4").output,
        GraphOutput::Name("sentence_embedding".into())
    );
    assert_eq!(
        *find("BAAI/bge-m3").unwrap()[0].additional_files,
        ["onnx/model.onnx_data", "onnx/Constant_7_attr__value"]
    );
}

#[test]
fn prompts_are_recorded_where_they_are_known() {
    let prompts = |id: &str| find(id).unwrap()[0].prompts.clone();
    let given = |query: Option<&'static str>, passage: Option<&'static str>| {
        Some(ModelPrompts {
            query: query.map(Into::into),
            passage: passage.map(Into::into),
            ..ModelPrompts::default()
        })
    };
    assert_eq!(
        prompts("intfloat/multilingual-e5-large"),
        given(Some("query: "), Some("passage: "))
    );
    assert_eq!(
        prompts("intfloat/multilingual-e5-small"),
        given(Some("query: "), Some("passage: "))
    );
    let bge = "Represent this sentence for searching relevant passages: ";
    assert_eq!(prompts("BAAI/bge-base-en"), given(Some(bge), None));
    let qwen = prompts("Qwen/Qwen3-Embedding-0.6B-Q").unwrap().query.unwrap();
    assert!(qwen.ends_with("answer the query\nQuery:"), "{qwen:?}");
    assert_eq!(prompts("sentence-transformers/all-MiniLM-L6-v2"), None);
    let unknown: Vec<_> = models()
        .iter()
        .filter(|spec| spec.prompts.as_ref().is_some_and(|prompts| prompts.unknown))
        .map(|spec| spec.id.as_ref())
        .collect();
    assert_eq!(unknown, ["Qdrant/stella-en-400M-v5-doc-onnx"]);
}

#[test]
fn facts_of_sparse_models() {
    let SparseKind::Bm25(bm25) = sparse("Qdrant/bm25") else { panic!("not BM25") };
    assert_eq!((bm25.k, bm25.b, bm25.avg_len, bm25.token_max_length), (1.2, 0.75, 256.0, 40));
    let files = &find("Qdrant/bm25").unwrap()[0].additional_files;
    assert_eq!(files.len(), 17);
    assert!(!files.iter().any(|file| file == "tamil.txt"));
    let SparseKind::MiniCoil(minicoil) = sparse("Qdrant/minicoil-v1") else {
        panic!("not MiniCOIL")
    };
    assert_eq!((minicoil.k, minicoil.b, minicoil.avg_len), (1.2, 0.75, 150.0));
    let SparseKind::Bm42(bm42) = sparse("Qdrant/bm42-all-minilm-l6-v2-attentions") else {
        panic!("not BM42")
    };
    assert_eq!((&bm42.output, bm42.alpha), (&GraphOutput::Name("attention_6".into()), 0.5));
    let needs_idf = |spec: &&ModelSpec| spec.task.requires_idf() == Some(true);
    let idf: Vec<_> = models().iter().filter(needs_idf).map(|spec| spec.id.as_ref()).collect();
    let names = ["Qdrant/bm42-all-minilm-l6-v2-attentions", "Qdrant/bm25", "Qdrant/minicoil-v1"];
    assert_eq!(idf, names);
    for (version, log_twice) in [
        ("doc-v1", false),
        ("doc-v2-distill", false),
        ("doc-v3-distill", true),
        ("doc-v3-gte", true),
    ] {
        let id = format!("opensearch-project/opensearch-neural-sparse-encoding-{version}");
        let SparseKind::IfSplade(facts) = sparse(&id) else { panic!("{id} is another kind") };
        assert_eq!(facts.documents, SpladeConfig { log_twice, ..SpladeConfig::DEFAULT });
    }

    let alias = find("prithvida/Splade_PP_en_v1").unwrap()[0];
    assert_eq!(alias.alias_of.as_deref(), Some("prithivida/Splade_PP_en_v1"));
    assert_eq!(alias.task, find("prithivida/Splade_PP_en_v1").unwrap()[0].task);
}

#[test]
fn facts_of_late_interaction_models() {
    let expand = |token: &'static str, attend| {
        Some(QueryPadding { token: token.into(), length: Some(31), attend })
    };
    for (id, query, document, padding, reserve, punctuation, normalize_queries) in [
        ("colbert-ir/colbertv2.0", 1, 2, expand("[MASK]", false), 1, true, false),
        ("answerdotai/answerai-colbert-small-v1", 1, 2, expand("[MASK]", false), 1, true, false),
        ("jinaai/jina-colbert-v2", 250_002, 250_003, expand("<mask>", true), 1, true, false),
        (
            "lightonai/LateOn",
            50_368,
            50_369,
            Some(QueryPadding { token: "[MASK]".into(), length: None, attend: false }),
            0,
            true,
            true,
        ),
        (
            "lightonai/mLateOn",
            256_000,
            256_001,
            Some(QueryPadding { token: "<mask>".into(), length: None, attend: false }),
            0,
            false,
            true,
        ),
    ] {
        let task = late_text(id);
        assert_eq!(task.markers, Some(Markers { query, document }), "{id}");
        assert_eq!(task.query_padding, padding, "{id}");
        assert_eq!((task.reserve, task.skip_punctuation), (reserve, punctuation), "{id}");
        assert_eq!((task.normalize, task.normalize_queries), (true, normalize_queries), "{id}");
        assert_eq!(task.skip_padding_id, reserve == 1, "{id}");
    }
    let tokens = late_text("jinaai/jina-embeddings-v2-small-en-tokens");
    assert_eq!(*tokens, LateText { dim: 512, ..LateText::DEFAULT });

    let multimodal = |id: &str| match &find(id).unwrap()[0].task {
        Task::LateMultimodal(task) => task,
        other => panic!("{other:?}"),
    };
    let colpali = multimodal("Qdrant/colpali-v1.3-fp16");
    assert_eq!(
        (colpali.text_augmentation.token.as_ref(), colpali.text_augmentation.times),
        ("<pad>", 10)
    );
    let LateMultimodalKind::ColPali(facts) = &colpali.kind else { panic!("not ColPali") };
    assert_eq!(*facts.text_start_ids, [2, 5098]);
    assert_eq!(facts.image_tokens + facts.image_prompt_ids.len(), 1030);
    let colmodernvbert = multimodal("Qdrant/colmodernvbert");
    assert_eq!(colmodernvbert.text_prefix, "");
    assert!(matches!(colmodernvbert.kind, LateMultimodalKind::ColModernVbert(_)));
}

#[test]
fn facts_of_image_models() {
    let facts: Vec<_> = models()
        .iter()
        .filter_map(|spec| match &spec.task {
            Task::Image(task) => Some((spec.id.as_ref(), task)),
            _ => None,
        })
        .collect();
    for (id, task) in facts {
        assert!(task.normalize, "{id}");
        let cls = id.starts_with("nomic-ai/");
        assert_eq!(task.pooling == ImagePooling::Cls, cls, "{id}");
        let named = id == "google/siglip2-base-patch16-224";
        assert_eq!(
            matches!(&task.output, GraphOutput::Name(name) if name == "pooler_output"),
            named,
            "{id}"
        );
    }
}

#[test]
fn published_values_are_in_the_rows_of_their_models() {
    let known = |id: &str| find_task(id, TaskKind::TextDense).unwrap().canonical.as_ref();
    let bge = known("BAAI/bge-small-en-v1.5").unwrap();
    assert_eq!(*bge.texts, ["hello world"]);
    assert_eq!(bge.vectors[0][..2], [0.015_223_74, -0.022_717_99]);
    assert!(known("jinaai/jina-embeddings-v3").is_none(), "its values are of tasks");
    assert!(known("intfloat/e5-base-v2").is_none());
    let rows: Vec<_> = models().iter().filter_map(|spec| spec.canonical.as_ref()).collect();
    assert!(rows.len() > 25, "{}", rows.len());
    for known in rows {
        known.check().unwrap();
        assert!(known.vectors.iter().all(|vector| vector.len() <= 16), "the registry stays small");
    }
}

#[test]
fn checkpoints_name_their_index_and_layers() {
    let large = find_task("qwen/qwen3-embedding-8b", TaskKind::TextDense).unwrap();
    assert_eq!(large.file, "model.safetensors.index.json");
    assert!(large.additional_files.is_empty(), "the index has the shards");
    let task = dense("Qwen/Qwen3-Embedding-8B");
    assert_eq!((task.dim, task.pooling, task.normalize), (4096, Pooling::LastToken, true));
    let prompt = large.prompts.as_ref().unwrap().query.as_deref().unwrap();
    assert!(prompt.ends_with("\nQuery:"), "{prompt:?}");
    let task = dense("sentence-transformers/LaBSE");
    assert_eq!((task.pooling, task.layers.len(), task.normalize), (Pooling::Cls, 1, true));
}
