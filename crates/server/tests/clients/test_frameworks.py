"""LlamaIndex, LangChain and Ollama's client."""

import asyncio

import ollama
import openai
import pytest
import tiktoken
from huggingface_hub import AsyncInferenceClient, InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from conftest import ALIAS, DENSE, KEY, LONG, PATIENCE, SPARSE, TEXTS, close


def test_llama_index(server, library):
    model = TextEmbeddingsInference(model_name="any", base_url=server.url, timeout=PATIENCE)
    close(model.get_text_embedding_batch(TEXTS), library.dense(TEXTS))
    close(model.get_text_embedding(TEXTS[0]), library.dense(TEXTS)[0])
    close(model.get_query_embedding(TEXTS[1]), library.dense(TEXTS)[1])
    close(asyncio.run(model.aget_text_embedding_batch(TEXTS)), library.dense(TEXTS))
    # More texts than its usual batch of ten, and a batch that the server has to split by itself.
    many = [f"the fox {number}" for number in range(600)]
    model = TextEmbeddingsInference(
        model_name="any", base_url=server.url, timeout=PATIENCE, embed_batch_size=600
    )
    found = model.get_text_embedding_batch(many)
    assert len(found) == len(many)
    close(found[:3] + found[-3:], library.dense(many[:3] + many[-3:]))


def test_llama_index_with_a_key(keyed, library):
    model = TextEmbeddingsInference(model_name="any", base_url=keyed.url, auth_token=KEY, timeout=PATIENCE)
    close(model.get_text_embedding(TEXTS[0]), library.dense(TEXTS)[0])


def test_langchain_of_hugging_face(server, library):
    # It takes names of the hub alone, and its clients can be replaced.
    model = HuggingFaceEndpointEmbeddings(model="any/name")
    model.client = InferenceClient(server.url, timeout=PATIENCE)
    model.async_client = AsyncInferenceClient(server.url, timeout=PATIENCE)
    close(model.embed_documents(TEXTS), library.dense(TEXTS))
    close(model.embed_query(TEXTS[1]), library.dense(TEXTS)[1])
    close(asyncio.run(model.aembed_documents(TEXTS)), library.dense(TEXTS))


def langchain(server, **options):
    return OpenAIEmbeddings(model=ALIAS, base_url=f"{server.url}/v1", api_key="any", max_retries=0, **options)


def test_langchain_of_openai_that_sends_texts(server, library):
    model = langchain(server, check_embedding_ctx_length=False)
    close(model.embed_documents(TEXTS), library.dense(TEXTS))
    close(model.embed_query(TEXTS[0]), library.dense(TEXTS)[0])
    close(asyncio.run(model.aembed_documents(TEXTS)), library.dense(TEXTS))


def test_langchain_of_openai_that_sends_foreign_ids_is_told_what_to_change(server, monkeypatch):
    # Its vocabularies are fetched from the network; one of bytes sends ids just as well.
    ranks = {bytes([byte]): byte for byte in range(256)}
    bytes_alone = tiktoken.Encoding("bytes", pat_str=".", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: bytes_alone)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: bytes_alone)
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        langchain(server).embed_documents(["a dog"])


def test_ollama(server, library):
    client = ollama.Client(host=server.url, timeout=PATIENCE)
    found = client.embed(model=DENSE, input=TEXTS)
    close([list(one) for one in found.embeddings], library.dense(TEXTS))
    assert found.model == DENSE
    assert found.prompt_eval_count > len(TEXTS)
    assert found.total_duration > 0
    found = client.embed(model=DENSE, input=TEXTS[0], dimensions=4, keep_alive="5m")
    close(list(found.embeddings[0]), library.dense(TEXTS[:1], dimensions=4)[0])
    close(list(client.embeddings(model=DENSE, prompt=TEXTS[0]).embedding), library.dense(TEXTS)[0])
    assert DENSE in [model.model for model in client.list().models]
    assert DENSE in [model.model for model in client.ps().models]


def test_failures_of_ollama(server, keyed):
    client = ollama.Client(host=server.url, timeout=PATIENCE)
    with pytest.raises(ollama.ResponseError) as found:
        client.embed(model="nothing", input="a")
    assert found.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as found:
        client.embed(model=DENSE, input=LONG, truncate=False)
    assert found.value.status_code == 400
    assert "tokens, the model takes 12" in found.value.error
    with pytest.raises(ollama.ResponseError) as found:
        client.embed(model=SPARSE, input="a")
    assert found.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as found:
        ollama.Client(host=keyed.url, timeout=PATIENCE).embed(model=DENSE, input="a")
    assert found.value.status_code == 401
