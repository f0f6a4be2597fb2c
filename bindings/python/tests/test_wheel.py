"""The installed package: what is in it, and what it says about itself."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig

import embedkit
import pytest

# Such an interpreter has no stable interface before Python 3.15.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


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
    assert FREE_THREADED or "abi3" in native[0] or native[0].endswith(".pyd")
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert any(file.endswith("THIRD-PARTY.md") for file in files)


def test_the_tags_are_those_of_the_stable_interface() -> None:
    wheel = distribution().read_text("WHEEL") or ""
    tags = [line.partition(": ")[2] for line in wheel.splitlines() if line.startswith("Tag: ")]
    assert tags
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    expected = f"{version}-{version}t-" if FREE_THREADED else "cp310-abi3-"
    assert all(tag.startswith(expected) for tag in tags), tags


@pytest.mark.skipif(not FREE_THREADED, reason="the interpreter has its lock")
def test_importing_it_leaves_the_interpreter_free_threaded() -> None:
    program = "import sys, embedkit, embedkit._embedkit; print(sys._is_gil_enabled())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", done.stderr


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
