"""Each recipe with two workers against one process; those whose framework is missing are skipped."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HERE = Path(__file__).parent
CASE = HERE.parents[1] / "crates" / "testkit" / "data" / "dense" / "mean-normalized"
RECIPES = [
    ("ray_data.py", "ray"),
    ("spark_arrow.py", "pyspark"),
    ("daft_class.py", "daft"),
    ("dask_partitions.py", "dask"),
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.parquet"
    numbers = list(range(600))
    words = ["a", "boat", "of", "rust", "lies", "still"]
    rows = [" ".join(words[: 1 + number % 6]) + f" {number}" for number in numbers]
    pq.write_table(pa.table({"number": numbers, "text": rows}), path, row_group_size=100)
    return path


@pytest.mark.parametrize(("recipe", "framework"), RECIPES)
def test_two_workers_give_the_vectors_of_one_process(
    recipe: str, framework: str, texts: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    if framework == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from embedkit import TextEmbedding

    model = json.loads((CASE / "golden.json").read_text("utf-8"))["model"]
    target = tmp_path / "vectors"
    command = [sys.executable, recipe, str(texts), str(target), "--model", model]
    command += ["--model-dir", str(CASE), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    source, found = pq.read_table(texts), pq.read_table(target)
    order = np.argsort(found.column("number").to_numpy())
    assert found.column("number").take(order).to_pylist() == source.column("number").to_pylist()
    vectors = np.array(found.column("embedding").take(order).to_pylist(), dtype=np.float32)
    single = TextEmbedding(model, specific_model_path=str(CASE))
    expected = single.embed_array(source.column("text").to_pylist())
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
