"""PyPI `cohere`."""

import cohere
import pytest
from cohere.core.api_error import ApiError

from conftest import CLIP, DENSE, KEY, LONG, PATIENCE, RERANKER, TEXTS, close


def version_2(server, key="any"):
    return cohere.ClientV2(key, base_url=server.url, timeout=PATIENCE)


def version_1(server, key="any"):
    return cohere.Client(key, base_url=server.url, timeout=PATIENCE)


def ranked(scores):
    return sorted(range(len(scores)), key=lambda at: -scores[at])


def test_ranks_are_those_of_the_library(server, library):
    scores = library.scores("the fox", TEXTS)
    for client in (version_1(server), version_2(server)):
        found = client.rerank(model=RERANKER, query="the fox", documents=TEXTS)
        assert [item.index for item in found.results] == ranked(scores)
        close([item.relevance_score for item in found.results], sorted(scores, reverse=True))
        assert found.id
        found = client.rerank(model=RERANKER, query="the fox", documents=TEXTS, top_n=2)
        assert [item.index for item in found.results] == ranked(scores)[:2]


def test_documents_come_back(server):
    found = version_1(server).rerank(
        model=RERANKER, query="the fox", documents=[{"text": TEXTS[0]}], return_documents=True
    )
    assert found.results[0].document.text == TEXTS[0]


def test_embeddings_are_those_of_the_library(server, library):
    found = version_2(server).embed(
        model=DENSE, texts=TEXTS, input_type="search_document", embedding_types=["float"]
    )
    close(found.embeddings.float_, library.dense(TEXTS, role="document"))
    assert found.texts == TEXTS
    found = version_1(server).embed(model=DENSE, texts=TEXTS, input_type="search_query")
    close(found.embeddings, library.dense(TEXTS, role="query"))
    found = version_2(server).embed(
        model=DENSE,
        inputs=[{"content": [{"type": "text", "text": TEXTS[0]}]}],
        input_type="classification",
        embedding_types=["float"],
        output_dimension=4,
    )
    close(found.embeddings.float_, library.dense(TEXTS[:1], dimensions=4))


def test_images_are_data_uris(pictures, image):
    uri, vector = image
    found = version_2(pictures).embed(model=CLIP, images=[uri], input_type="image", embedding_types=["float"])
    close(found.embeddings.float_, [vector], 1e-4)


def test_a_long_text_is_an_error_where_it_may_not_be_cut(server, library):
    def embed(truncate):
        return version_2(server).embed(
            model=DENSE,
            texts=[LONG],
            input_type="search_query",
            embedding_types=["float"],
            truncate=truncate,
        )

    with pytest.raises(cohere.BadRequestError, match="tokens, the model takes 12"):
        embed("NONE")
    close(embed("END").embeddings.float_, library.dense([LONG]))
    # The last ten tokens, between the two that stand around every text.
    [tokens] = server.post("/tokenize", {"inputs": LONG}).json()
    end = LONG[[token["start"] for token in tokens if not token["special"]][-10] :]
    close(embed("START").embeddings.float_, library.dense([end]))


def test_failures_have_their_classes(server, keyed):
    with pytest.raises(cohere.NotFoundError) as found:
        version_2(server).rerank(model="./rerankr", query="a", documents=["b"])
    assert RERANKER in found.value.body["message"]
    with pytest.raises(cohere.UnauthorizedError) as found:
        version_2(keyed, "wrong").embed(model=DENSE, texts=["a"], input_type="search_query")
    assert "the key is missing or wrong" in found.value.body["message"]
    with pytest.raises(cohere.BadRequestError):
        version_2(server).rerank(model=DENSE, query="a", documents=["b"])
    found = version_2(keyed, KEY).embed(
        model=DENSE, texts=["a"], input_type="search_query", embedding_types=["float"]
    )
    assert len(found.embeddings.float_) == 1


def test_a_full_server_refuses(tight):
    from conftest import Hold

    held = Hold(tight, 600_000)
    try:
        with pytest.raises(ApiError) as found:
            version_2(tight).embed(
                model=DENSE,
                texts=["the fox " * 60_000],
                input_type="search_query",
                embedding_types=["float"],
                request_options={"max_retries": 0},
            )
        assert found.value.status_code == 429
    finally:
        held.release()
