"""Built-in models, and those that a program adds."""

from __future__ import annotations

from functools import cache
from typing import Any

from embedkit import _embedkit
from embedkit.descriptions import (
    BaseModelDescription,
    DenseModelDescription,
    ModelSource,
    SparseModelDescription,
)

FASTEMBED_MODELS = {
    "text-dense": 41,
    "sparse": 6,
    "late-text": 5,
    "late-multimodal": 2,
    "image": 8,
    "rerank": 8,
}
"""Models of FastEmbed 0.9.1 by task. They come first; the names of all others can be described anew."""


@cache
def rows(task: str) -> tuple[dict[str, Any], ...]:
    """Facts of the built-in models of a task."""
    return tuple(row for row in _embedkit.models() if row["task"] == task)


def find(task: str, name: str) -> dict[str, Any] | None:
    """Facts of a built-in model by its id, in any case, or by its repository."""
    wanted = name.lower()
    for row in rows(task):
        if row["id"].lower() == wanted:
            return row
    return _embedkit.find(name, task)


def is_of_fastembed(task: str, name: str) -> bool:
    """True for the id of a model that FastEmbed has as well."""
    known = rows(task)[: FASTEMBED_MODELS[task]]
    return any(row["id"].lower() == name.lower() for row in known)


_OLD_ARCHIVES = frozenset(
    {
        "BAAI/bge-base-en",
        "BAAI/bge-base-en-v1.5",
        "BAAI/bge-small-en",
        "BAAI/bge-small-zh-v1.5",
        "intfloat/multilingual-e5-large",
        "sentence-transformers/all-MiniLM-L6-v2",
    }
)
"""Models whose description in FastEmbed still says that archives of them have an older layout."""


def description(row: dict[str, Any]) -> BaseModelDescription:
    """Facts as a description in FastEmbed's form; a new one each time, so that callers may change it."""
    facts: dict[str, Any] = {
        "model": row["id"],
        "sources": ModelSource(
            hf=row["repo"] or row["id"],
            url=row["url"],
            _deprecated_tar_struct=row["id"] in _OLD_ARCHIVES,
        ),
        "model_file": row["file"],
        "description": _in_words(row),
        "license": row["license"] or "",
        "size_in_GB": row["size_gb"] or 0.0,
        "additional_files": list(row["additional_files"]),
    }
    if row["task"] == "sparse":
        # BM25 has no vocabulary, which FastEmbed writes as 0.
        size = 0 if row["kind"] == "bm25" else row["vocab_size"]
        return SparseModelDescription(**facts, requires_idf=row["requires_idf"] or None, vocab_size=size)
    if row["dim"] is None:
        return BaseModelDescription(**facts)
    names: list[str] = row.get("tasks") or []
    tasks: dict[str, Any] = {name: number for number, name in enumerate(names)}
    return DenseModelDescription(**facts, dim=row["dim"], tasks=tasks)


_KINDS = {
    "text-dense": "Text to one vector",
    "sparse": "Text to weighted terms",
    "late-text": "Text to a vector for each token",
    "late-multimodal": "Text or page image to many vectors",
    "image": "Image to one vector",
    "rerank": "Query and document to a score",
}


def _in_words(row: dict[str, Any]) -> str:
    parts = [_KINDS[row["task"]]]
    parts.extend(row["languages"])
    if row["max_tokens"]:
        parts.append(f"{row['max_tokens']} tokens")
    if row["year"]:
        parts.append(str(row["year"]))
    return ", ".join(parts) + "."
