"""A running `embedkit serve`, and the library's own results to compare with."""

from __future__ import annotations

import base64
import faulthandler
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[4]
# Models that sentence-transformers saved, each with its own results.
SAVED = PROJECT / "crates" / "describe" / "tests" / "data"
TINY = PROJECT / "crates" / "testkit" / "data"

DENSE = "./mean-normalize"
SPARSE = "./splade"
LATE = "./late"
RERANKER = "./reranker"
BM25 = "Qdrant/bm25"
CLIP = "Qdrant/clip-ViT-B-32-vision"
# A name that clients of OpenAI insist on.
ALIAS = "text-embedding-3-small"

TEXTS = [
    "the quick brown fox jumps over the lazy dog.",
    "cats sleep",
    "Fox, Dog! unknowable",
    "the tree",
]
# The dense model takes 12 tokens.
LONG = "the fox runs under the tree, the dog sleeps under the house, the cat jumps over the tree."
KEY = "a secret of the tests"
# Far more than anything here takes; a test fails by its answer and not by its time.
PATIENCE = 120.0

# Clients that report how they are used, look for updates or read settings of the user's.
os.environ.update(
    HF_HUB_DISABLE_TELEMETRY="1",
    LANGCHAIN_TRACING_V2="false",
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
)
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN", "CO_API_KEY", "OLLAMA_HOST"):
    os.environ.pop(name, None)


# Servers that run, for the case that the tests themselves do not end.
RUNNING: list[subprocess.Popen] = []
LIMIT = float(os.environ.get("EMBEDKIT_CLIENTS_LIMIT", "900"))


def pytest_configure(config) -> None:
    """Ends tests that hang: far beyond the time that they take on a slow machine."""

    def give_up() -> None:
        for process in RUNNING:
            process.kill()
        faulthandler.dump_traceback(sys.__stderr__)
        os._exit(3)

    timer = threading.Timer(LIMIT, give_up)
    timer.daemon = True
    timer.start()


def program() -> str:
    """Path of the built program."""
    path = os.environ.get("EMBEDKIT_PROGRAM")
    if not path:
        pytest.exit("EMBEDKIT_PROGRAM names no program; run `cargo xtask serve`", 2)
    return path


def options() -> list[str]:
    """Options of every command: nothing is fetched, and graphs are converted once."""
    found = ["--offline", "--threads", "1"]
    if os.environ.get("EMBEDKIT_CLIENTS_CACHE"):
        found += ["--cache-dir", os.environ["EMBEDKIT_CLIENTS_CACHE"]]
    return found


def environment(**more: str) -> dict[str, str]:
    """The environment without settings of the user's own."""
    kept = {name: value for name, value in os.environ.items() if name != "EMBEDKIT_API_KEY"}
    return kept | more


def command(*arguments: str, stdin: str | None = None) -> list[dict]:
    """Lines that the program writes."""
    done = subprocess.run(
        [program(), *arguments, *options()],
        cwd=SAVED,
        env=environment(),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass
class Answer:
    """An answer without a client in between."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self):
        """The body."""
        return json.loads(self.text)


@dataclass
class Server:
    """A server of its own port, which is killed at the end."""

    arguments: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    cwd: Path = SAVED
    url: str = ""
    log: list[str] = field(default_factory=list)

    def __enter__(self) -> Server:
        """Starts, and waits until models are loaded."""
        listen = [] if "--listen" in self.arguments else ["--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [program(), "serve", *listen, *self.arguments, *options()],
            cwd=self.cwd,
            env=environment(**self.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        RUNNING.append(self.process)
        started = threading.Event()

        def read() -> None:
            for line in self.process.stderr:
                self.log.append(line)
                found = re.search(r"serving at (https?://[^\s\"]+)", line)
                if found:
                    self.url = found.group(1)
                    started.set()
            started.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        if not started.wait(PATIENCE) or not self.url:
            self.__exit__()
            raise RuntimeError("the server did not start:\n" + "".join(self.log))
        return self

    def __exit__(self, *_) -> None:
        """Ends it, also where it does not want to."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        if self.process in RUNNING:
            RUNNING.remove(self.process)

    def kill(self) -> None:
        """Ends it at once, as a machine does that fails."""
        self.process.kill()
        self.__exit__()

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rsplit(":", 1)[1])

    def get(self, path: str, **headers: str) -> Answer:
        """A request without a body."""
        return self.send(urllib.request.Request(self.url + path, headers=headers))

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """A request of JSON."""
        data = json.dumps(body).encode()
        headers = {"content-type": "application/json"} | headers
        return self.send(urllib.request.Request(self.url + path, data, headers))

    def send(self, request: urllib.request.Request) -> Answer:
        """Any request; errors are answers."""
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return answer(response)
        except urllib.error.HTTPError as error:
            with error:
                return answer(error)

    def metric(self, name: str) -> float:
        """Sum of a measurement over its labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            if re.match(re.escape(name) + r"[ {]", line):
                total += float(line.rsplit(" ", 1)[1])
        return total


def answer(response) -> Answer:
    """The answer of a response."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, response.read().decode())


def until(condition, what: str) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.02)


def models(*names: str) -> list[str]:
    """Options that serve these."""
    return [part for name in names for part in ("--model", name)]


@pytest.fixture(scope="session")
def server():
    """A server of all kinds of models for texts, the dense one first."""
    served = models(DENSE, SPARSE, LATE, RERANKER, BM25)
    with Server([*served, "--alias", f"{ALIAS}={DENSE}"]) as running:
        yield running


@pytest.fixture(scope="session")
def keyed():
    """A server that asks for a key, of which it has two."""
    with Server(models(DENSE), {"EMBEDKIT_API_KEY": f"another,{KEY}"}) as running:
        yield running


@pytest.fixture(scope="session")
def rerankers():
    """A server whose first model is a reranker."""
    with Server(models(RERANKER)) as running:
        yield running


@pytest.fixture
def tight():
    """A server with room for one megabyte of requests in progress."""
    with Server([*models(DENSE), "--max-bodies", "1"]) as running:
        yield running


@pytest.fixture(scope="session")
def pictures():
    """A server of a model of images."""
    folder = TINY / "image" / "clip"
    with Server([*models(CLIP), "--model-dir", str(folder)]) as running:
        yield running


@dataclass
class Library:
    """Results of the library for the same models, by the program's own commands."""

    known: dict = field(default_factory=dict)

    def embed(self, model: str, texts: list[str], role: str = "raw", dimensions: int | None = None):
        """Lines of `embedkit embed`."""
        key = (model, *texts, role, dimensions)
        if key not in self.known:
            more = ["--dimensions", str(dimensions)] if dimensions else []
            self.known[key] = command_of(["embed", "--model", model, "--as", role, *more], texts)
        return self.known[key]

    def dense(self, texts: list[str], **choices):
        """Vectors of the dense model."""
        return [line["embedding"] for line in self.embed(DENSE, texts, **choices)]

    def scores(self, query: str, texts: list[str]) -> list[float]:
        """Scores of the reranker, mapped to 0..1."""
        key = ("rerank", query, *texts)
        if key not in self.known:
            arguments = ["rerank", "--model", RERANKER, "--sigmoid", "--query", query]
            self.known[key] = command_of(arguments, texts)
        return [line["score"] for line in self.known[key]]


def command_of(arguments: list[str], texts: list[str]) -> list[dict]:
    """Lines for texts that are given as lines of JSON, which no shell or option can change."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    return command(*arguments, "--input", "-", "--input-format", "jsonl", stdin=lines)


@pytest.fixture(scope="session")
def library() -> Library:
    """The library."""
    return Library()


@pytest.fixture(scope="session")
def expected() -> list[list[float]]:
    """Vectors of sentence-transformers for its own texts, the first two of `TEXTS` among them."""
    golden = json.loads((SAVED / "mean-normalize" / "expected.json").read_text())
    at = dict(zip(golden["texts"], golden["raw"], strict=True))
    return [at[text] for text in TEXTS[:2]]


@pytest.fixture(scope="session")
def image() -> tuple[str, list[float]]:
    """A picture as a data URI, and FastEmbed's vector for it."""
    golden = json.loads((TINY / "image" / "clip" / "golden.json").read_text())
    name = golden["pictures"][0]
    data = (TINY / "image" / "pictures" / name).read_bytes()
    return "data:image/png;base64," + base64.b64encode(data).decode(), golden["embed"][0]


def close(found, wanted, tolerance: float = 1e-6) -> None:
    """Compares numbers in lists of any depth."""
    found = found.tolist() if hasattr(found, "tolist") else found
    if isinstance(wanted, list):
        found = list(found)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            close(one, other, tolerance)
    else:
        assert abs(found - wanted) <= tolerance * max(1.0, abs(wanted)), (found, wanted)


class Hold:
    """A request whose body does not end, and so takes room."""

    def __init__(self, server: Server, size: int) -> None:
        """Sends all of it but the last bytes."""
        import socket

        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        head = (
            "POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"content-length: {size + 10}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + b'{"inputs":"' + b"x" * (size - 11))
        until(lambda: server.metric("embedkit_bodies_bytes") >= size, "the body arrives")

    def release(self) -> None:
        """Leaves."""
        self.socket.close()
