"""Spark: `mapInArrow`, with a model for each Python worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from common import arguments, open_model, with_vectors
from pyspark.sql import SparkSession


def embedder(
    name: str, options: dict[str, Any]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`: the model is opened once for each partition."""

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = open_model(name, options)
        for batch in batches:
            yield from with_vectors(model, pa.Table.from_batches([batch])).to_batches()

    return embed


def embed(
    spark: SparkSession, source: str, target: str, name: str, options: dict[str, Any], workers: int
) -> None:
    """Embed a Parquet file into a folder of Parquet files."""
    texts = spark.read.parquet(source).repartition(workers)
    columns = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in texts.schema)
    vectors = texts.mapInArrow(embedder(name, options), f"{columns}, embedding array<float>")
    vectors.write.mode("overwrite").parquet(target)


if __name__ == "__main__":
    given = arguments()
    session = SparkSession.builder.master(f"local[{given.workers}]").getOrCreate()
    embed(session, given.source, given.target, given.model, given.options, given.workers)
