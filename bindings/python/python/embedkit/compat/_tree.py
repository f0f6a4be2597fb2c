"""Names of FastEmbed's modules, and the places of this package that have them."""

from __future__ import annotations

_DESCRIPTIONS = {
    name: f"embedkit.descriptions:{name}"
    for name in (
        "BaseModelDescription",
        "DenseModelDescription",
        "ModelSource",
        "PoolingType",
        "SparseModelDescription",
    )
}
_TYPES = {
    name: f"embedkit.types:{name}"
    for name in ("Device", "ImageInput", "NumpyArray", "OnnxProvider", "PathInput")
}
_ONNX = {
    name: f"embedkit.compat._onnx:{name}" for name in ("OnnxModel", "OnnxOutputContext", "OnnxTextModel")
}
_UTILS = {
    name: f"embedkit.compat._onnx:{name}"
    for name in (
        "define_cache_dir",
        "get_all_punctuation",
        "iter_batch",
        "last_token_pooling",
        "mean_pooling",
        "normalize",
        "remove_non_alphanumeric",
    )
}
_TEXT = {"TextEmbedding": "embedkit.text:TextEmbedding"}
_SPARSE_BASE = {"SparseEmbedding": "embedkit.results:SparseEmbedding"}
_SPARSE = {"SparseTextEmbedding": "embedkit.sparse:SparseTextEmbedding"}
_LATE = {"LateInteractionTextEmbedding": "embedkit.late_interaction:LateInteractionTextEmbedding"}
_MULTIMODAL = {
    "LateInteractionMultimodalEmbedding": (
        "embedkit.late_interaction_multimodal:LateInteractionMultimodalEmbedding"
    )
}
_IMAGE = {"ImageEmbedding": "embedkit.image:ImageEmbedding"}
_RERANK = {"TextCrossEncoder": "embedkit.rerank:TextCrossEncoder"}
_MUVERA = {"Muvera": "embedkit.postprocess:Muvera"}

_ONNX_TEXT = "embedkit.text:OnnxTextEmbedding"
_COLBERT = "embedkit.late_interaction:Colbert"
_COLPALI = "embedkit.late_interaction_multimodal:ColPali"
_ONNX_IMAGE = "embedkit.image:OnnxImageEmbedding"

MODULES: dict[str, dict[str, str]] = {
    "fastembed": {**_TEXT, **_SPARSE, **_SPARSE_BASE, **_IMAGE, **_LATE, **_MULTIMODAL},
    "fastembed.embedding": {
        **_TEXT,
        "DefaultEmbedding": "embedkit.text:TextEmbedding",
        "FlagEmbedding": "embedkit.text:TextEmbedding",
        "JinaEmbedding": "embedkit.compat._onnx:JinaEmbedding",
    },
    "fastembed.common": {name: _TYPES[name] for name in ("ImageInput", "OnnxProvider", "PathInput")},
    "fastembed.common.types": _TYPES,
    "fastembed.common.model_description": _DESCRIPTIONS,
    "fastembed.common.onnx_model": {name: _ONNX[name] for name in ("OnnxModel", "OnnxOutputContext")},
    "fastembed.common.utils": _UTILS,
    "fastembed.text": _TEXT,
    "fastembed.text.text_embedding": _TEXT,
    "fastembed.text.text_embedding_base": {"TextEmbeddingBase": _ONNX_TEXT},
    "fastembed.text.onnx_text_model": {"OnnxTextModel": _ONNX["OnnxTextModel"]},
    "fastembed.text.onnx_embedding": {"OnnxTextEmbedding": _ONNX_TEXT},
    "fastembed.text.clip_embedding": {"CLIPOnnxEmbedding": _ONNX_TEXT},
    "fastembed.text.siglip_embedding": {"SiglipOnnxTextEmbedding": _ONNX_TEXT},
    "fastembed.text.pooled_embedding": {"PooledEmbedding": _ONNX_TEXT},
    "fastembed.text.pooled_normalized_embedding": {"PooledNormalizedEmbedding": _ONNX_TEXT},
    "fastembed.text.builtin_sentence_embedding": {"BuiltinSentenceEmbedding": _ONNX_TEXT},
    "fastembed.text.last_token_normalized_embedding": {
        "LastTokenNormalizedEmbedding": "embedkit.text:LastTokenNormalizedEmbedding"
    },
    "fastembed.text.static_embedding": {"StaticTextEmbedding": "embedkit.text:StaticTextEmbedding"},
    "fastembed.text.multitask_embedding": {
        "JinaEmbeddingV3": "embedkit.text:JinaEmbeddingV3",
        "Task": "embedkit.text:Task",
    },
    "fastembed.text.custom_text_embedding": {
        "CustomTextEmbedding": "embedkit.text:CustomTextEmbedding",
        "PostprocessingConfig": "embedkit.text:PostprocessingConfig",
    },
    "fastembed.sparse": {**_SPARSE_BASE, **_SPARSE},
    "fastembed.sparse.sparse_text_embedding": {**_SPARSE, **_SPARSE_BASE},
    "fastembed.sparse.sparse_embedding_base": {
        **_SPARSE_BASE,
        "SparseTextEmbeddingBase": "embedkit.sparse:SpladePP",
    },
    "fastembed.sparse.bm25": {
        "Bm25": "embedkit.sparse:Bm25",
        "Stemmer": "embedkit.sparse:Stemmer",
        "supported_languages": "embedkit.sparse:SUPPORTED_LANGUAGES",
    },
    "fastembed.sparse.bm42": {"Bm42": "embedkit.sparse:Bm42"},
    "fastembed.sparse.minicoil": {"MiniCOIL": "embedkit.sparse:MiniCOIL"},
    "fastembed.sparse.splade_pp": {"SpladePP": "embedkit.sparse:SpladePP"},
    "fastembed.sparse.if_splade": {"IfSplade": "embedkit.sparse:IfSplade"},
    "fastembed.late_interaction": _LATE,
    "fastembed.late_interaction.late_interaction_text_embedding": _LATE,
    "fastembed.late_interaction.late_interaction_embedding_base": {
        "LateInteractionTextEmbeddingBase": _COLBERT
    },
    "fastembed.late_interaction.colbert": {"Colbert": _COLBERT},
    "fastembed.late_interaction.jina_colbert": {"JinaColbert": _COLBERT},
    "fastembed.late_interaction.lateon": {"LateOn": _COLBERT, "MLateOn": _COLBERT},
    "fastembed.late_interaction.token_embeddings": {"TokenEmbeddingsModel": _COLBERT},
    "fastembed.late_interaction_multimodal": _MULTIMODAL,
    "fastembed.late_interaction_multimodal.late_interaction_multimodal_embedding": _MULTIMODAL,
    "fastembed.late_interaction_multimodal.late_interaction_multimodal_embedding_base": {
        "LateInteractionMultimodalEmbeddingBase": _COLPALI
    },
    "fastembed.late_interaction_multimodal.colpali": {"ColPali": _COLPALI},
    "fastembed.late_interaction_multimodal.colmodernvbert": {"ColModernVBERT": _COLPALI},
    "fastembed.image": _IMAGE,
    "fastembed.image.image_embedding": _IMAGE,
    "fastembed.image.image_embedding_base": {"ImageEmbeddingBase": _ONNX_IMAGE},
    "fastembed.image.onnx_embedding": {"OnnxImageEmbedding": _ONNX_IMAGE},
    "fastembed.image.normalized_embedding": {"NormalizedEmbedding": _ONNX_IMAGE},
    "fastembed.image.siglip_embedding": {"SiglipOnnxImageEmbedding": _ONNX_IMAGE},
    "fastembed.rerank": {},
    "fastembed.rerank.cross_encoder": _RERANK,
    "fastembed.rerank.cross_encoder.text_cross_encoder": _RERANK,
    "fastembed.rerank.cross_encoder.text_cross_encoder_base": {
        "TextCrossEncoderBase": "embedkit.rerank:OnnxTextCrossEncoder"
    },
    "fastembed.rerank.cross_encoder.onnx_text_cross_encoder": {
        "OnnxTextCrossEncoder": "embedkit.rerank:OnnxTextCrossEncoder"
    },
    "fastembed.rerank.cross_encoder.custom_text_cross_encoder": {
        "CustomTextCrossEncoder": "embedkit.rerank:CustomTextCrossEncoder"
    },
    "fastembed.postprocess": _MUVERA,
    "fastembed.postprocess.muvera": _MUVERA,
}
"""For each module its names, with the module and the attribute that they stand for."""

PACKAGES = frozenset(parent for name in MODULES if (parent := name.rpartition(".")[0]))
"""Modules that have others."""
