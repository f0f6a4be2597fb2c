"""Steps behind a model: MUVERA."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedkit import _embedkit


class MultiVectorModel(Protocol):
    """A model with many vectors for an input."""

    @property
    def embedding_size(self) -> int:
        """Dimension of the vectors."""
        ...


class Muvera:
    """Encodes many vectors as one, whose dot products approximate MaxSim.

    >>> muvera = Muvera(dim=4, k_sim=2, dim_proj=4, r_reps=1)
    >>> muvera.process_document(np.eye(4, dtype=np.float32)).shape
    (16,)

    Args:
        dim: Dimension of the vectors.
        k_sim: Hyperplanes of each repetition, which make `2 ** k_sim` clusters.
        dim_proj: Dimension of a cluster after its random projection, at most `dim`.
        r_reps: Repetitions.
        random_seed: Seed of all random numbers. Encodings of different seeds cannot be compared.

    Raises:
        ValueError: `dim_proj` is above `dim`, or a number is out of its range.
    """

    def __init__(
        self,
        dim: int,
        k_sim: int = 5,
        dim_proj: int = 16,
        r_reps: int = 20,
        random_seed: int = 42,
    ):
        if dim_proj > dim:
            raise ValueError(f"Cannot project to a higher dimensionality (dim_proj={dim_proj} > dim={dim})")
        self.dim = dim
        self.k_sim = k_sim
        self.dim_proj = dim_proj
        self.r_reps = r_reps
        self._random_seed = random_seed
        self._native = _embedkit.Muvera(dim, k_sim, dim_proj, r_reps, random_seed)

    def __reduce__(self) -> Any:
        return type(self), (self.dim, self.k_sim, self.dim_proj, self.r_reps, self._random_seed)

    @classmethod
    def from_multivector_model(
        cls,
        model: MultiVectorModel,
        k_sim: int = 5,
        dim_proj: int = 16,
        r_reps: int = 20,
        random_seed: int = 42,
    ) -> Muvera:
        """An encoder for the vectors of a late-interaction model."""
        return cls(
            dim=model.embedding_size,
            k_sim=k_sim,
            dim_proj=dim_proj,
            r_reps=r_reps,
            random_seed=random_seed,
        )

    @property
    def embedding_size(self) -> int:
        """Components of an encoding."""
        return self._native.embedding_size

    def process_document(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Encode the vectors of a document, an array of shape `(vectors, dim)`.

        Raises:
            ValueError: There is no vector.
        """
        return self.process(vectors, fill_empty_clusters=True, normalize_by_count=True)

    def process_query(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Encode the vectors of a query, an array of shape `(vectors, dim)`.

        Raises:
            ValueError: There is no vector.
        """
        return self.process(vectors, fill_empty_clusters=False, normalize_by_count=False)

    def process(
        self,
        vectors: NDArray[Any],
        fill_empty_clusters: bool = True,
        normalize_by_count: bool = True,
    ) -> NDArray[np.float64]:
        """Encode vectors, an array of shape `(vectors, dim)`.

        Args:
            vectors: The vectors.
            fill_empty_clusters: Fill a cluster without vectors with one of the nearest cluster.
            normalize_by_count: Take the mean of a cluster's vectors instead of their sum.

        Raises:
            AssertionError: The vectors are of another dimension.
            ValueError: There is no vector.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise AssertionError(f"Expected vectors of shape (n, {self.dim}), got {vectors.shape}")
        if len(vectors) == 0:
            raise ValueError("Cannot encode an empty multivector")
        if vectors.dtype not in (np.float32, np.float64):
            vectors = vectors.astype(np.float64)
        return self._native.process(vectors, fill_empty_clusters, normalize_by_count)
