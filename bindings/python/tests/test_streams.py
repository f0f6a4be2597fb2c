"""Generators in and out: laziness, exceptions, interrupts, threads, forks, pickles, memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from conftest import case, words
from embedkit import SparseEmbedding, SparseTextEmbedding, TextEmbedding
from embedkit.errors import EmbedkitError, NotFoundError


def test_nothing_is_read_before_the_first_result_is_taken(dense) -> None:
    read = []
    texts = (read.append(text) or text for text in words(100))
    vectors = iter(dense.embed(texts))
    assert read == []
    next(vectors)
    vectors.close()
    assert 1 <= len(read) <= 100


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_generator_is_read_no_further_than_the_batch_size(dense, batch_size: int) -> None:
    read = []
    texts = (read.append(text) or text for text in words(50))
    for taken, _ in enumerate(dense.embed(texts, batch_size=batch_size)):
        assert len(read) <= taken + batch_size
    assert len(read) == 50


def test_an_exception_of_a_generator_comes_after_the_results_before_it(dense) -> None:
    class CutError(Exception):
        pass

    def texts():
        yield from words(40)
        raise CutError("no more")

    results: list[np.ndarray] = []
    with pytest.raises(CutError, match="no more"):
        results.extend(dense.embed(texts()))
    np.testing.assert_array_equal(results, list(dense.embed(words(40))))


def test_cheap_inputs_come_in_order_and_before_an_exception() -> None:
    class CutError(Exception):
        pass

    model = SparseTextEmbedding("Qdrant/bm25")
    texts = [f"boat{number} lies beside boat{number // 2}" for number in range(3000)]

    def cut():
        yield from texts
        raise CutError("no more")

    alone = [next(iter(model.embed(text))) for text in texts]
    results: list[SparseEmbedding] = []
    with pytest.raises(CutError, match="no more"):
        results.extend(model.embed(cut()))
    for found in (results, list(model.embed(texts))):
        for ours, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(ours.indices, expected.indices)
            np.testing.assert_array_equal(ours.values, expected.values)


def test_a_slow_caller_gets_each_result_once() -> None:
    read = []
    texts = (read.append(number) or f"boat{number}" for number in range(1000))
    results = SparseTextEmbedding("Qdrant/bm25").embed(texts, batch_size=16)
    found = set()
    for taken, terms in enumerate(results):
        if taken % 100 == 0:
            time.sleep(0.01)
        assert len(read) <= taken + 16
        found.add(int(terms.indices[0]))
    assert len(found) == 1000


def test_an_object_that_is_no_text_is_an_error_in_its_place(dense) -> None:
    results: list[np.ndarray] = []
    with pytest.raises(TypeError, match="input 20 is of type int, expected a str"):
        results.extend(dense.embed(iter([*words(20), 7])))
    assert len(results) == 20
    with pytest.raises(TypeError, match="expected a str"):
        list(dense.embed([b"bytes"]))


def test_sizes_that_fastembed_refuses_are_refused_in_its_words(dense) -> None:
    with pytest.raises(ValueError, match="batch_size must be >= 1, got 0"):
        next(iter(dense.embed(["a"], batch_size=0)))


def test_a_generator_may_use_the_model_itself(dense) -> None:
    def texts():
        for text in words(20):
            yield f"{text} {len(next(iter(dense.embed(text))))}"

    assert len(list(dense.embed(texts(), batch_size=4))) == 20


def test_matrices_have_the_rows_of_the_vectors(dense) -> None:
    texts = words(300)
    expected = np.stack(list(dense.embed(texts)))
    array = dense.embed_array(texts)
    assert (array.shape, array.dtype) == (expected.shape, np.float32)
    np.testing.assert_array_equal(array, expected)
    out = np.zeros_like(expected)
    assert dense.embed_into(iter(texts), out) == 300
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match="for row 2"):
        dense.embed_into(texts, out[:2])
    assert dense.embed_array([]).shape[0] == 0


def test_details_say_what_was_cut() -> None:
    found = case("dense", "limit-8")
    model = TextEmbedding(found.model, specific_model_path=found.path)
    results = list(model.embed_detailed(["a", "a b c d e f g h i j k l m n"]))
    assert [result.truncated for result in results] == [False, True]
    assert results[1].tokens == 8


def test_many_threads_get_their_own_results(dense) -> None:
    texts = words(200)
    expected = np.stack(list(dense.embed(texts)))
    failures = []

    def work(number: int) -> None:
        order = np.random.default_rng(number).permutation(len(texts))
        vectors = np.stack(list(dense.embed([texts[index] for index in order])))
        if not np.allclose(vectors, expected[order], atol=1e-6):
            failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_tasks_of_an_event_loop_get_their_own_results(dense) -> None:
    texts = words(60)
    expected = np.stack(list(dense.embed(texts)))

    async def one(part: list[str]) -> list[np.ndarray]:
        return [vector async for vector in dense.aembed(part, batch_size=7)]

    async def all_of_them() -> list[list[np.ndarray]]:
        return await asyncio.gather(*(one(texts[start : start + 20]) for start in (0, 20, 40)))

    results = asyncio.run(all_of_them())
    np.testing.assert_allclose(np.concatenate(results), expected, atol=1e-6)


def test_a_pickle_opens_the_same_model(dense) -> None:
    other = pickle.loads(pickle.dumps(dense))
    np.testing.assert_array_equal(next(iter(other.embed("a"))), next(iter(dense.embed("a"))))
    bm25 = pickle.loads(pickle.dumps(SparseTextEmbedding("Qdrant/bm25", language="german")))
    assert bm25.model.language == "german"


def _first(model: TextEmbedding, queue) -> None:
    queue.put(next(iter(model.embed("a"))))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_model_goes_on_in_another_process(dense, method: str) -> None:
    expected = np.stack(list(dense.embed(words(20))))[0]  # its threads run
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_first, args=(dense, queue))
    process.start()
    vector = queue.get(timeout=120)
    process.join(timeout=60)
    assert process.exitcode == 0
    np.testing.assert_allclose(vector, next(iter(dense.embed("a"))), atol=1e-6)
    assert expected.shape == vector.shape


INTERRUPTED = """
import itertools, signal, sys
from embedkit import TextEmbedding
# A parent in the background of a shell ignores the signal, and passes that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
model = TextEmbedding(sys.argv[1], specific_model_path=sys.argv[2])
text = "word " * 200
print("ready", flush=True)
try:
    model.embed_array(itertools.repeat(text))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_an_interrupt_ends_the_work() -> None:
    found = case("dense", "mean-normalized")
    command = [sys.executable, "-c", INTERRUPTED, found.model, found.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(timeout=60) == 0


def test_memory_does_not_grow_with_the_number_of_texts() -> None:
    resource = pytest.importorskip("resource")
    model = SparseTextEmbedding("Qdrant/bm25")

    def run(count: int) -> int:
        texts = (f"rusty boat {number % 1000}" for number in range(count))
        assert sum(1 for _ in model.embed(texts)) == count
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = run(10_000)
    after = run(100_000)
    unit = 1 if sys.platform == "darwin" else 1024
    assert (after - before) * unit < 32 << 20


def test_errors_are_those_of_python_and_ours() -> None:
    with pytest.raises(ValueError, match="is not supported in TextEmbedding") as caught:
        TextEmbedding("nothing")
    assert isinstance(caught.value, EmbedkitError)
    assert isinstance(caught.value, NotFoundError)
    with pytest.raises(EmbedkitError) as caught:
        TextEmbedding("BAAI/bge-small-en-v1.5", specific_model_path="/no/such/folder")
    assert caught.value.kind == "not_found"
    with pytest.raises(ValueError, match="Provider NoSuchProvider is not"):
        TextEmbedding("BAAI/bge-small-en-v1.5", providers=["NoSuchProvider"])


def test_unknown_options_are_ignored_with_one_warning() -> None:
    found = case("dense", "mean-normalized")

    def open_model() -> TextEmbedding:
        return TextEmbedding(found.model, specific_model_path=found.path, max_length=512)

    with pytest.warns(UserWarning, match="max_length"):
        open_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_model()
