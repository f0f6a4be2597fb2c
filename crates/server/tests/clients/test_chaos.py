"""Clients that vanish, idle connections, models that fail, and a server that is killed."""

import concurrent.futures
import contextlib
import http.client
import json
import random
import resource
import shutil
import socket
import threading
import time

import pytest

from conftest import DENSE, PATIENCE, SAVED, TEXTS, Hold, Server, close, models, until

REQUEST = "POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}"


def connect(server, timeout=PATIENCE):
    return socket.create_connection(("127.0.0.1", server.port), timeout=timeout)


def request(texts):
    body = json.dumps({"inputs": texts})
    return REQUEST.format(len(body), body).encode()


def at_rest(server):
    """True where nothing of earlier requests is left; the one that asks is in progress itself."""
    return (
        server.metric("te_queue_size") == 0
        and server.metric("embedkit_queue_tokens") == 0
        and server.metric("embedkit_bodies_bytes") == 0
        and server.metric("embedkit_requests_in_progress") == 1
    )


@pytest.fixture
def own():
    """A server of one test."""
    with Server(models(DENSE)) as running:
        yield running


def test_clients_that_vanish_leave_nothing_behind(own, library):
    many = [f"the fox {number}" for number in range(400)]

    def leave(part):
        # At every stage: in the head, in the body, and while the request runs.
        whole = request(many)
        for _ in range(300):
            with connect(own) as client:
                client.sendall(whole[: int(len(whole) * part)])

    parts = [0.001, 0.3, 1.0]
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        left = [pool.submit(leave, part) for part in parts]
        for _ in range(20):
            close(own.post("/embed", {"inputs": TEXTS}).json(), library.dense(TEXTS))
        for one in left:
            one.result()
    until(lambda: at_rest(own), "the server is at rest")
    close(own.post("/embed", {"inputs": TEXTS}).json(), library.dense(TEXTS))


def test_idle_connections_keep_nobody_out(own, library):
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = wanted + 500
    if hard == resource.RLIM_INFINITY or hard >= room:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, room), hard))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        wanted = max(100, hard - 500)
        print(f"{wanted} connections in place of 10000: the system allows {hard} open files")
    idle = []
    try:
        for _ in range(wanted):
            idle.append(connect(own))
        until(lambda: own.metric("embedkit_connections") > wanted, "connections are accepted")
        close(own.post("/embed", {"inputs": TEXTS}).json(), library.dense(TEXTS))
        # One that was idle until now is as good as any.
        client = idle[wanted // 2]
        client.sendall(request(TEXTS))
        reply = http.client.HTTPResponse(client)
        reply.begin()
        close(json.load(reply), library.dense(TEXTS))
    finally:
        for client in idle:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_senders_keep_nobody_out(own, library):
    held = [Hold(own, 20 + number) for number in range(1)]
    slow = []
    for part in (1, 30, 90):
        for _ in range(100):
            client = connect(own)
            client.sendall(request(TEXTS)[:part])
            slow.append(client)
    close(own.post("/embed", {"inputs": TEXTS}).json(), library.dense(TEXTS))
    # A body without a byte for some seconds is given up with an answer.
    reply = http.client.HTTPResponse(held[0].socket)
    reply.begin()
    assert reply.status == 408
    for client in slow:
        client.close()
    until(lambda: at_rest(own), "the server is at rest")


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(SAVED / "mean-normalize", broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RuntimeError, match="cannot be served") as found, Server(models(str(broken))):
        pass
    assert "panicked" not in str(found.value)


def test_a_model_that_cannot_be_loaded_harms_no_other(tmp_path, library):
    broken = tmp_path / "broken"
    shutil.copytree(SAVED / "mean-normalize", broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with Server([*models(DENSE, str(broken)), "--lazy"]) as running:
        for _ in range(2):
            reply = running.post("/v1/embeddings", {"model": str(broken), "input": "a"})
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) >= 1
            assert "could not be loaded" in reply.json()["error"]["message"]
        close(running.post("/embed", {"inputs": TEXTS}).json(), library.dense(TEXTS))
        # It is none of those that are loaded at the start.
        assert running.get("/ready").status == running.get("/health").status == 200


def free_port():
    """A port that systems give to no client, which would meet itself while nobody listens."""
    for port in random.sample(range(15_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there is no free port")


def test_a_server_that_is_killed_and_comes_back_answers_everything_once(library):
    listen = ["--listen", f"127.0.0.1:{free_port()}"]
    texts = [f"the fox {number}" for number in range(8)]
    wanted = library.dense(texts)
    clients, rounds = 6, 60
    over = threading.Event()
    counts = {"answers": 0, "broken": 0}
    lock = threading.Lock()
    server = Server([*models(DENSE), *listen])

    def ask(number):
        """Asks one by one until each has its answer; a broken connection is the only failure."""
        index = number % len(texts)
        done = 0
        connection = None
        end = time.monotonic() + 2 * PATIENCE
        while done < rounds or connection is None or not over.is_set():
            assert time.monotonic() < end
            try:
                if connection is None:
                    connection = connect(server)
                connection.sendall(request([texts[index]]))
                reply = http.client.HTTPResponse(connection)
                reply.begin()
                body = reply.read()
            except (OSError, http.client.HTTPException):
                with lock:
                    counts["broken"] += 1
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.02)
                continue
            # A whole answer is a right one.
            assert reply.status == 200, body
            close(json.loads(body), [wanted[index]])
            done += 1
            with lock:
                counts["answers"] += 1
        # Nothing comes after the last answer.
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.close()

    with server:
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            asked = [pool.submit(ask, number) for number in range(clients)]
            for goal in (60, 180):
                until(
                    lambda: counts["answers"] >= goal or any(one.done() for one in asked),  # noqa: B023
                    "requests are answered",
                )
                # Each client has a connection or asks for one.
                server.kill()
                server.__enter__()
            over.set()
            for one in asked:
                one.result()
        assert counts["answers"] >= clients * rounds
        assert counts["broken"] > 0
