"""Clients for JavaScript, which Node.js runs (`clients.test.js`)."""

import json
import math
import os
import shutil
import subprocess

import pytest

from conftest import DENSE, KEY, LONG, PATIENCE, RERANKER, TEXTS


def test_clients_of_javascript(server, keyed, library, tmp_path):
    folder = os.environ.get("EMBEDKIT_NODE")
    if not folder or shutil.which("node") is None:
        pytest.skip(os.environ.get("EMBEDKIT_NODE_MISSING", "there is no Node.js with npm"))
    dense = library.dense(TEXTS)
    cosine = [math.fsum(a * b for a, b in zip(dense[0], one, strict=True)) for one in dense[1:]]
    given = tmp_path / "given.json"
    given.write_text(
        json.dumps(
            {
                "url": server.url,
                "keyed": keyed.url,
                "key": KEY,
                "model": DENSE,
                "reranker": RERANKER,
                "texts": TEXTS,
                "long": LONG,
                "dense": dense,
                "similarities": cosine,
                "scores": library.scores("the fox", TEXTS),
            }
        )
    )
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "clients.test.js"],
        cwd=folder,
        env=os.environ | {"EMBEDKIT_GIVEN": str(given)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 4" in done.stdout, done.stdout
