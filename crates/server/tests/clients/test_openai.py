"""PyPI `openai`."""

import base64
import http.server
import threading

import openai
import pytest

from conftest import (
    ALIAS,
    CLIP,
    DENSE,
    KEY,
    PATIENCE,
    SPARSE,
    TEXTS,
    TINY,
    Hold,
    Server,
    close,
    models,
    until,
)


def client(server, key="any", **options):
    options.setdefault("max_retries", 0)
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, timeout=PATIENCE, **options)


def vectors(response):
    assert [item.index for item in response.data] == list(range(len(response.data)))
    return [item.embedding for item in response.data]


def test_vectors_are_those_of_the_library(server, library, expected):
    # The client asks for base64 unless it is told otherwise.
    response = client(server).embeddings.create(model=DENSE, input=TEXTS)
    close(vectors(response), library.dense(TEXTS))
    close(vectors(response)[:2], expected, 1e-5)
    assert response.model == DENSE
    assert response.usage.prompt_tokens == response.usage.total_tokens > len(TEXTS)
    as_numbers = client(server).embeddings.create(model=ALIAS, input=TEXTS, encoding_format="float")
    close(vectors(as_numbers), vectors(response))


def test_one_text_is_as_good_as_a_list(server, library):
    response = client(server).embeddings.create(model=DENSE, input=TEXTS[0])
    close(vectors(response), library.dense(TEXTS[:1]))


def test_dimensions_are_kept(server, library):
    response = client(server).embeddings.create(model=DENSE, input=TEXTS, dimensions=3)
    close(vectors(response), library.dense(TEXTS, dimensions=3))
    with pytest.raises(openai.BadRequestError, match="expected 1 to 8, got 9"):
        client(server).embeddings.create(model=DENSE, input="a", dimensions=9)


def test_models_are_listed(server):
    names = [model.id for model in client(server).models.list()]
    assert names[:2] == [DENSE, ALIAS]
    assert client(server).models.retrieve(ALIAS).id == ALIAS
    with pytest.raises(openai.NotFoundError):
        client(server).models.retrieve("nothing")


@pytest.mark.parametrize("model", [DENSE])
def test_a_client_without_blocking(server, library, model):
    import asyncio

    async def ask():
        many = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=PATIENCE)
        async with many:
            asked = [many.embeddings.create(model=model, input=text) for text in TEXTS * 4]
            return await asyncio.gather(*asked)

    found = [vectors(response)[0] for response in asyncio.run(ask())]
    close(found, library.dense(TEXTS) * 4)


def test_an_unknown_model_is_not_found_and_the_closest_is_named(server):
    with pytest.raises(openai.NotFoundError) as found:
        client(server).embeddings.create(model="text-embedding-3-smal", input="a")
    assert found.value.code == "model_not_found"
    assert ALIAS in found.value.message
    with pytest.raises(openai.BadRequestError, match="gives no dense vectors"):
        client(server).embeddings.create(model=SPARSE, input="a")


def test_nothing_to_embed_is_refused(server):
    with pytest.raises(openai.BadRequestError) as found:
        client(server).embeddings.create(model=DENSE, input=[])
    assert found.value.type == "invalid_request_error"
    assert found.value.param == "input"


def test_token_ids_are_refused_with_the_switch_of_the_client(server):
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        client(server).embeddings.create(model=DENSE, input=[[5, 6], [7]])


def test_a_key_is_asked_for(keyed, library):
    with pytest.raises(openai.AuthenticationError) as found:
        client(keyed, "my guess").embeddings.create(model=DENSE, input="a")
    assert found.value.code == "invalid_api_key"
    assert "my guess" not in found.value.response.text
    response = client(keyed, KEY).embeddings.create(model=DENSE, input=TEXTS)
    close(vectors(response), library.dense(TEXTS))


def test_a_full_server_is_tried_again_by_the_client(tight, library):
    held = Hold(tight, 600_000)
    large = "the fox " * 60_000
    with pytest.raises(openai.RateLimitError) as found:
        client(tight).embeddings.create(model=DENSE, input=large)
    assert found.value.code == "rate_limit_exceeded"
    assert int(found.value.response.headers["retry-after"]) >= 1
    # The client waits as long as it is told, and the request is answered once there is room.
    answers = []

    def ask():
        patient = client(tight, max_retries=20)
        answers.append(patient.embeddings.create(model=DENSE, input=[TEXTS[0], large]))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    until(lambda: tight.metric("te_request_failure") >= 2, "the client is refused")
    held.release()
    thread.join(PATIENCE)
    close(vectors(answers[0])[0], library.dense(TEXTS[:1])[0])


def test_images_are_data_uris(pictures, image):
    uri, vector = image
    response = client(pictures).embeddings.create(model=CLIP, input=[uri], extra_body={"modality": "image"})
    close(vectors(response), [vector], 1e-4)
    with pytest.raises(openai.BadRequestError, match="not fetched"):
        client(pictures).embeddings.create(
            model=CLIP,
            input=["http://127.0.0.1/a.png"],
            extra_body={"modality": "image"},
        )


def test_images_of_an_allowed_host_are_fetched(image):
    uri, vector = image
    data = base64.b64decode(uri.split(",")[1])

    class Images(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Images) as images:
        threading.Thread(target=images.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{images.server_port}"
        options = ["--model-dir", str(TINY / "image" / "clip"), "--allow-image-host", host]
        with Server([*models(CLIP), *options]) as running:
            asked = [f"http://{host}/a.png", uri]
            response = client(running).embeddings.create(
                model=CLIP, input=asked, extra_body={"modality": "image"}
            )
            close(vectors(response), [vector, vector], 1e-4)
            with pytest.raises(openai.BadRequestError, match=r"localhost:\d+ are not fetched"):
                client(running).embeddings.create(
                    model=CLIP,
                    input=[asked[0].replace("127.0.0.1", "localhost")],
                    extra_body={"modality": "image"},
                )
        images.shutdown()
