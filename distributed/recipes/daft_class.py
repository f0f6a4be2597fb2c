"""Daft: a class with a model, of which there are several instances."""

from __future__ import annotations

from typing import Any

import daft
from common import arguments, open_model
from daft import DataType, Series


def embed(source: str, target: str, name: str, options: dict[str, Any], workers: int) -> None:
    """Embed a Parquet file into a folder of Parquet files."""

    @daft.cls(max_concurrency=workers, use_process=True)
    class Embedder:
        def __init__(self) -> None:
            self.model = open_model(name, options)

        @daft.method.batch(return_dtype=DataType.list(DataType.float32()))
        def embed(self, texts: Series) -> Any:
            return list(self.model.embed_array(texts.to_pylist()))

    embedder = Embedder()
    texts = daft.read_parquet(source).into_partitions(workers)
    texts.with_column("embedding", embedder.embed(daft.col("text"))).write_parquet(target)


if __name__ == "__main__":
    given = arguments()
    embed(given.source, given.target, given.model, given.options, given.workers)
