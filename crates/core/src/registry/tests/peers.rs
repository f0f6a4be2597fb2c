//! Registered models compared with the tables of other libraries.

use super::*;

/// Models of FastEmbed 0.9.1 by task, in its order.
const FASTEMBED: &[(TaskKind, &[&str])] = &[
    (
        TaskKind::TextDense,
        &[
            "BAAI/bge-base-en",
            "BAAI/bge-base-en-v1.5",
            "BAAI/bge-large-en-v1.5",
            "BAAI/bge-small-en",
            "BAAI/bge-small-en-v1.5",
            "BAAI/bge-small-zh-v1.5",
            "mixedbread-ai/mxbai-embed-large-v1",
            "snowflake/snowflake-arctic-embed-xs",
            "snowflake/snowflake-arctic-embed-s",
            "snowflake/snowflake-arctic-embed-m",
            "snowflake/snowflake-arctic-embed-m-long",
            "snowflake/snowflake-arctic-embed-l",
            "jinaai/jina-clip-v1",
            "Qdrant/constella-zero",
            "Qdrant/stella-en-400M-v5-doc-onnx",
            "Qdrant/clip-ViT-B-32-text",
            "google/siglip2-base-patch16-224",
            "sentence-transformers/all-MiniLM-L6-v2",
            "jinaai/jina-embeddings-v2-base-en",
            "jinaai/jina-embeddings-v2-small-en",
            "jinaai/jina-embeddings-v2-base-de",
            "jinaai/jina-embeddings-v2-base-code",
            "jinaai/jina-embeddings-v2-base-zh",
            "jinaai/jina-embeddings-v2-base-es",
            "thenlper/gte-base",
            "thenlper/gte-large",
            "Qdrant/constella-nano",
            "nomic-ai/nomic-embed-text-v1.5",
            "nomic-ai/nomic-embed-text-v1.5-Q",
            "nomic-ai/nomic-embed-text-v1",
            "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
            "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
            "intfloat/multilingual-e5-large",
            "jinaai/jina-embeddings-v3",
            "google/embeddinggemma-300m",
            "ibm-granite/granite-embedding-small-english-r2",
            "Qwen/Qwen3-Embedding-0.6B",
            "Qwen/Qwen3-Embedding-0.6B-Q",
            "minishlab/potion-base-8M",
            "minishlab/potion-retrieval-32M",
            "minishlab/potion-multilingual-128M",
        ],
    ),
    (
        TaskKind::Sparse,
        &[
            "prithivida/Splade_PP_en_v1",
            "prithvida/Splade_PP_en_v1",
            "Qdrant/bm42-all-minilm-l6-v2-attentions",
            "Qdrant/bm25",
            "Qdrant/minicoil-v1",
            "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-gte",
        ],
    ),
    (
        TaskKind::LateText,
        &[
            "colbert-ir/colbertv2.0",
            "answerdotai/answerai-colbert-small-v1",
            "jinaai/jina-colbert-v2",
            "lightonai/LateOn",
            "lightonai/mLateOn",
        ],
    ),
    (TaskKind::LateMultimodal, &["Qdrant/colpali-v1.3-fp16", "Qdrant/colmodernvbert"]),
    (
        TaskKind::Image,
        &[
            "Qdrant/clip-ViT-B-32-vision",
            "Qdrant/resnet50-onnx",
            "Qdrant/Unicom-ViT-B-16",
            "Qdrant/Unicom-ViT-B-32",
            "jinaai/jina-clip-v1",
            "nomic-ai/nomic-embed-vision-v1.5",
            "nomic-ai/nomic-embed-vision-v1.5-Q",
            "google/siglip2-base-patch16-224",
        ],
    ),
    (
        TaskKind::Rerank,
        &[
            "Xenova/ms-marco-MiniLM-L-6-v2",
            "Xenova/ms-marco-MiniLM-L-12-v2",
            "BAAI/bge-reranker-base",
            "BAAI/bge-reranker-v2-m3",
            "BAAI/bge-reranker-v2-m3-int8",
            "jinaai/jina-reranker-v1-tiny-en",
            "jinaai/jina-reranker-v1-turbo-en",
            "jinaai/jina-reranker-v2-base-multilingual",
        ],
    ),
];

/// Models of fastembed-rs 7.5.0 on ONNX Runtime: task, code, and file.
const FASTEMBED_RS: &[(TaskKind, &str, &str)] = &[
    (TaskKind::TextDense, "Qdrant/all-MiniLM-L6-v2-onnx", "model.onnx"),
    (TaskKind::TextDense, "Xenova/all-MiniLM-L6-v2", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "Xenova/all-MiniLM-L12-v2", "onnx/model.onnx"),
    (TaskKind::TextDense, "Xenova/all-MiniLM-L12-v2", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "Xenova/all-mpnet-base-v2", "onnx/model.onnx"),
    (TaskKind::TextDense, "Xenova/bge-base-en-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "Qdrant/bge-base-en-v1.5-onnx-Q", "model_optimized.onnx"),
    (TaskKind::TextDense, "Xenova/bge-large-en-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "Qdrant/bge-large-en-v1.5-onnx-Q", "model_optimized.onnx"),
    (TaskKind::TextDense, "Xenova/bge-small-en-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "Qdrant/bge-small-en-v1.5-onnx-Q", "model_optimized.onnx"),
    (TaskKind::TextDense, "nomic-ai/nomic-embed-text-v1", "onnx/model.onnx"),
    (TaskKind::TextDense, "nomic-ai/nomic-embed-text-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "nomic-ai/nomic-embed-text-v1.5", "onnx/model_quantized.onnx"),
    (
        TaskKind::TextDense,
        "Qdrant/paraphrase-multilingual-MiniLM-L12-v2-onnx-Q",
        "model_optimized.onnx",
    ),
    (TaskKind::TextDense, "Xenova/paraphrase-multilingual-MiniLM-L12-v2", "onnx/model.onnx"),
    (TaskKind::TextDense, "Xenova/paraphrase-multilingual-mpnet-base-v2", "onnx/model.onnx"),
    (TaskKind::TextDense, "Xenova/bge-small-zh-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "Xenova/bge-large-zh-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "BAAI/bge-m3", "onnx/model.onnx"),
    (TaskKind::TextDense, "lightonai/modernbert-embed-large", "onnx/model.onnx"),
    (TaskKind::TextDense, "intfloat/multilingual-e5-small", "onnx/model.onnx"),
    (TaskKind::TextDense, "intfloat/multilingual-e5-base", "onnx/model.onnx"),
    (TaskKind::TextDense, "Qdrant/multilingual-e5-large-onnx", "model.onnx"),
    (TaskKind::TextDense, "mixedbread-ai/mxbai-embed-large-v1", "onnx/model.onnx"),
    (TaskKind::TextDense, "mixedbread-ai/mxbai-embed-large-v1", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "Alibaba-NLP/gte-base-en-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "Alibaba-NLP/gte-base-en-v1.5", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "Alibaba-NLP/gte-large-en-v1.5", "onnx/model.onnx"),
    (TaskKind::TextDense, "Alibaba-NLP/gte-large-en-v1.5", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "Qdrant/clip-ViT-B-32-text", "model.onnx"),
    (TaskKind::TextDense, "jinaai/jina-embeddings-v2-base-code", "onnx/model.onnx"),
    (TaskKind::TextDense, "jinaai/jina-embeddings-v2-base-en", "model.onnx"),
    (TaskKind::TextDense, "onnx-community/embeddinggemma-300m-ONNX", "onnx/model.onnx"),
    (TaskKind::TextDense, "onnx-community/embeddinggemma-300m-ONNX", "onnx/model_q4.onnx"),
    (TaskKind::TextDense, "onnx-community/embeddinggemma-300m-ONNX", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-xs", "onnx/model.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-xs", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-s", "onnx/model.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-s", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "Snowflake/snowflake-arctic-embed-m", "onnx/model.onnx"),
    (TaskKind::TextDense, "Snowflake/snowflake-arctic-embed-m", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-m-long", "onnx/model.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-m-long", "onnx/model_quantized.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-l", "onnx/model.onnx"),
    (TaskKind::TextDense, "snowflake/snowflake-arctic-embed-l", "onnx/model_quantized.onnx"),
    (TaskKind::Sparse, "Qdrant/Splade_PP_en_v1", "model.onnx"),
    (TaskKind::Sparse, "BAAI/bge-m3", "onnx/model.onnx"),
    (TaskKind::Sparse, "Qdrant/opensearch-neural-sparse-encoding-doc-v3-gte", "model.onnx"),
    (TaskKind::Image, "Qdrant/clip-ViT-B-32-vision", "model.onnx"),
    (TaskKind::Image, "Qdrant/resnet50-onnx", "model.onnx"),
    (TaskKind::Image, "Qdrant/Unicom-ViT-B-16", "model.onnx"),
    (TaskKind::Image, "Qdrant/Unicom-ViT-B-32", "model.onnx"),
    (TaskKind::Image, "nomic-ai/nomic-embed-vision-v1.5", "onnx/model.onnx"),
    (TaskKind::Rerank, "BAAI/bge-reranker-base", "onnx/model.onnx"),
    (TaskKind::Rerank, "rozgo/bge-reranker-v2-m3", "model.onnx"),
    (TaskKind::Rerank, "jinaai/jina-reranker-v1-turbo-en", "onnx/model.onnx"),
    (TaskKind::Rerank, "jinaai/jina-reranker-v2-base-multilingual", "onnx/model.onnx"),
];

/// Its repository has an exact graph, too, so the row of the quantised one is found by its id.
const BY_ID: &str = "Xenova/all-MiniLM-L6-v2";

/// FastEmbed's row has the graph of another repository.
const OTHER_GRAPH: &str = "jinaai/jina-embeddings-v2-base-en";

#[test]
fn models_of_fastembed_come_first_in_its_order() {
    for (task, ids) in FASTEMBED {
        let ours: Vec<_> = models()
            .iter()
            .filter(|spec| spec.task.kind() == *task)
            .map(|spec| spec.id.as_ref())
            .take(ids.len())
            .collect();
        assert_eq!(ours, *ids, "{task}");
    }
}

#[test]
fn codes_of_fastembed_rs_resolve() {
    for (task, code, _) in FASTEMBED_RS {
        if *code != BY_ID {
            let spec = find_task(code, *task).unwrap_or_else(|error| panic!("{code}: {error}"));
            assert_eq!(spec.task.kind(), *task, "{code}");
        }
    }
    assert!(find(BY_ID).is_err());
}

#[test]
fn files_of_fastembed_rs_have_rows() {
    for (task, code, file) in FASTEMBED_RS {
        let has_file = |spec: &ModelSpec| {
            let repo = spec.source.repo.as_deref().unwrap_or_default();
            spec.task.kind() == *task && repo.eq_ignore_ascii_case(code) && spec.file == *file
        };
        let known = models().iter().any(has_file);
        assert_eq!(known, *code != OTHER_GRAPH, "{code} {file}");
    }
}

#[test]
fn a_repository_stands_for_the_first_model_of_each_task() {
    let ids = |name: &str| -> Vec<_> {
        find(name).unwrap().iter().map(|spec| (spec.id.as_ref(), spec.task.name())).collect()
    };
    assert_eq!(
        ids("QDRANT/all-MiniLM-L6-v2-onnx"),
        [("sentence-transformers/all-MiniLM-L6-v2", "text-dense")]
    );
    assert_eq!(
        ids("Qdrant/Qwen3-Embedding-0.6B-onnx"),
        [("Qwen/Qwen3-Embedding-0.6B", "text-dense")]
    );
    assert_eq!(
        ids("onnx-community/siglip2-base-patch16-224-ONNX"),
        [
            ("google/siglip2-base-patch16-224", "text-dense"),
            ("google/siglip2-base-patch16-224", "image")
        ]
    );
    // Not by the alias, which has the same repository.
    assert_eq!(ids("Qdrant/Splade_PP_en_v1"), [("prithivida/Splade_PP_en_v1", "sparse")]);
    // An id comes before a repository: the row of this id has another one.
    assert_eq!(
        find("jinaai/jina-embeddings-v2-base-en").unwrap()[0].source.repo.as_deref(),
        Some("Xenova/jina-embeddings-v2-base-en")
    );
}
