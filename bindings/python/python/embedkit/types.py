"""Types of parameters and results."""

from __future__ import annotations

from enum import Enum
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image


class Device(str, Enum):
    """Device of a model, as `cuda=` takes it."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


PathInput: TypeAlias = Union[str, "PathLike[str]"]
"""Path of a file."""
ImageInput: TypeAlias = Union[str, "PathLike[str]", bytes, "Image"]
"""An image: the path of a file, its content, or a PIL image."""
OnnxProvider: TypeAlias = str | tuple[str, dict[Any, Any]]
"""Name of an execution provider of ONNX Runtime, alone or with its options."""
NumpyArray: TypeAlias = NDArray[np.float32]
"""A vector of shape `(dim,)`, or vectors of shape `(vectors, dim)`."""
