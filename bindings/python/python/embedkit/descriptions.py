"""Descriptions of models, as FastEmbed's classes list them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class ModelSource:
    """Place of a model's files: a repository of the hub, or the address of an archive."""

    hf: str | None = None
    url: str | None = None
    _deprecated_tar_struct: bool = False

    @property
    def deprecated_tar_struct(self) -> bool:
        """True for archives of an older layout. No built-in model has one."""
        return self._deprecated_tar_struct

    def __post_init__(self) -> None:
        if self.hf is None and self.url is None:
            raise ValueError(
                f"At least one source should be set, current sources: hf={self.hf}, url={self.url}"
            )


@dataclass(frozen=True)
class BaseModelDescription:
    """Facts that all models have."""

    model: str
    sources: ModelSource
    model_file: str
    description: str
    license: str
    size_in_GB: float  # noqa: N815 - FastEmbed's name
    additional_files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DenseModelDescription(BaseModelDescription):
    """Facts of a model with vectors of one dimension."""

    dim: int | None = None
    tasks: dict[str, Any] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dim is None:
            raise AssertionError("dim is required for dense model description")


@dataclass(frozen=True)
class SparseModelDescription(BaseModelDescription):
    """Facts of a sparse model."""

    requires_idf: bool | None = None
    vocab_size: int | None = None


class PoolingType(str, Enum):
    """Step from the vectors of a text's tokens to one vector."""

    CLS = "CLS"
    MEAN = "MEAN"
    LAST_TOKEN = "LAST_TOKEN"
    DISABLED = "DISABLED"
