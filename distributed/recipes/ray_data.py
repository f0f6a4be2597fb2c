"""Ray Data: actors, each with a model."""

from __future__ import annotations

import os
from typing import Any

import ray
from common import arguments, open_model


class Embedder:
    """An actor; its model is opened once."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.model = open_model(name, options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["embedding"] = self.model.embed_array(list(batch["text"]))
        return batch


def embed(source: str, target: str, name: str, options: dict[str, Any], workers: int) -> None:
    """Embed a Parquet file into a folder of Parquet files."""
    if "RAY_ADDRESS" not in os.environ:
        # One core more than the actors reserve: without it no task could read or write, and all would wait.
        ray.init(num_cpus=workers + 1)
    texts = ray.data.read_parquet(source).repartition(2 * workers)
    vectors = texts.map_batches(
        Embedder,
        fn_constructor_args=(name, options),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        batch_size=256,
    )
    vectors.write_parquet(target)


if __name__ == "__main__":
    given = arguments()
    embed(given.source, given.target, given.model, given.options, given.workers)
