"""Tiny models of the project's test kit, which are opened from their folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

# No test may open a socket.
os.environ["HF_HUB_OFFLINE"] = "1"

PROJECT = Path(os.environ.get("EMBEDKIT_PROJECT", Path(__file__).resolve().parents[3]))
DATA = PROJECT / "crates" / "testkit" / "data"


class Case:
    """A tiny model with FastEmbed's results."""

    def __init__(self, family: str, name: str) -> None:
        self.folder = DATA / family / name
        self.golden: dict[str, Any] = json.loads((self.folder / "golden.json").read_text("utf-8"))

    @property
    def model(self) -> str:
        """Id under which FastEmbed opened the folder."""
        return str(self.golden["model"])

    @property
    def path(self) -> str:
        return str(self.folder)

    def texts(self, key: str = "texts") -> list[str]:
        """The inputs; a long one is written as a part and a number."""
        return [
            text if isinstance(text, str) else text["repeat"] * text["times"] for text in self.golden[key]
        ]


def case(family: str, name: str) -> Case:
    return Case(family, name)


@pytest.fixture(scope="session")
def dense() -> Any:
    """A dense model that is open."""
    from embedkit import TextEmbedding

    found = case("dense", "mean-normalized")
    return TextEmbedding(found.model, specific_model_path=found.path)


def words(count: int) -> list[str]:
    """Different short texts."""
    return [f"text number {number} of a list" for number in range(count)]
