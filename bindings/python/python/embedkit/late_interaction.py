"""Late-interaction text models: a text to a vector for each token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from embedkit import _custom
from embedkit._custom import CustomModels
from embedkit._encoder import Encoder
from embedkit._facade import Detailed, Embedder
from embedkit.descriptions import DenseModelDescription, ModelSource
from embedkit.types import NumpyArray

_MODELS = CustomModels("late-text", "LateInteractionTextEmbedding")


class Colbert(Encoder):
    """Encoder of texts to a vector for each token."""

    task = "late-text"

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        return _MODELS.row(model_name)

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed texts as documents."""
        yield from self._run("raw", documents, batch_size)

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed queries."""
        yield from self._run("query", query, kwargs.get("batch_size", 256))

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed passages."""
        yield from self._run("document", texts, kwargs.get("batch_size", 256))

    def token_count(
        self,
        texts: str | Iterable[str],
        batch_size: int = 1024,
        is_doc: bool = True,
        include_extension: bool = False,
        **kwargs: Any,
    ) -> int:
        """Count the tokens of texts."""
        role = "document" if is_doc else "query"
        return self._count(texts, batch_size, role, include_extension)


class LateInteractionTextEmbedding(Detailed, Embedder):
    """A model that turns a text into a vector for each token, to be compared by MaxSim.

    Parameters are those of `TextEmbedding`.
    """

    _task = "late-text"
    EMBEDDINGS_REGISTRY: ClassVar[list[type[Encoder]]] = [Colbert]

    @classmethod
    def _custom_models(cls) -> CustomModels:
        return _MODELS

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        return Colbert

    @classmethod
    def add_custom_model(
        cls,
        model: str,
        sources: ModelSource,
        dim: int,
        model_file: str = "onnx/model.onnx",
        description: str = "",
        license: str = "",
        size_in_gb: float = 0.0,
        additional_files: list[str] | None = None,
        normalization: bool = True,
        **facts: Any,
    ) -> None:
        """Add a model of your own, which is then opened by its name.

        Args:
            model: Its name.
            sources: Place of its files.
            dim: Dimension of the vectors.
            model_file: The graph.
            description: In words.
            license: Its licence.
            size_in_gb: Size of its files.
            additional_files: Further files.
            normalization: True if vectors are scaled to unit length.
            **facts: Fields of a row of the project's `models.toml`, such as `markers` or `query_padding`.
        """
        facts = {
            "dim": dim,
            "normalize": normalization,
            "normalize_queries": normalization,
            **facts,
        }
        _custom.add_model(
            _MODELS,
            model,
            sources,
            model_file,
            description,
            license,
            size_in_gb,
            additional_files,
            facts,
            DenseModelDescription,
            dim=dim,
        )

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed texts as documents.

        Args:
            documents: One text, or an iterable of texts. A generator is read while results are taken.
            batch_size: The most texts that are read ahead of a generator.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: Have no effect.

        Yields:
            A float32 array of shape `(tokens, dim)` for each text, in order.
        """
        yield from self.model.embed(documents, batch_size, parallel, **kwargs)

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed queries, which have a marker and a length of their own.

        Yields:
            A float32 array of shape `(tokens, dim)` for each query, in order.
        """
        yield from self.model.query_embed(query, **kwargs)

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed passages, as `embed` does.

        Yields:
            A float32 array of shape `(tokens, dim)` for each passage, in order.
        """
        yield from self.model.passage_embed(texts, **kwargs)

    def token_count(
        self,
        texts: str | Iterable[str],
        batch_size: int = 1024,
        is_doc: bool = True,
        include_extension: bool = False,
        **kwargs: Any,
    ) -> int:
        """Count the tokens of texts. Loads no graph.

        Args:
            texts: One text, or an iterable of texts.
            batch_size: Has no effect.
            is_doc: True for documents, false for queries.
            include_extension: Count the marker of each text as well, and what short queries are filled with.
            **kwargs: Have no effect.
        """
        count: int = self.model.token_count(
            texts,
            batch_size=batch_size,
            is_doc=is_doc,
            include_extension=include_extension,
            **kwargs,
        )
        return count
