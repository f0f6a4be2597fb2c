"""Requests that schemathesis makes of the server's own description."""

import os
import re
import subprocess
import sys

from conftest import BM25, DENSE, LATE, PATIENCE, RERANKER, SPARSE, Server, models

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
]


def test_answers_are_those_of_the_description(tmp_path):
    # A server of its own: requests load and unload models.
    with Server(models(DENSE, SPARSE, LATE, RERANKER, BM25)) as running:
        # Its own folder has settings of the run, and files that it leaves.
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                f"{running.url}/openapi.json",
                f"--checks={','.join(CHECKS)}",
                "--phases=examples,coverage,fuzzing",
                "--max-examples=25",
                "--seed=1",
                "--generation-database=none",
                "--continue-on-failure",
                "--suppress-health-check=all",
                "--request-timeout=60",
                "--warnings=off",
                "--no-color",
            ],
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        print(done.stdout[-6000:])
        assert running.get("/health").status == 200
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Operations:.*?(\d+) selected", done.stdout)
    assert tested, done.stdout
    assert int(tested.group(1)) > 30
