"""The surface beside the vectors: descriptions, added models, BM25's steps, scores, MUVERA."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import embedkit
import numpy as np
import pytest
from conftest import case
from embedkit import (
    ImageEmbedding,
    LateInteractionMultimodalEmbedding,
    LateInteractionTextEmbedding,
    Model,
    ModelSource,
    Muvera,
    PoolingType,
    SparseEmbedding,
    SparseTextEmbedding,
    TextCrossEncoder,
    TextEmbedding,
    scoring,
)
from embedkit.sparse import Bm25

FACADES = [
    TextEmbedding,
    SparseTextEmbedding,
    LateInteractionTextEmbedding,
    LateInteractionMultimodalEmbedding,
    ImageEmbedding,
    TextCrossEncoder,
]


@pytest.mark.parametrize("facade", FACADES)
def test_descriptions_are_new_each_time(facade) -> None:
    first = facade.list_supported_models()
    first[0].pop("model")
    first[0]["sources"]["hf"] = "changed"
    again = facade.list_supported_models()
    assert again[0]["model"]
    assert again[0]["sources"]["hf"] != "changed"
    assert {"sources", "model_file", "description", "license", "size_in_GB", "additional_files"} <= set(
        again[0]
    )


@pytest.mark.parametrize("facade", FACADES)
def test_signatures_are_those_of_fastembed(facade) -> None:
    fastembed = pytest.importorskip("fastembed", reason="FastEmbed is not installed")
    from fastembed.rerank.cross_encoder import TextCrossEncoder as TheirCrossEncoder

    theirs = getattr(fastembed, facade.__name__, TheirCrossEncoder)
    if theirs.__module__.startswith("embedkit"):
        pytest.skip("FastEmbed is replaced in this process")
    names = [name for name, _ in inspect.getmembers(theirs, inspect.isfunction)]
    for name in names:
        if name.startswith("_") and name != "__init__":
            continue
        expected = inspect.signature(getattr(theirs, name)).parameters
        found = inspect.signature(getattr(facade, name)).parameters
        assert [(one.name, one.kind) for one in found.values()] == [
            (one.name, one.kind) for one in expected.values()
        ], name
        for one in expected.values():
            if one.default is not inspect.Parameter.empty:
                assert found[one.name].default == one.default, f"{name}({one.name})"
    # FastEmbed's models come first, with its facts.
    ours = facade.list_supported_models()
    for their, our in zip(theirs.list_supported_models(), ours, strict=False):
        their.pop("description")
        our.pop("description")
        assert our == their


def test_a_model_is_added_under_a_name_that_is_free() -> None:
    found = case("dense", "custom-named-mean")
    name = "tests/added"
    TextEmbedding.add_custom_model(
        name,
        pooling=PoolingType.MEAN,
        normalization=False,
        sources=ModelSource(hf=name),
        dim=8,
        output_name="token_embeddings",
    )
    with pytest.raises(ValueError, match="Model tests/Added is already registered"):
        TextEmbedding.add_custom_model("tests/Added", PoolingType.CLS, True, ModelSource(hf=name), 8)
    with pytest.raises(ValueError, match="is already registered"):
        TextEmbedding.add_custom_model(
            "baai/bge-small-en-v1.5", PoolingType.CLS, True, ModelSource(hf=name), 8
        )
    assert TextEmbedding.get_embedding_size(name) == 8
    assert found.golden["embed"]


def test_steps_of_bm25_can_be_replaced() -> None:
    texts = ["The boats are rusty, rustier than boats!", "cats"]
    standard = Bm25("Qdrant/bm25")
    slow = Bm25("Qdrant/bm25")
    slow.stopwords = set(slow.stopwords) | {"nothing of the texts"}
    assert standard._is_standard()
    assert not slow._is_standard()
    for ours, theirs in zip(standard.embed(texts), slow.embed(texts), strict=True):
        np.testing.assert_array_equal(ours.indices, theirs.indices)
        np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-12)
    for ours, theirs in zip(standard.query_embed(texts), slow.query_embed(texts), strict=True):
        np.testing.assert_array_equal(ours.indices, theirs.indices)

    class FirstLetter:
        def stem_word(self, word: str) -> str:
            return word[0]

    own = SparseTextEmbedding("Qdrant/bm25", stemmer=FirstLetter(), stopwords={"the"})
    [terms] = own.embed("The boats bob, are bold")
    assert len(terms.indices) == 2
    with pytest.raises(ValueError, match="cannot be supplied"):
        Bm25("Qdrant/bm25", stemmer=FirstLetter(), disable_stemmer=True)
    with pytest.raises(ValueError, match="klingon language is not supported"):
        Bm25("Qdrant/bm25", language="klingon")


def test_weighted_terms_are_a_dataclass_of_arrays() -> None:
    [terms] = SparseTextEmbedding("Qdrant/bm25").embed("the boat is rusty, the boats are")
    assert type(terms) is SparseEmbedding
    assert list(vars(terms)) == ["values", "indices"]
    assert (terms.values.dtype, terms.indices.dtype) == (np.float64, np.int64)
    assert terms.values.flags.owndata
    assert terms.values.flags.writeable
    for copy in (dataclasses.replace(terms), pickle.loads(pickle.dumps(terms))):
        np.testing.assert_array_equal(copy.indices, terms.indices)
    same = SparseEmbedding.from_dict(terms.as_dict())
    np.testing.assert_array_equal(same.values, terms.as_object()["values"])


def test_a_session_is_there_once_the_graph_is() -> None:
    found = case("dense", "mean-normalized")
    model = TextEmbedding(
        found.model,
        specific_model_path=found.path,
        lazy_load=True,
        enable_cpu_mem_arena=False,
        threads=1,
    )
    assert not hasattr(model.model, "model")
    assert model.token_count("a") > 0
    assert not hasattr(model.model, "model")
    list(model.embed("a"))
    session = model.model.model
    assert session.get_session_options().enable_cpu_mem_arena is False
    assert session.get_session_options().intra_op_num_threads == 1
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.get_provider_options() == {"CPUExecutionProvider": {}}


def test_muvera_gives_the_published_values() -> None:
    vectors = np.random.default_rng(42).random((10, 128))
    muvera = Muvera(dim=128)
    encoding = muvera.process_document(vectors)
    assert encoding.shape == (muvera.embedding_size,)
    np.testing.assert_allclose(encoding[:3], [-2.61810007e-04, 1.89005750, -2.32070747], rtol=1e-6)
    query = muvera.process_query(vectors)
    first = query[np.nonzero(query)][:3]
    np.testing.assert_allclose(first, [-0.85783903, 1.1077204, -0.09522747], rtol=1e-6)
    with pytest.raises(ValueError, match="higher dimensionality"):
        Muvera(dim=8, dim_proj=16)
    with pytest.raises(ValueError, match="empty multivector"):
        muvera.process(np.zeros((0, 128)))
    with pytest.raises(AssertionError, match="got \\(2, 3\\)"):
        muvera.process(np.zeros((2, 3)))


def test_scores_without_a_model() -> None:
    query = np.array([1, 0], dtype=np.float32)
    documents = np.array([[0, 2], [3, 3], [5, 0]], dtype=np.float32)
    scores = scoring.cosine(query, documents)
    np.testing.assert_allclose(scores, [0, 0.70710677, 1], rtol=1e-6)
    assert [ranked.index for ranked in scoring.top_k(scores, 2)] == [2, 1]
    np.testing.assert_allclose(scoring.max_sim(documents[:2], [documents, documents[:1]]), [24, 10])
    assert scoring.pool_tokens(documents, 1.5).shape == (2, 2)
    fused = scoring.reciprocal_rank_fusion([scoring.top_k(scores, 3), [1, 2]])
    assert fused[0].index in (1, 2)
    with pytest.raises(ValueError, match="expected a vector of 2 dimensions, got 3"):
        scoring.cosine(query, np.zeros((1, 3), dtype=np.float32))


def test_any_model_takes_its_kind_of_input() -> None:
    model = Model("Qdrant/bm25")
    assert model.capabilities["requires_idf"] is True
    query = model.query("rusty boats")
    [document] = model.embed(["the boat is rusty"])
    assert set(query.indices.tolist()) == set(document.indices.tolist())
    assert repr(model) == "Model('Qdrant/bm25')"
    assert embedkit.__version__


@pytest.mark.parametrize(
    ("threads", "replicas", "expected"),
    [(3, None, (3, 1)), (4, None, (None, None)), (4, 2, (4, 2)), (None, None, (None, None))],
)
def test_as_many_threads_as_cores_are_no_limit(
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    replicas: int | None,
    expected: tuple[int | None, int | None],
) -> None:
    from embedkit import _options

    monkeypatch.setattr(_options, "_cores", lambda: 4)
    keywords = {} if replicas is None else {"replicas": replicas}
    found = _options.load(
        cache_dir=None, threads=threads, providers=None, cuda=False, device_ids=None, keywords=keywords
    )
    assert (found.get("threads"), found.get("replicas")) == expected
