"""Steps behind a graph, for callers who have its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class OnnxOutputContext:
    """Output of a graph, with what its steps need beside it."""

    model_output: NDArray[Any]
    attention_mask: NDArray[np.int64] | None = None
    input_ids: NDArray[np.int64] | None = None
    metadata: dict[str, Any] | None = None


def normalize(input_array: NDArray[Any], p: int = 2, dim: int = 1, eps: float = 1e-12) -> NDArray[Any]:
    """Scale vectors to unit length."""
    if input_array.dtype == np.float16:
        # Squares of half precision overflow.
        wide = input_array.astype(np.float32)
        return normalize(wide, p=p, dim=dim, eps=eps).astype(np.float16)
    norm = np.linalg.norm(input_array, ord=p, axis=dim, keepdims=True)
    scaled: NDArray[Any] = input_array / np.maximum(norm, eps)
    return scaled


def mean_pooling(input_array: NDArray[Any], attention_mask: NDArray[np.int64]) -> NDArray[Any]:
    """The mean of the vectors of tokens that the mask has, in float64."""
    mask = attention_mask.astype(bool)[:, :, np.newaxis]
    total = np.sum(input_array, axis=1, where=mask, dtype=np.float64)
    count = np.maximum(attention_mask.sum(axis=1, keepdims=True), 1e-9)
    mean: NDArray[Any] = total / count
    return mean


def last_token_pooling(input_array: NDArray[Any], attention_mask: NDArray[np.int64]) -> NDArray[Any]:
    """The vector of the last token that the mask has, on whichever side the padding is."""
    last = attention_mask.shape[1] - 1 - np.argmax(attention_mask[:, ::-1], axis=1)
    pooled: NDArray[Any] = input_array[np.arange(len(input_array)), last]
    return pooled
