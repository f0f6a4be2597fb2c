"""What the recipes share: a model for each worker, and a table with its vectors."""

from __future__ import annotations

import argparse
from functools import cache
from typing import Any

import pyarrow as pa

MODEL = "BAAI/bge-small-en-v1.5"


def open_model(name: str, options: dict[str, Any]) -> Any:
    """A model for one worker of many: one thread, since the workers are as many as the cores."""
    from embedkit import TextEmbedding

    return TextEmbedding(name, **{"threads": 1, **options})


@cache
def shared_model(name: str, options: tuple[tuple[str, Any], ...]) -> Any:
    """The same, opened once for each process."""
    return open_model(name, dict(options))


def with_vectors(model: Any, table: pa.Table) -> pa.Table:
    """The table with a column `embedding` for its column `text`."""
    matrix = model.embed_array(table.column("text").to_pylist())
    rows, dim = matrix.shape
    offsets = pa.array([row * dim for row in range(rows + 1)], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)))
    return table.append_column("embedding", lists)


def arguments() -> argparse.Namespace:
    """The command line of the recipes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", help="Parquet with a column `text`")
    parser.add_argument("target", help="Parquet to write, or a folder")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--model-dir", help="folder with the files of the model")
    parser.add_argument("--workers", type=int, default=2)
    found = parser.parse_args()
    found.options = {"specific_model_path": found.model_dir} if found.model_dir else {}
    return found
