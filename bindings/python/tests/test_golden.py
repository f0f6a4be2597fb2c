"""Results of all families against FastEmbed's, which are stored with the tiny models."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import case
from embedkit import (
    ImageEmbedding,
    LateInteractionMultimodalEmbedding,
    LateInteractionTextEmbedding,
    Model,
    ModelSource,
    SparseTextEmbedding,
    TextCrossEncoder,
    TextEmbedding,
)

TOLERANCE = 1e-4


@pytest.mark.parametrize("name", ["mean-normalized", "cls", "clip", "mean", "siglip", "static"])
def test_dense_vectors_are_those_of_fastembed(name: str) -> None:
    found = case("dense", name)
    model = TextEmbedding(found.model, specific_model_path=found.path)
    vectors = list(model.embed(found.texts()))
    alone = found.golden.get("embed_batch_1") or [None] * len(vectors)
    for vector, golden, single in zip(vectors, found.golden["embed"], alone, strict=True):
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, single or golden, atol=TOLERANCE)
    counts = [model.token_count(text) for text in found.texts()]
    assert counts == found.golden["token_counts"]


def test_tasks_of_jina_are_chosen_for_each_call() -> None:
    found = case("dense", "tasks")
    model = TextEmbedding(found.model, specific_model_path=found.path)
    for task, golden in found.golden["embed_task"].items():
        vectors = list(model.embed(found.texts(), task_id=int(task)))
        np.testing.assert_allclose(vectors, golden, atol=TOLERANCE)
        other = TextEmbedding(found.model, specific_model_path=found.path, task_id=int(task))
        np.testing.assert_allclose(list(other.embed(found.texts())), golden, atol=TOLERANCE)
    with pytest.raises(ValueError, match="has no task 9"):
        next(iter(model.embed("a", task_id=9)))


@pytest.mark.parametrize("name", ["splade", "if-splade", "bm42", "bm42-alpha", "minicoil"])
def test_sparse_terms_have_the_order_of_fastembed(name: str) -> None:
    found = case("sparse", name)
    model = SparseTextEmbedding(found.model, specific_model_path=found.path, **found.golden["options"])
    for terms, golden in zip(model.embed(found.texts()), found.golden["embed"], strict=True):
        assert terms.indices.tolist() == [index for index, _ in golden]
        np.testing.assert_allclose(terms.values, [value for _, value in golden], atol=TOLERANCE)
    queries = zip(model.query_embed(found.texts()), found.golden["query_embed"], strict=True)
    for terms, golden in queries:
        assert sorted(terms.indices.tolist()) == sorted(index for index, _ in golden)


@pytest.mark.parametrize("name", ["colbert", "lateon", "jina-colbert"])
def test_late_interaction_vectors_are_those_of_fastembed(name: str) -> None:
    found = case("late", name)
    model = LateInteractionTextEmbedding(found.model, specific_model_path=found.path)
    for key, results in (("embed", model.embed), ("query_embed", model.query_embed)):
        for vectors, golden in zip(results(found.texts()), found.golden[key], strict=True):
            if golden is not None:
                np.testing.assert_allclose(vectors, golden, atol=TOLERANCE)


def test_scores_are_those_of_fastembed() -> None:
    found = case("rerank", "bert-processing")
    name = "tests/bert-processing"
    if all(model["model"] != name for model in TextCrossEncoder.list_supported_models()):
        TextCrossEncoder.add_custom_model(name, sources=ModelSource(hf=name))
    model = TextCrossEncoder(name, specific_model_path=found.path)
    query = found.golden["query"]
    scores = list(model.rerank(query, found.texts("documents")))
    np.testing.assert_allclose(scores, found.golden["rerank"], atol=TOLERANCE)
    assert all(type(score) is float for score in scores)


@pytest.mark.parametrize("name", ["clip", "jina"])
def test_image_vectors_are_those_of_fastembed(name: str) -> None:
    found = case("image", name)
    model = ImageEmbedding(found.model, specific_model_path=found.path)
    pictures = found.folder.parent / "pictures"
    paths = [pictures / picture for picture in found.golden["pictures"]]
    inputs = (paths, [str(path) for path in paths], [path.read_bytes() for path in paths])
    for images in inputs:
        np.testing.assert_allclose(list(model.embed(images)), found.golden["embed"], atol=TOLERANCE)
    pil = pytest.importorskip("PIL.Image")
    vectors = list(model.embed([pil.open(path) for path in paths]))
    np.testing.assert_allclose(vectors, found.golden["embed"], atol=TOLERANCE)
    [single] = model.embed(paths[0])
    np.testing.assert_allclose(single, found.golden["embed"][0], atol=TOLERANCE)


def test_jpeg_is_decoded_at_a_reduced_size_on_request() -> None:
    found = case("image", "clip")
    photograph = found.folder.parents[1] / "image-preprocess" / "scaled" / "420.jpg"

    def vector(**options: str) -> np.ndarray:
        [only] = ImageEmbedding(found.model, specific_model_path=found.path, **options).embed(photograph)
        return only

    exact, scaled = vector(jpeg="full"), vector(jpeg="scaled")
    np.testing.assert_array_equal(vector(), exact)
    assert not np.array_equal(scaled, exact)
    np.testing.assert_allclose(scaled, exact, atol=0.02)
    with pytest.raises(ValueError, match="half"):
        vector(jpeg="half")


@pytest.mark.parametrize("name", ["colpali", "colmodernvbert"])
def test_multimodal_vectors_are_those_of_fastembed(name: str) -> None:
    found = case("multimodal", name)
    model = LateInteractionMultimodalEmbedding(found.model, specific_model_path=found.path)
    values = np.fromfile(found.folder / "golden.f32", dtype="<f4")
    texts = list(model.embed_text(found.texts()))
    folder = found.folder.parent / "images"
    images = list(model.embed_image([folder / image for image in found.golden["images"]]))
    rows = [*found.golden["embed_text"]["rows"], *found.golden["embed_image"]["rows"]]
    assert [len(vectors) for vectors in texts + images] == rows
    ours = np.concatenate([vectors.ravel() for vectors in texts + images])
    np.testing.assert_allclose(ours, values, atol=TOLERANCE)


def test_a_folder_is_a_model(tmp_path) -> None:
    found = case("dense", "mean-normalized")
    model = Model(found.model, task="text-dense", dir=found.path)
    assert model.capabilities["outputs"] == ["dense"]
    vectors = list(model.embed(found.texts()))
    typed = TextEmbedding(found.model, specific_model_path=found.path)
    np.testing.assert_array_equal(vectors, list(typed.embed(found.texts())))
    with pytest.raises(ValueError, match="takes texts"):
        model.query(("a", "b"))
