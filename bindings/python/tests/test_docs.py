"""Examples of the documentation that need no download."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import PROJECT

PAGES = [PROJECT / "docs" / "guide" / "python.md"]
MODULES = ["embedkit.compat", "embedkit.model", "embedkit.postprocess", "embedkit.scoring", "embedkit.sparse"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page_run(page) -> None:
    blocks = [part.split("```")[0] for part in page.read_text("utf-8").split("```python\n")[1:]]
    assert len(blocks) >= 3
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name: str) -> None:
    # In a process of its own: another test may have imported FastEmbed.
    program = f"import doctest, {name} as module; print(*doctest.testmod(module))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    failed, attempted = done.stdout.splitlines()[-1].split()[:2]
    assert (failed, int(attempted) > 0) == ("0", True), done.stdout


def test_the_notebook_runs() -> None:
    """Its cells, one after the other, in one process."""
    notebook = PROJECT / "bindings" / "python" / "examples" / "search.ipynb"
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    program = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    if not (PROJECT / ".cache" / "assets" / "models" / "all-MiniLM-L6-v2").is_dir():
        pytest.skip("all-MiniLM-L6-v2 is not there: cargo xtask assets")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=notebook.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
