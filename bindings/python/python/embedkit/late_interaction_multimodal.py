"""Late-interaction models of texts and page images: an input to many vectors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, ClassVar

from embedkit import _custom, _inputs
from embedkit._custom import CustomModels
from embedkit._encoder import Encoder
from embedkit._facade import Embedder
from embedkit.descriptions import DenseModelDescription, ModelSource
from embedkit.results import Embedded
from embedkit.types import ImageInput, NumpyArray

_MODELS = CustomModels("late-multimodal", "LateInteractionMultimodalEmbedding")


class ColPali(Encoder):
    """Encoder of texts and images to many vectors."""

    task = "late-multimodal"
    family_keywords = frozenset({"jpeg"})

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        return _MODELS.row(model_name)

    def embed_text(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed texts."""
        yield from self._run("raw", documents, batch_size)

    def embed_image(
        self,
        images: ImageInput | Iterable[ImageInput],
        batch_size: int = 2,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed images."""
        yield from self._images(images, batch_size)

    def _images(
        self, images: ImageInput | Iterable[ImageInput], batch_size: int, detailed: bool = False
    ) -> Iterator[Any]:
        _inputs.check_batch_size(batch_size)
        ahead = _inputs.read_ahead(images, batch_size)
        inputs = _inputs.images(images)
        yield from self._loaded().embed("raw", "image", inputs, ahead, detailed)

    def token_count(
        self,
        texts: str | Iterable[str],
        batch_size: int = 1024,
        include_extension: bool = False,
        **kwargs: Any,
    ) -> int:
        """Count the tokens of texts."""
        return self._count(texts, batch_size, "raw", include_extension)


class LateInteractionMultimodalEmbedding(Embedder):
    """A model that turns a text, or the image of a page, into many vectors, to be compared by MaxSim.

    Parameters are those of `ImageEmbedding`.
    """

    _task = "late-multimodal"
    EMBEDDINGS_REGISTRY: ClassVar[list[type[Encoder]]] = [ColPali]

    @classmethod
    def _custom_models(cls) -> CustomModels:
        return _MODELS

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        return ColPali

    @classmethod
    def add_custom_model(
        cls,
        model: str,
        sources: ModelSource,
        dim: int,
        kind: str,
        model_file: str = "onnx/model.onnx",
        description: str = "",
        license: str = "",
        size_in_gb: float = 0.0,
        additional_files: list[str] | None = None,
        **facts: Any,
    ) -> None:
        """Add a model of your own, which is then opened by its name.

        Args:
            model: Its name.
            sources: Place of its files.
            dim: Dimension of the vectors.
            kind: `colpali` or `colmodernvbert`.
            model_file: The graph.
            description: In words.
            license: Its licence.
            size_in_gb: Size of its files.
            additional_files: Further files.
            **facts: Fields of a row of the project's `models.toml`, such as `text_augmentation`.
        """
        _custom.add_model(
            _MODELS,
            model,
            sources,
            model_file,
            description,
            license,
            size_in_gb,
            additional_files,
            {"dim": dim, "kind": kind, **facts},
            DenseModelDescription,
            dim=dim,
        )

    def embed_text(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed texts, which are queries to these models.

        Args:
            documents: One text, or an iterable of texts.
            batch_size: The most texts that are read ahead of a generator.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: Have no effect.

        Yields:
            A float32 array of shape `(tokens, dim)` for each text, in order.
        """
        yield from self.model.embed_text(documents, batch_size, parallel, **kwargs)

    def embed_image(
        self,
        images: ImageInput | Iterable[ImageInput],
        batch_size: int = 2,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed images, which are documents to these models.

        Args:
            images: One image, or an iterable of images: paths, contents of files, or PIL images.
            batch_size: The most images that are read ahead of a generator.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: Have no effect.

        Yields:
            A float32 array of shape `(tokens, dim)` for each image, in order.
        """
        yield from self.model.embed_image(images, batch_size, parallel, **kwargs)

    def embed_text_detailed(
        self, documents: str | Iterable[str], batch_size: int = 256
    ) -> Iterator[Embedded[NumpyArray]]:
        """Embed texts and say for each how many tokens it has and whether it was cut."""
        for value, tokens, truncated in self.model._run("raw", documents, batch_size, detailed=True):
            yield Embedded(value, tokens, truncated)

    async def aembed_text(self, documents: Any, batch_size: int = 256) -> AsyncIterator[NumpyArray]:
        """Embed texts without stopping the event loop; see `TextEmbedding.aembed`."""
        async for result in self.model._arun("raw", documents, batch_size):
            yield result

    def token_count(
        self,
        texts: str | Iterable[str],
        batch_size: int = 1024,
        include_extension: bool = False,
        **kwargs: Any,
    ) -> int:
        """Count the tokens of texts, with `include_extension` those that the model adds. Loads no graph."""
        count: int = self.model.token_count(
            texts, batch_size=batch_size, include_extension=include_extension, **kwargs
        )
        return count
