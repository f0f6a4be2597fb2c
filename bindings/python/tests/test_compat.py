"""FastEmbed's module tree under its own name, in processes of its own."""

from __future__ import annotations

import subprocess
import sys

PREFIX = "import embedkit.compat\nembedkit.compat.install()\n"


def run(program: str, prefix: str = PREFIX) -> str:
    command = [sys.executable, "-c", prefix + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names_of_fastembed_are_those_of_embedkit() -> None:
    program = """
import importlib.metadata
import fastembed
from fastembed import ImageEmbedding, SparseEmbedding, SparseTextEmbedding, TextEmbedding
from fastembed.common import ImageInput, OnnxProvider
from fastembed.rerank.cross_encoder import TextCrossEncoder
from fastembed.postprocess import Muvera
from fastembed.sparse.bm25 import Bm25
assert importlib.metadata.version("fastembed") == fastembed.__version__ == "0.9.1"
assert TextEmbedding.__module__ == "embedkit.text"
print(sum(len(terms.indices) for terms in Bm25("Qdrant/bm25").embed(["rusty boats"])))
"""
    assert run(program) == "2"


def test_every_module_of_the_tree_can_be_imported() -> None:
    program = """
import importlib
from embedkit.compat._tree import MODULES
for name, names in MODULES.items():
    module = importlib.import_module(name)
    assert all(hasattr(module, attribute) for attribute in names), name
print(len(MODULES))
"""
    assert int(run(program)) > 40


def test_a_module_that_is_not_there_says_so() -> None:
    program = """
try:
    import fastembed.parallel_processor
except ModuleNotFoundError as error:
    print(error)
"""
    assert "embedkit.compat has no such module" in run(program)


def test_installing_comes_before_fastembed_and_can_be_undone() -> None:
    program = """
import sys, types
sys.modules["fastembed"] = types.ModuleType("fastembed")
import embedkit.compat
try:
    embedkit.compat.install()
except ImportError as error:
    print(error)
del sys.modules["fastembed"]
embedkit.compat.install()
import fastembed.text
embedkit.compat.uninstall()
assert "fastembed" not in sys.modules and not embedkit.compat.is_installed()
"""
    assert "call it earlier" in run(program, prefix="")
