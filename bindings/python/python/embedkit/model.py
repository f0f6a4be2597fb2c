"""Any model."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from embedkit import _aio, _embedkit, _inputs, _options, _progress
from embedkit.results import Embedded
from embedkit.types import Device, OnnxProvider


class Model:
    """Any model: dense, sparse, late-interaction, image or reranker.

    >>> model = Model("Qdrant/bm25")
    >>> model.capabilities["outputs"]
    ['sparse']
    >>> len(model.query("rusty boats").indices)
    2

    An input is a `str` (a text), a path, bytes or a PIL image (an image), or a pair of `str` (a query and a
    document). Results are arrays of shape `(dim,)` or `(vectors, dim)`, `SparseEmbedding`, or scores.

    Args:
        name: A built-in id, a repository of the hub, or a folder. Files of a model that is not built in
            describe it.
        task: Of a name with several encoders the one to open, such as `text-dense` or `image`; all
            without.
        dir: Folder with the files of a built-in model.
        cache_dir: As in `TextEmbedding`, like all the others.
        threads: Threads of the session.
        providers: Execution providers.
        cuda: Use of CUDA.
        device_ids: Numbers of the CUDA devices.
        **options: Options of all models.
    """

    def __init__(
        self,
        name: str,
        *,
        task: str | None = None,
        dir: str | None = None,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        **options: Any,
    ):
        _options.ignore_unknown("Model", options, stacklevel=2)
        self._arguments = {
            "name": name,
            "task": task,
            "dir": dir,
            "cache_dir": cache_dir,
            "threads": threads,
            "providers": providers,
            "cuda": cuda,
            "device_ids": device_ids,
            **options,
        }
        self._load = _options.load(
            cache_dir=cache_dir,
            threads=threads,
            providers=providers,
            cuda=cuda,
            device_ids=device_ids,
            keywords=options,
        )
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._native: _embedkit.Model | None = None
        self.capabilities: dict[str, Any] = self._open().capabilities()
        """Facts of the model: its tasks, inputs, outputs, dimension, prompts."""

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self._arguments)

    def __repr__(self) -> str:
        return f"Model({self.id!r})"

    def _open(self) -> _embedkit.Model:
        if self._process != os.getpid():
            # After a fork: neither the lock nor the threads of the native model are of use.
            self._process, self._lock, self._native = os.getpid(), threading.Lock(), None
        with self._lock:
            if self._native is None:
                arguments = self._arguments
                _options.check_providers(arguments["providers"], self._load.get("onnxruntime"))
                self._native = _embedkit.Model.open(
                    arguments["name"],
                    task=arguments["task"],
                    dir=arguments["dir"],
                    load=json.dumps(self._load),
                    on_event=_progress.listener() if arguments.get("show_progress", True) else None,
                )
            return self._native

    @property
    def id(self) -> str:
        """Id of the model, in its own spelling."""
        return self._open().id

    @property
    def dim(self) -> int | None:
        """Dimension of the vectors, where there are some."""
        return self._open().dim()

    def embed(self, inputs: Any, role: str = "document", batch_size: int = 256) -> Iterator[Any]:
        """Embed inputs lazily.

        Args:
            inputs: One input, or an iterable of inputs.
            role: `raw`, `document` or `query`.
            batch_size: The most inputs that are read ahead of an iterator.

        Yields:
            The results, in input order.
        """
        yield from self._run(inputs, role, batch_size, detailed=False)

    def embed_detailed(
        self, inputs: Any, role: str = "document", batch_size: int = 256
    ) -> Iterator[Embedded[Any]]:
        """Embed inputs and say for each how many tokens it has and whether it was cut."""
        for value, tokens, truncated in self._run(inputs, role, batch_size, detailed=True):
            yield Embedded(value, tokens, truncated)

    def _run(self, inputs: Any, role: str, batch_size: int, detailed: bool) -> Iterator[Any]:
        _inputs.check_batch_size(batch_size)
        inputs = _any(inputs)
        terms = self.capabilities["outputs"] == ["sparse"]
        native = self._open()
        if _inputs.are_few(inputs):
            return iter(native.embed_now(role, "any", inputs, detailed, terms))
        ahead = _inputs.read_ahead(inputs, batch_size)
        return native.embed(role, "any", map(_inputs.image, inputs), ahead, detailed, terms)

    def query(self, query: Any) -> Any:
        """Embed one query."""
        return next(self.embed([query], "query"))

    def document(self, document: Any) -> Any:
        """Embed one document: a text, or an image."""
        return next(self.embed([document], "document"))

    def rerank(self, query: str, documents: Iterable[str]) -> list[float]:
        """Score documents for a query, in their order; higher is better."""
        return list(self.embed([(query, document) for document in documents], "raw"))

    async def aembed(self, inputs: Any, role: str = "document", batch_size: int = 256) -> AsyncIterator[Any]:
        """Embed inputs without stopping the event loop; see `TextEmbedding.aembed`."""
        native = await _aio.in_thread(self._open)
        terms = self.capabilities["outputs"] == ["sparse"]
        async for result in _aio.results(native, role, "any", _any(inputs), batch_size, terms):
            yield result

    def token_count(self, inputs: Any, role: str = "raw") -> int:
        """Count the tokens of inputs, special tokens included, after truncation. Loads no graph."""
        return self._open().token_count(role, "any", _any(inputs))


def _any(inputs: Any) -> Any:
    """A single input as a list of one."""
    single = isinstance(inputs, (str, bytes, os.PathLike)) or _inputs.is_pil_image(inputs)
    return [inputs] if single else inputs


def _rebuilt(cls: type[Model], arguments: dict[str, Any]) -> Model:
    return cls(**arguments)
