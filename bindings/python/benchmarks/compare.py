"""Speed of embedkit beside FastEmbed, interleaved in one run: ratios, and whether the vectors are equal.

    python benchmarks/compare.py FOLDER [--texts N] [--rounds N]

FOLDER has the files of all-MiniLM-L6-v2, with the graph as `model.onnx` and `onnx/model.onnx`, such as
`.cache/assets/models/all-MiniLM-L6-v2` of the project.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def mixed_texts(count: int) -> list[str]:
    """Texts of 3 to 200 words, most of them short."""
    choose = random.Random(1)
    words = [
        "the",
        "boat",
        "of",
        "rust",
        "lies",
        "in",
        "a",
        "harbour",
        "where",
        "cats",
        "sleep",
        "and",
        "ships",
        "wait",
        "for",
        "wind",
    ]
    lengths = [min(200, 3 + int(choose.expovariate(1 / 40))) for _ in range(count)]
    return [" ".join(choose.choices(words, k=length)) for length in lengths]


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", help="the command line program, to compare with the library")
    arguments = parser.parse_args()
    texts = mixed_texts(arguments.texts)
    by_length = sorted(texts, key=len)

    import embedkit
    import fastembed

    theirs = fastembed.TextEmbedding(MODEL, specific_model_path=arguments.folder)
    ours = embedkit.TextEmbedding(MODEL, specific_model_path=arguments.folder)
    sides: dict[str, Callable[[], object]] = {
        "embedkit": lambda: list(ours.embed(texts)),
        "embedkit, matrix": lambda: ours.embed_array(texts),
        "FastEmbed, batch 8, sorted": lambda: list(theirs.embed(by_length, batch_size=8)),
        "FastEmbed, batch 8": lambda: list(theirs.embed(texts, batch_size=8)),
        "FastEmbed, default": lambda: list(theirs.embed(texts)),
    }
    if arguments.program:
        sides["program, with its start"] = lambda: program(arguments.program, arguments.folder, texts)
    for work in sides.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, work in sides.items():
            times[name].append(timed(work))
    base = statistics.median(times["embedkit"])
    for name, found in times.items():
        print(f"{name:28} {statistics.median(found) / base:6.2f}")
    expected = np.stack(list(theirs.embed(texts[:50], batch_size=1)))
    difference = np.abs(np.stack(list(ours.embed(texts[:50]))) - expected).max()
    print(f"largest difference: {difference:.1e}")
    return 0 if difference < 1e-5 else 1


def program(path: str, folder: str, texts: list[str]) -> None:
    """The same texts through the command line program."""
    command = [path, "embed", "-q", "--model", MODEL, "--model-dir", folder, "--format", "npy"]
    lines = "\n".join(texts).encode()
    subprocess.run([*command, "--output", os.devnull], input=lines, check=True)


if __name__ == "__main__":
    sys.exit(main())
