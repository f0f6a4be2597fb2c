"""FastEmbed and embedkit in one process, on the same files."""

from __future__ import annotations

from typing import Any

import embedkit
import numpy as np
import pytest
from conftest import case

fastembed = pytest.importorskip("fastembed", reason="FastEmbed is not installed")
if fastembed.TextEmbedding.__module__.startswith("embedkit"):
    pytest.skip("FastEmbed is replaced in this process", allow_module_level=True)

CASES = (
    [
        ("TextEmbedding", "dense", name)
        for name in ("mean-normalized", "cls", "clip", "mean", "builtin", "last-token-left", "static")
    ]
    + [("SparseTextEmbedding", "sparse", name) for name in ("splade", "if-splade", "bm42", "minicoil")]
    + [("LateInteractionTextEmbedding", "late", name) for name in ("colbert", "lateon")]
)


def _same(ours: Any, theirs: Any) -> None:
    if hasattr(theirs, "indices"):
        np.testing.assert_array_equal(ours.indices, theirs.indices)
        assert ours.indices.dtype == theirs.indices.dtype
        _same(ours.values, theirs.values)
        return
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("facade", "family", "name"), CASES)
def test_results_are_the_same(facade: str, family: str, name: str) -> None:
    found = case(family, name)
    texts = [text for text in found.texts() if text.strip()]
    arguments = {"specific_model_path": found.path, **found.golden.get("options", {})}
    theirs = getattr(fastembed, facade)(found.model, **arguments)
    ours = getattr(embedkit, facade)(found.model, **arguments)
    for method in ("embed", "query_embed", "passage_embed"):
        # One text a batch: FastEmbed's results may depend on the neighbours.
        expected = [next(iter(getattr(theirs, method)([text]))) for text in texts]
        for our, their in zip(getattr(ours, method)(texts), expected, strict=True):
            _same(our, their)
    assert ours.token_count(texts) == theirs.token_count(texts)


def test_bm25_is_the_same() -> None:
    from embedkit.sparse import Bm25
    from fastembed.sparse.bm25 import Bm25 as TheirBm25

    texts = [
        "The quick brown foxes are jumping over the lazy dogs, jumping high!",
        "Über den größten Flüssen Österreichs, naïve café",
        "",
    ]
    for options in ({}, {"language": "german"}, {"disable_stemmer": True}, {"k": 2.0, "b": 0.1}):
        words = set(Bm25("Qdrant/bm25", **options).stopwords)
        # Their lists of stopwords are files, which are not here.
        theirs = TheirBm25("Qdrant/bm25", specific_model_path=".", stopwords=words, **options)
        ours = Bm25("Qdrant/bm25", **options)
        for method in ("embed", "query_embed"):
            pairs = zip(getattr(ours, method)(texts), getattr(theirs, method)(texts), strict=True)
            for our, their in pairs:
                _same(our, their)
        assert ours.token_count(texts) == theirs.token_count(texts)
