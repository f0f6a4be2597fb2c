"""Dask: partitions of Parquet, with a model for each worker process."""

from __future__ import annotations

from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
from common import arguments, shared_model
from dask.distributed import Client, LocalCluster


def with_vectors(frame: pd.DataFrame, name: str, options: tuple[tuple[str, Any], ...]) -> pd.DataFrame:
    """A partition with its vectors; the model stays open in its process."""
    matrix = shared_model(name, options).embed_array(frame["text"].tolist())
    return frame.assign(embedding=matrix.tolist())


def embed(source: str, target: str, name: str, options: dict[str, Any], workers: int) -> None:
    """Embed a Parquet file into a folder of Parquet files."""
    # Lists are objects to pandas, and are not to become strings.
    dask.config.set({"dataframe.convert-string": False})
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster):
        texts = dd.read_parquet(source).repartition(npartitions=2 * workers)
        meta = texts._meta.assign(embedding=pd.Series(dtype=object))
        vectors = texts.map_partitions(with_vectors, name, tuple(options.items()), meta=meta)
        schema = {"embedding": pa.list_(pa.float32())}
        vectors.to_parquet(target, write_index=False, schema=schema)


if __name__ == "__main__":
    given = arguments()
    embed(given.source, given.target, given.model, given.options, given.workers)
