"""The page of the server in Chromium, by the protocol of its developer tools."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading

import pytest
from websockets.sync.client import connect

from conftest import DENSE, KEY, LATE, PATIENCE, RERANKER, SPARSE, TEXTS, until

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Page:
    """A tab, and the complaints of its page."""

    def __init__(self, socket):
        self.socket = socket
        self.count = 0
        self.complaints = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    session = None

    def send(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            got = json.loads(self.socket.recv(timeout=PATIENCE))
            if got.get("id") == self.count:
                assert "error" not in got, got
                return got["result"]
            self.note(got)

    def note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.complaints.append(params["args"])
        elif method == "Log.entryAdded":
            entry = params["entry"]
            # A page has no icon, which browsers ask for.
            if entry["level"] == "error" and not entry.get("url", "").endswith("/favicon.ico"):
                self.complaints.append(entry)

    def evaluate(self, script):
        got = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def text(self, name):
        return self.evaluate(f"document.getElementById({name!r}).textContent")

    def open(self, url):
        self.send("Page.navigate", url=url)
        until(lambda: self.evaluate("document.readyState") == "complete", "the page is there")

    def submit(self, form, **values):
        """Fills in and sends a form as a person does."""
        for name, value in values.items():
            name = name.replace("_", "-")
            self.evaluate(f"document.getElementById({name!r}).value = {json.dumps(value)}")
        self.evaluate(f"document.querySelector('#{form} button').click()")
        result = f"{form}-result"
        until(lambda: re.search(r" ms$|^(?!…).*[a-z]", self.text(result)), "the form is answered")
        return self.text(result)


@pytest.fixture(scope="module")
def page():
    found = [path for path in map(shutil.which, NAMES) if path]
    if not found:
        pytest.skip("there is no Chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = subprocess.Popen(
            [
                found[0],
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                "--no-proxy-server",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                "about:blank",
            ],
            env=os.environ | {"HOME": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said, address = [], []

            def read():
                for line in browser.stderr:
                    said.append(line)
                    if match := re.search(r"DevTools listening on (ws://\S+)", line):
                        address.append(match.group(1))

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            until(lambda: address or browser.poll() is not None, "Chromium starts")
            if not address:
                pytest.skip("Chromium does not start here: " + "".join(said[-3:]))
            with connect(address[0], max_size=None, proxy=None) as socket:
                yield Page(socket)
                with contextlib.suppress(Exception):
                    socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
        finally:
            browser.terminate()
            try:
                browser.wait(20)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait(PATIENCE)


def test_the_page_shows_the_models(page, server):
    page.complaints.clear()
    page.open(server.url)
    until(lambda: page.text("models"), "models are listed")
    rows = page.evaluate("[...document.querySelectorAll('#models tr')].map((row) => row.innerText)")
    assert len(rows) == 5
    assert DENSE in rows[0]
    assert "loaded" in rows[0]
    assert page.text("state") == ""
    assert page.complaints == []


def test_a_model_is_tried(page, server, library):
    page.open(server.url)
    until(lambda: page.text("models"), "models are listed")
    said = page.submit("try", try_model=DENSE, try_text=TEXTS[0])
    [line] = library.embed(DENSE, TEXTS[:1], role="document")
    first = ", ".join(f"{number:.4f}" for number in line["embedding"][:8])
    assert f"one vector of {len(line['embedding'])} numbers\n[{first}]" in said
    assert "weighted terms" in page.submit("try", try_model=SPARSE, try_text=TEXTS[0])
    assert " vectors\n" in page.submit("try", try_model=LATE, try_text=TEXTS[0])
    assert page.complaints == []


def test_two_texts_are_compared(page, server, library):
    page.open(server.url)
    until(lambda: page.text("models"), "models are listed")
    said = page.submit("compare", compare_model=RERANKER, first="the fox", second=TEXTS[0])
    [score] = library.scores("the fox", TEXTS[:1])
    assert f"score {score:.6f}" in said
    same = page.submit("compare", compare_model=DENSE, first=TEXTS[0], second=TEXTS[0])
    assert "score 1.000000" in same
    assert page.complaints == []


def test_a_text_is_shown_as_text(page, server):
    page.open(server.url)
    until(lambda: page.text("models"), "models are listed")
    page.submit("try", try_model=DENSE, try_text="<img src=x onerror=alert(1)>")
    assert page.evaluate("document.images.length") == 0
    assert page.complaints == []


def test_the_page_asks_for_a_key(page, keyed):
    page.open(keyed.url)
    until(lambda: page.text("state"), "the page says that a key is missing")
    assert page.evaluate("document.getElementById('access').open")
    page.evaluate(f"key.value = {json.dumps(KEY)}; key.dispatchEvent(new Event('change'))")
    until(lambda: page.text("models"), "models are listed")
    assert "one vector of 8 numbers" in page.submit("try", try_text="a")
