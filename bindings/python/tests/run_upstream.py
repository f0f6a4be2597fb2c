"""Runs FastEmbed's own tests on embedkit, in place of FastEmbed.

    python tests/run_upstream.py FOLDER

FOLDER is a checkout of FastEmbed's repository, beside the project: nothing of it is copied. Tiny models stand
in for those that the tests name, so that no network is needed; tests that compare with values of real weights
fail on both sides. FastEmbed runs first where it is installed: each test that it passes has to pass here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from stand_ins import StandIns, open_stand_ins


class Plugin:
    """Opens stand-ins, keeps their files, and remembers how each test ended."""

    def __init__(self, stand_ins: StandIns, original: bool) -> None:
        self.stand_ins = stand_ins
        self.original = original
        self.outcomes: dict[str, str] = {}

    def pytest_configure(self) -> None:
        if self.original:
            self._patch_fastembed()
        else:
            self._patch_embedkit()
        import tests.utils

        tests.utils.delete_model_cache = lambda model_dir: None

    def _patch_fastembed(self) -> None:
        from fastembed.common.model_management import ModelManagement

        stand_ins = self.stand_ins

        def download_model(cls: Any, model: Any, cache_dir: str, **options: Any) -> Path:
            given = options.get("specific_model_path")
            return Path(given) if given else stand_ins.folder(model.model, model.model_file)

        ModelManagement.download_model = classmethod(download_model)  # type: ignore[assignment]

    def _patch_embedkit(self) -> None:
        import embedkit.compat

        embedkit.compat.install()
        open_stand_ins(self.stand_ins.root)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome


def run(upstream: Path, original: bool, report: Path) -> None:
    """Run the tests in this process."""
    os.environ.update({"CI": "1", "HF_HUB_OFFLINE": "1"})
    os.chdir(upstream)
    sys.path.insert(0, str(upstream))
    with tempfile.TemporaryDirectory() as root:
        plugin = Plugin(StandIns(Path(root)), original)
        arguments = ["tests", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=short"]
        arguments.append("--ignore=tests/test_multi_gpu.py")
        pytest.main(arguments, plugins=[plugin])
    report.write_text(json.dumps(plugin.outcomes), "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", type=Path)
    parser.add_argument("--side", choices=["fastembed", "embedkit"], help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run(arguments.upstream.resolve(), arguments.side == "fastembed", arguments.report)
        return 0
    outcomes: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("fastembed", "embedkit"):
            report = Path(folder) / side
            command = [sys.executable, __file__, str(arguments.upstream), "--side", side]
            subprocess.run([*command, "--report", str(report)], check=False)
            if report.exists():
                outcomes[side] = json.loads(report.read_text("utf-8"))
    ours, theirs = outcomes.get("embedkit", {}), outcomes.get("fastembed")
    for side, found in outcomes.items():
        counts = {kind: list(found.values()).count(kind) for kind in ("passed", "failed", "skipped")}
        print(f"{side}: {counts}")
    if theirs is None:
        print("FastEmbed is not installed: there is nothing to compare with")
        return 0 if ours else 1
    lost = [test for test, kind in theirs.items() if kind == "passed" and ours.get(test) != "passed"]
    for test in lost:
        print(f"passes with FastEmbed only: {test}: {ours.get(test)}")
    return 1 if lost or not ours else 0


if __name__ == "__main__":
    sys.exit(main())
