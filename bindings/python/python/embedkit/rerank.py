"""Rerankers: a query and a document to a score."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, ClassVar

from embedkit import _custom
from embedkit._custom import CustomModel, CustomModels
from embedkit._encoder import Encoder
from embedkit._facade import Facade
from embedkit.descriptions import BaseModelDescription, ModelSource
from embedkit.results import Embedded


class OnnxTextCrossEncoder(Encoder):
    """Encoder of a query with a document to a score."""

    task = "rerank"
    kind = "pair"

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        return _Rerankers().row(model_name)

    def _inputs(self, inputs: Any) -> Iterable[Any]:
        return inputs  # type: ignore[no-any-return]

    def rerank(
        self, query: str, documents: Iterable[str], batch_size: int = 64, **kwargs: Any
    ) -> Iterable[float]:
        """Score documents for a query."""
        yield from self._run("raw", _pairs(query, documents), batch_size)

    def rerank_pairs(
        self,
        pairs: Iterable[tuple[str, str]],
        batch_size: int = 64,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[float]:
        """Score pairs of a query and a document."""
        yield from self._run("raw", pairs, batch_size)

    def token_count(self, pairs: Iterable[tuple[str, str]], batch_size: int = 1024, **kwargs: Any) -> int:
        """Count the tokens of pairs."""
        return self._count(pairs, batch_size)


def _pairs(query: str, documents: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Documents with their query; a list stays one, so that it is known to be in memory."""
    if hasattr(documents, "__len__"):
        return [(query, document) for document in documents]
    return ((query, document) for document in documents)


class CustomTextCrossEncoder(OnnxTextCrossEncoder):
    """Encoder of a model that the program has added. The table may be changed."""

    SUPPORTED_MODELS: ClassVar[list[BaseModelDescription]] = []

    @classmethod
    def _list_supported_models(cls) -> list[Any]:
        return list(cls.SUPPORTED_MODELS)

    @classmethod
    def add_model(cls, model_description: BaseModelDescription) -> None:
        """Add a model."""
        cls.SUPPORTED_MODELS.append(model_description)


class _Rerankers(CustomModels):
    """Models that were added, read from the table of the class, which others change."""

    def __init__(self) -> None:
        super().__init__("rerank", "CrossEncoderModel")
        for description in CustomTextCrossEncoder.SUPPORTED_MODELS:
            row = _custom.row(
                "rerank",
                description.model,
                description.sources,
                description.model_file,
                list(description.additional_files),
                {},
            )
            self.models.append(CustomModel(description, row))

    def add(self, model: CustomModel) -> None:
        CustomTextCrossEncoder.add_model(model.description)


class TextCrossEncoder(Facade):
    """A model that scores a document for a query.

    Parameters are those of `TextEmbedding`.
    """

    _task = "rerank"
    CROSS_ENCODER_REGISTRY: ClassVar[list[type[Encoder]]] = [
        OnnxTextCrossEncoder,
        CustomTextCrossEncoder,
    ]

    @classmethod
    def _custom_models(cls) -> CustomModels:
        return _Rerankers()

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        return OnnxTextCrossEncoder

    @classmethod
    def _class_of_custom(cls) -> type[Encoder]:
        return CustomTextCrossEncoder

    @classmethod
    def add_custom_model(
        cls,
        model: str,
        sources: ModelSource,
        model_file: str = "onnx/model.onnx",
        description: str = "",
        license: str = "",
        size_in_gb: float = 0.0,
        additional_files: list[str] | None = None,
    ) -> None:
        """Add a model of your own, which is then opened by its name.

        Raises:
            ValueError: The name is taken, or the description cannot be.
        """
        _custom.add_model(
            _Rerankers(),
            model,
            sources,
            model_file,
            description,
            license,
            size_in_gb,
            additional_files,
            {},
            BaseModelDescription,
        )

    def rerank(
        self, query: str, documents: Iterable[str], batch_size: int = 64, **kwargs: Any
    ) -> Iterable[float]:
        """Score documents for a query.

        Args:
            query: The query.
            documents: The documents. A generator is read while scores are taken.
            batch_size: The most documents that are read ahead of a generator.
            **kwargs: Have no effect.

        Yields:
            A raw logit for each document, in order; higher is better.
        """
        yield from self.model.rerank(query, documents, batch_size=batch_size, **kwargs)

    def rerank_pairs(
        self,
        pairs: Iterable[tuple[str, str]],
        batch_size: int = 64,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[float]:
        """Score pairs of a query and a document.

        Args:
            pairs: The pairs. A generator is read while scores are taken.
            batch_size: The most pairs that are read ahead of a generator.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: Have no effect.

        Yields:
            A raw logit for each pair, in order; higher is better.
        """
        yield from self.model.rerank_pairs(pairs, batch_size=batch_size, parallel=parallel, **kwargs)

    def rerank_pairs_detailed(
        self, pairs: Iterable[tuple[str, str]], batch_size: int = 64
    ) -> Iterator[Embedded[float]]:
        """Score pairs and say for each how many tokens it has and whether it was cut."""
        for score, tokens, truncated in self.model._run("raw", pairs, batch_size, detailed=True):
            yield Embedded(score, tokens, truncated)

    async def arerank(
        self, query: str, documents: Iterable[str], batch_size: int = 64
    ) -> AsyncIterator[float]:
        """Score documents for a query without stopping the event loop; see `TextEmbedding.aembed`."""
        async for score in self.model._arun("raw", _pairs(query, documents), batch_size):
            yield score

    def token_count(self, pairs: Iterable[tuple[str, str]], batch_size: int = 1024, **kwargs: Any) -> int:
        """Count the tokens of pairs, special tokens included, after truncation. Loads no graph."""
        count: int = self.model.token_count(pairs, batch_size=batch_size, **kwargs)
        return count
