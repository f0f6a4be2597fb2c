"""Scores of embeddings and the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit import _embedkit
from embedkit.types import NumpyArray


@dataclass(frozen=True)
class Ranked:
    """A document with its score."""

    index: int
    """Position of the document, from 0."""
    score: float
    """Its score; higher is better."""


def cosine(query: NumpyArray, documents: NumpyArray) -> NumpyArray:
    """The cosine of a query of shape `(dim,)` with each row of documents of shape `(n, dim)`."""
    return _embedkit.cosine(_floats(query), _floats(documents))


def max_sim(query: NumpyArray, documents: Iterable[NumpyArray]) -> NumpyArray:
    """MaxSim of a query of shape `(tokens, dim)` with each document of such a shape.

    For each vector of the query the best dot product with a vector of the document, summed.
    """
    return _embedkit.max_sim(_floats(query), [_floats(document) for document in documents])


def pool_tokens(vectors: NumpyArray, factor: float) -> NumpyArray:
    """Fewer vectors of about the same meaning: one for `factor` vectors of shape `(tokens, dim)`."""
    return _embedkit.pool_tokens(_floats(vectors), factor)


def top_k(scores: Iterable[float], k: int) -> list[Ranked]:
    """The `k` best scores with their positions, best first; of equal ones the first."""
    values = np.asarray(list(scores), dtype=np.float64)
    order = np.argsort(-values, kind="stable")[: max(0, k)]
    return [Ranked(int(index), float(values[index])) for index in order]


def reciprocal_rank_fusion(
    rankings: Iterable[Sequence[int] | Sequence[Ranked]], k: float = 60.0
) -> list[Ranked]:
    """One ranking of several, such as those of a dense and a sparse search.

    A document's score is the sum of `1 / (k + rank)` over the rankings that have it.

    Args:
        rankings: Positions of documents, best first, alone or with their scores.
        k: The smaller it is, the more the first ranks count.

    >>> [ranked.index for ranked in reciprocal_rank_fusion([[2, 0], [2, 1]])]
    [2, 0, 1]
    """
    positions = [
        [entry.index if isinstance(entry, Ranked) else entry for entry in ranking] for ranking in rankings
    ]
    return [Ranked(*pair) for pair in _embedkit.reciprocal_rank_fusion(positions, k)]


def _floats(array: NumpyArray) -> NumpyArray:
    return np.ascontiguousarray(array, dtype=np.float32)
