"""What the classes that users name share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from embedkit import _registry
from embedkit._custom import CustomModels
from embedkit._encoder import Encoder
from embedkit.errors import NotFoundError
from embedkit.results import Embedded
from embedkit.types import Device, NumpyArray, OnnxProvider

F = TypeVar("F", bound="Facade")


class Facade:
    """A model of one family, by name. `model` is the encoder behind it."""

    _task: ClassVar[str]

    model: Any

    def __init__(
        self,
        model_name: str,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        lazy_load: bool = False,
        **kwargs: Any,
    ):
        self._setup(model_name, cache_dir, threads, providers, cuda, device_ids, lazy_load, kwargs)

    def _setup(
        self,
        model_name: str,
        cache_dir: str | None,
        threads: int | None,
        providers: Sequence[OnnxProvider] | None,
        cuda: bool | Device,
        device_ids: list[int] | None,
        lazy_load: bool,
        keywords: dict[str, Any],
    ) -> None:
        self.model_name = model_name
        self.cache_dir = cache_dir
        self.threads = threads
        self._local_files_only = bool(keywords.get("local_files_only", False))
        arguments = {
            "cache_dir": cache_dir,
            "threads": threads,
            "providers": providers,
            "cuda": cuda,
            "device_ids": device_ids,
            "lazy_load": lazy_load,
            **keywords,
        }
        self._arguments = {"model_name": model_name, **arguments}
        encoder: Any = self._encoder_class(model_name)
        self.model = encoder(model_name, **arguments)

    @classmethod
    def _encoder_class(cls, model_name: str) -> type[Encoder]:
        """The class of the encoder that opens the model of a name."""
        if cls._custom_models().find(model_name) is not None:
            return cls._class_of_custom()
        row = _registry.find(cls._task, model_name)
        if row is not None:
            return cls._class_of(row)
        if _leads_elsewhere(model_name):
            return cls._class_of({"task": cls._task})
        raise NotFoundError(
            f"Model {model_name} is not supported in {cls.__name__}. "
            f"Please check the supported models using `{cls.__name__}.list_supported_models()`"
        )

    @classmethod
    def _custom_models(cls) -> CustomModels:
        """The models that were added to the class."""
        raise NotImplementedError

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        raise NotImplementedError

    @classmethod
    def _class_of_custom(cls) -> type[Encoder]:
        return cls._class_of({"task": cls._task})

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self._arguments, self._custom_models().find(self.model_name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name!r})"

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        """Descriptions of the models, those that were added included, as new dictionaries."""
        return [asdict(model) for model in cls._list_supported_models()]

    @classmethod
    def _list_supported_models(cls) -> list[Any]:
        built_in = [
            _registry.description(row)
            for row in _registry.rows(cls._task)
            if cls._custom_models().find(row["id"]) is None
        ]
        return [*built_in, *cls._custom_models().descriptions()]


class Embedder(Facade):
    """A model with vectors, and one kind of input."""

    @property
    def embedding_size(self) -> int:
        """Dimension of the vectors."""
        size: int = self.model.embedding_size
        return size

    @classmethod
    def get_embedding_size(cls, model_name: str) -> int:
        """Dimension of the vectors of a supported model.

        Raises:
            ValueError: The model is not supported.
        """
        descriptions = cls._list_supported_models()
        for description in descriptions:
            if description.model.lower() == model_name.lower():
                dim: int = description.dim
                return dim
        names = [description.model for description in descriptions]
        raise ValueError(f"Embedding size for model {model_name} was None. Available model names: {names}")


class Detailed(Facade):
    """Further methods of models of texts or images."""

    def embed_detailed(
        self, inputs: Any, batch_size: int = 256, *, role: str = "raw"
    ) -> Iterator[Embedded[Any]]:
        """Embed inputs and say for each how many tokens it has and whether it was cut.

        Args:
            inputs: One input, or an iterable of inputs.
            batch_size: The most inputs that are read ahead of an iterator.
            role: `raw`, `document` or `query`.

        Yields:
            For each input its embedding, its tokens, and whether it was truncated.
        """
        for value, tokens, truncated in self.model._run(role, inputs, batch_size, detailed=True):
            yield Embedded(value, tokens, truncated)

    async def aembed(self, inputs: Any, batch_size: int = 256, *, role: str = "raw") -> AsyncIterator[Any]:
        """Embed inputs without stopping the event loop.

        Tasks that embed at the same time share batches. Inputs are those of `embed`, or an asynchronous
        iterable.

        Args:
            inputs: One input, an iterable, or an asynchronous iterable.
            batch_size: Inputs that are submitted together.
            role: `raw`, `document` or `query`.

        Yields:
            The embeddings, in input order.
        """
        async for result in self.model._arun(role, inputs, batch_size):
            yield result


class Dense(Detailed, Embedder):
    """Further methods of models with one vector for each input."""

    def embed_array(self, inputs: Any, *, role: str = "raw") -> NumpyArray:
        """Embed inputs as one matrix.

        Args:
            inputs: One input, or an iterable of inputs.
            role: `raw`, `document` or `query`.

        Returns:
            A float32 array of shape `(inputs, dim)`.
        """
        array: NumpyArray = self.model._array_stream(role, inputs).matrix(self.embedding_size)
        return array

    def embed_into(self, inputs: Any, out: NumpyArray, *, role: str = "raw") -> int:
        """Embed inputs into the rows of an array, such as one that is mapped into memory.

        Args:
            inputs: One input, or an iterable of at most as many as there are rows.
            out: A float32 array of shape `(inputs, dim)`.
            role: `raw`, `document` or `query`.

        Returns:
            The number of rows that were written.
        """
        if not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.ndim != 2:
            raise TypeError("out has to be a float32 array of shape (inputs, dim)")
        rows: int = self.model._array_stream(role, inputs).fill(out)
        return rows


def _leads_elsewhere(name: str) -> bool:
    """True for a folder, and for the name of a repository."""
    organisation, slash, rest = name.partition("/")
    return bool(name) and (
        Path(name).is_dir()
        or name.startswith(("./", "../", "/"))
        or bool(slash and organisation and rest and "/" not in rest)
    )


def _rebuilt(cls: type[F], arguments: dict[str, Any], custom: Any) -> F:
    """A model in another process, where those that a program adds are not known."""
    if custom is not None and cls._custom_models().find(arguments["model_name"]) is None:
        cls._custom_models().add(custom)
    return cls(**arguments)
