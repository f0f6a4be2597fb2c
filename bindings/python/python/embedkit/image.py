"""Image models: an image to one vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from embedkit import _custom, _inputs
from embedkit._custom import CustomModels
from embedkit._encoder import Encoder
from embedkit._facade import Dense
from embedkit.descriptions import DenseModelDescription, ModelSource
from embedkit.types import ImageInput, NumpyArray

_MODELS = CustomModels("image", "ImageEmbedding")


class OnnxImageEmbedding(Encoder):
    """Encoder of images to one vector."""

    task = "image"
    kind = "image"
    family_keywords = frozenset({"jpeg"})

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        return _MODELS.row(model_name)

    def _inputs(self, inputs: Any) -> Iterable[Any]:
        return _inputs.images(inputs)

    def embed(
        self,
        images: ImageInput | Iterable[ImageInput],
        batch_size: int = 16,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed images."""
        yield from self._run("raw", images, batch_size)


class ImageEmbedding(Dense):
    """A model that turns an image into one vector.

    Parameters are those of `TextEmbedding`, and `jpeg`: `"full"`, or `"scaled"` to decode JPEG files at a
    fraction of their size: large photographs are decoded and resized in 0.6 to 0.7 of the time, and
    vectors change a little.
    """

    _task = "image"
    EMBEDDINGS_REGISTRY: ClassVar[list[type[Encoder]]] = [OnnxImageEmbedding]

    @classmethod
    def _custom_models(cls) -> CustomModels:
        return _MODELS

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        return OnnxImageEmbedding

    @classmethod
    def add_custom_model(
        cls,
        model: str,
        sources: ModelSource,
        dim: int,
        normalization: bool = True,
        pooling: str = "flatten",
        model_file: str = "model.onnx",
        description: str = "",
        license: str = "",
        size_in_gb: float = 0.0,
        additional_files: list[str] | None = None,
        **facts: Any,
    ) -> None:
        """Add a model of your own, which is then opened by its name.

        Args:
            model: Its name.
            sources: Place of its files, `preprocessor_config.json` among them.
            dim: Dimension of the vectors.
            normalization: True if vectors are scaled to unit length.
            pooling: `flatten`, or `cls` for the first of several vectors.
            model_file: The graph.
            description: In words.
            license: Its licence.
            size_in_gb: Size of its files.
            additional_files: Further files.
            **facts: Fields of a row of the project's `models.toml`, such as `output`.
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
            {"dim": dim, "normalize": normalization, "pooling": pooling, **facts},
            DenseModelDescription,
            dim=dim,
        )

    def embed(
        self,
        images: ImageInput | Iterable[ImageInput],
        batch_size: int = 16,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed images.

        Args:
            images: One image, or an iterable of images: paths, contents of files, or PIL images.
            batch_size: The most images that are read ahead of a generator.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: Have no effect.

        Yields:
            A float32 array of shape `(dim,)` for each image, in order.
        """
        yield from self.model.embed(images, batch_size, parallel, **kwargs)
