"""Steps of FastEmbed around a graph, which callers and tests use by themselves."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from embedkit import _inputs
from embedkit import text as _text
from embedkit._encoder import Encoder
from embedkit._pooling import OnnxOutputContext, last_token_pooling, mean_pooling, normalize
from embedkit.sparse import _punctuation

__all__ = [
    "JinaEmbedding",
    "OnnxModel",
    "OnnxOutputContext",
    "OnnxTextModel",
    "define_cache_dir",
    "get_all_punctuation",
    "iter_batch",
    "last_token_pooling",
    "mean_pooling",
    "normalize",
    "remove_non_alphanumeric",
]

T = TypeVar("T")

OnnxModel = Encoder
OnnxTextModel = Encoder


def iter_batch(iterable: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` inputs, the last one shorter."""
    _inputs.check_batch_size(size)
    return _inputs.chunks(iterable, size)


def define_cache_dir(cache_dir: str | None = None) -> Path:
    """The folder that FastEmbed keeps files in, made where need be."""
    default = os.path.join(tempfile.gettempdir(), "fastembed_cache")
    path = Path(cache_dir or os.environ.get("FASTEMBED_CACHE_PATH", default))
    path.mkdir(parents=True, exist_ok=True)
    return path


def get_all_punctuation() -> set[str]:
    """All punctuation characters of Unicode."""
    return set(_punctuation())


def remove_non_alphanumeric(text: str) -> str:
    """A text with blanks in place of what is neither a letter nor a number."""
    return re.sub(r"[^\w\s]", " ", text)


class JinaEmbedding(_text.TextEmbedding):
    """An old name with another default."""

    def __init__(
        self,
        model_name: str = "jinaai/jina-embeddings-v2-base-en",
        cache_dir: str | None = None,
        threads: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(model_name, cache_dir, threads, **kwargs)
