"""The installed package: what is in it, and what it says about itself."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import embedkit
import pytest


def distribution() -> importlib.metadata.Distribution:
    found = importlib.metadata.distribution("embedkit")
    if found.files is None or not any(str(file).endswith("WHEEL") for file in found.files):
        pytest.skip("embedkit is not installed from a wheel")
    return found


def test_the_wheel_has_the_package_and_nothing_else() -> None:
    files = [str(file) for file in distribution().files or () if "__pycache__" not in str(file)]
    inside = [file for file in files if not file.startswith("embedkit/")]
    assert all(file.startswith("embedkit-") for file in inside), inside
    ends = (".py", ".pyi", "py.typed", ".so", ".pyd")
    strange = [file for file in files if file.startswith("embedkit/") and not file.endswith(ends)]
    assert strange == []
    native = [file for file in files if file.endswith((".so", ".pyd"))]
    assert len(native) == 1
    assert "abi3" in native[0] or native[0].endswith(".pyd")
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert any(file.endswith("THIRD-PARTY.md") for file in files)


def test_the_tags_are_those_of_the_stable_interface() -> None:
    wheel = distribution().read_text("WHEEL") or ""
    tags = [line.partition(": ")[2] for line in wheel.splitlines() if line.startswith("Tag: ")]
    assert tags
    assert all(tag.startswith("cp310-abi3-") for tag in tags), tags


def test_the_metadata_names_what_is_needed() -> None:
    metadata = distribution().metadata
    assert metadata["Version"] == embedkit.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = {line.split(";")[0] for line in metadata.get_all("Requires-Dist") or ()}
    assert {name.split(">")[0] for name in needed} == {"numpy", "onnxruntime", "pillow", "tqdm"}


def test_importing_it_loads_no_runtime() -> None:
    program = """
import sys
import embedkit
print(sorted({"onnxruntime", "PIL", "tqdm"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
