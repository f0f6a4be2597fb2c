"""Results of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass
class SparseEmbedding:
    """Weighted terms: indices, in the order of the text where the model has one, and their weights."""

    values: NDArray[Any]
    indices: NDArray[Any]

    def as_object(self) -> dict[str, NDArray[Any]]:
        """Both arrays by name, as Qdrant's clients take them."""
        return {"values": self.values, "indices": self.indices}

    def as_dict(self) -> dict[int, float]:
        """Weights by index; of a repeated index the last."""
        pairs = zip(self.indices, self.values, strict=True)
        return {int(index): float(value) for index, value in pairs}

    @classmethod
    def from_dict(cls, data: dict[int, float]) -> SparseEmbedding:
        """Weighted terms from weights by index."""
        if not data:
            return cls(values=np.array([]), indices=np.array([], dtype=np.int64))
        indices, values = zip(*data.items(), strict=True)
        return cls(values=np.array(values), indices=np.array(indices))


@dataclass(frozen=True)
class Embedded(Generic[T]):
    """An embedding with what happened to its input on the way."""

    value: T
    """The embedding."""
    tokens: int
    """Tokens that the model saw, special tokens included."""
    truncated: bool
    """True if the input was longer than the model takes and its end was cut off."""
