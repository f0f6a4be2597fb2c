"""PyPI `huggingface_hub`, whose client speaks to the address that it is given and to no path below."""

import asyncio
import math

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from conftest import KEY, LONG, PATIENCE, TEXTS, close


def client(server, key=None):
    return InferenceClient(server.url, token=key, timeout=PATIENCE)


def test_features_are_vectors_of_the_library(server, library, expected):
    close(client(server).feature_extraction(TEXTS), library.dense(TEXTS))
    close(client(server).feature_extraction(TEXTS[:2]), expected, 1e-5)
    close(client(server).feature_extraction(TEXTS[0]), library.dense(TEXTS[:1]))
    # The client sends `left` in lower case.
    everything = client(server).feature_extraction(
        TEXTS[0],
        normalize=True,
        prompt_name="query",
        truncate=True,
        truncation_direction="left",
        dimensions=4,
    )
    close(everything, library.dense(TEXTS[:1], role="query", dimensions=4))


def test_features_without_blocking(server, library):
    async def ask():
        many = AsyncInferenceClient(server.url, timeout=PATIENCE)
        return await asyncio.gather(*(many.feature_extraction(text) for text in TEXTS))

    close([one[0] for one in asyncio.run(ask())], library.dense(TEXTS))


def test_similarities_are_cosines(server, library):
    found = client(server).sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    first, *others = library.dense(TEXTS)
    # All are of unit length.
    close(found, [math.fsum(a * b for a, b in zip(first, one, strict=True)) for one in others])


def test_a_reranker_classifies_pairs(rerankers, library):
    [score] = library.scores("the fox", TEXTS[:1])
    # The client is typed for one text, and sends what it is given.
    found = client(rerankers).text_classification([["the fox", TEXTS[0]]])
    assert [item.label for item in found] == ["LABEL_0"]
    close(found[0].score, score)
    with pytest.raises(HfHubHTTPError) as error:
        client(rerankers).text_classification("the fox")
    assert error.value.response.status_code == 424
    assert error.value.response.json()["error_type"] == "Backend"


def test_a_long_text_is_an_error_where_it_may_not_be_cut(server, library):
    with pytest.raises(HfHubHTTPError) as error:
        client(server).feature_extraction(LONG, truncate=False)
    assert error.value.response.status_code == 422
    body = error.value.response.json()
    assert body["error_type"] == "Validation"
    assert "tokens, the model takes 12" in body["error"]
    close(client(server).feature_extraction(LONG), library.dense([LONG]))


def test_a_key_is_asked_for(keyed, library):
    with pytest.raises(HfHubHTTPError) as error:
        client(keyed, "hf_wrong").feature_extraction("a")
    assert error.value.response.status_code == 401
    close(client(keyed, KEY).feature_extraction(TEXTS), library.dense(TEXTS))
