"""A dense model and BM25 in an environment that has the wheel and its dependencies only."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"
DATA = Path(os.environ["EMBEDKIT_PROJECT"]) / "crates" / "testkit" / "data"


def main() -> None:
    from embedkit import SparseTextEmbedding, TextEmbedding

    golden = json.loads((DATA / "dense" / "mean-normalized" / "golden.json").read_text("utf-8"))
    model = TextEmbedding(golden["model"], specific_model_path=str(DATA / "dense" / "mean-normalized"))
    texts = [text for text in golden["texts"] if isinstance(text, str)]
    expected = [
        row for text, row in zip(golden["texts"], golden["embed"], strict=True) if isinstance(text, str)
    ]
    np.testing.assert_allclose(list(model.embed(texts)), expected, atol=1e-4)
    (words,) = SparseTextEmbedding("Qdrant/bm25").embed(["the boat is rusty"])
    assert len(words.indices) == 2, words
    names = sorted(found.metadata["Name"] for found in importlib.metadata.distributions())
    print(f"Python {sys.version.split()[0]}, with {', '.join(names)}")


if __name__ == "__main__":
    main()
