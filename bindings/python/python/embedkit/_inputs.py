"""Inputs of the models' methods."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

FEW = 8
"""Inputs that are not worth a thread of their own."""
FEW_CHARACTERS = 1024
"""Characters of these at most: no interrupt is noticed while they run."""


def check_batch_size(batch_size: int) -> None:
    """Refuse a size that FastEmbed refuses, in its words."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}")


def texts(documents: str | Iterable[str]) -> Iterable[str]:
    """Texts; a single one is a list of one."""
    return [documents] if isinstance(documents, str) else documents


def images(inputs: Any) -> Iterable[Any]:
    """Images as the native module takes them; a single one is a list of one."""
    if isinstance(inputs, (str, bytes, os.PathLike)) or is_pil_image(inputs):
        inputs = [inputs]
    if isinstance(inputs, (list, tuple)) and not any(map(is_pil_image, inputs)):
        return inputs
    return map(image, inputs)


def image(value: Any) -> Any:
    """One image: a PIL image as its size and its pixels in RGB."""
    if is_pil_image(value):
        rgb = value if value.mode == "RGB" else value.convert("RGB")
        return (rgb.width, rgb.height, rgb.tobytes())
    return value


def is_pil_image(value: Any) -> bool:
    """True for a PIL image, without importing PIL."""
    return hasattr(value, "convert") and hasattr(value, "tobytes") and hasattr(value, "mode")


def are_few(inputs: Iterable[Any]) -> bool:
    """True for a few short texts in memory."""
    return (
        isinstance(inputs, (list, tuple))
        and len(inputs) <= FEW
        and all(isinstance(text, str) for text in inputs)
        and sum(map(len, inputs)) <= FEW_CHARACTERS
    )


def read_ahead(inputs: Any, batch_size: int) -> int | None:
    """Most inputs that are read before the first result of them; `None` for inputs in memory."""
    return None if hasattr(inputs, "__len__") or not hasattr(inputs, "__iter__") else batch_size


def chunks(inputs: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of some of the inputs."""
    chunk: list[Any] = []
    for value in inputs:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
