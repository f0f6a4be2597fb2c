"""Dask: partitions of Parquet, with a model for each worker process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from common import arguments, shared_model, with_vectors
from dask.distributed import Client, LocalCluster


def write(frame: pd.DataFrame, path: str, name: str, options: tuple[tuple[str, Any], ...]) -> None:
    """Write a partition with its vectors; the model stays open in its process."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(with_vectors(shared_model(name, options), table), path)


def embed(source: str, target: str, name: str, options: dict[str, Any], workers: int) -> None:
    """Embed a Parquet file into a folder of Parquet files."""
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    given = tuple(options.items())
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster):
        partitions = dd.read_parquet(source).repartition(npartitions=2 * workers).to_delayed()
        tasks = [
            dask.delayed(write)(partition, str(folder / f"part-{number:05}.parquet"), name, given)
            for number, partition in enumerate(partitions)
        ]
        dask.compute(*tasks)


if __name__ == "__main__":
    given = arguments()
    embed(given.source, given.target, given.model, given.options, given.workers)
