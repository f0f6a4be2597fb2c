"""What the classes of all families share: opening, loading, forks, pickling."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from embedkit import _aio, _embedkit, _inputs, _options, _progress, _registry
from embedkit._session import Session, SessionOptions
from embedkit.descriptions import BaseModelDescription
from embedkit.types import Device, OnnxProvider


class Encoder:
    """One opened model. `model` is its session, and is there once the graph was loaded."""

    task: ClassVar[str]
    """Task of the models, as the registry names it."""
    kind: ClassVar[str] = "text"
    """Kind of the inputs."""
    family_keywords: ClassVar[frozenset[str]] = frozenset()
    """Keywords of the family, beside those of all models."""
    looks_up_queries: ClassVar[bool] = False
    """True where the graph is not needed for queries."""

    model: Session
    model_name: str
    model_description: BaseModelDescription | None

    def __init__(
        self,
        model_name: str,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        lazy_load: bool = False,
        device_id: int | None = None,
        specific_model_path: str | None = None,
        **kwargs: Any,
    ):
        self._setup(
            model_name,
            cache_dir=cache_dir,
            threads=threads,
            providers=providers,
            cuda=cuda,
            device_ids=device_ids,
            lazy_load=lazy_load,
            device_id=device_id,
            specific_model_path=specific_model_path,
            **kwargs,
        )

    def _setup(
        self,
        model_name: str,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        lazy_load: bool = False,
        device_id: int | None = None,
        specific_model_path: str | None = None,
        family: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        given = {key: keywords.pop(key) for key in self.family_keywords & keywords.keys()}
        _options.ignore_unknown(type(self).__name__, keywords, stacklevel=4)
        self.model_name = model_name
        self.cache_dir = cache_dir
        self.threads = threads
        self.providers = providers
        self.cuda = cuda
        self.device_ids = device_ids
        first = device_ids[0] if device_ids else None
        self.device_id = first if device_id is None else device_id
        self.lazy_load = lazy_load
        self._specific_model_path = specific_model_path
        self._local_files_only = bool(keywords.get("local_files_only", False))
        self._keywords = dict(keywords)
        options = {**(family or {}), **given}
        self._family = {key: value for key, value in options.items() if value is not None}
        self._row = self._custom_row(model_name)
        self._tasks: dict[str, _embedkit.Model] = {}
        self._native: _embedkit.Model | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()
        facts = self._facts(model_name)
        self.model_description = _registry.description(facts) if facts else None
        if facts:
            self._warn_of(facts)
        self._load = _options.load(
            cache_dir=cache_dir,
            threads=threads,
            providers=providers,
            cuda=cuda,
            device_ids=device_ids if device_id is None else [device_id],
            keywords=keywords,
        )
        self._model_dir = self._find_files()
        if not lazy_load:
            self.load_onnx_model()

    # What there is to open.

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        """The description of a model that the program has added."""
        del model_name
        return None

    def _facts(self, model_name: str) -> dict[str, Any] | None:
        if self._row is not None:
            return _embedkit.describe(self._row)
        return _registry.find(self.task, model_name)

    def _warn_of(self, facts: Mapping[str, Any]) -> None:
        if facts["alias_of"]:
            warnings.warn(
                f"The right spelling is {facts['alias_of']}, please fix the model_name",
                DeprecationWarning,
                stacklevel=6,
            )
        if facts["notice"]:
            warnings.warn(f"{facts['id']}: {facts['notice']}", UserWarning, stacklevel=6)

    def _find_files(self) -> Path | None:
        """The folder with the model's files, which are fetched where need be."""
        if self._specific_model_path is not None:
            return Path(self._specific_model_path)
        if self.model_description is None:
            return Path(self.model_name) if Path(self.model_name).is_dir() else None
        return Path(
            _embedkit.fetch(
                self.model_name,
                self.task,
                row=self._row,
                cache_dir=self.cache_dir,
                offline=self._local_files_only,
                on_event=self._listener(),
            )
        )

    def _listener(self) -> _progress.Bars | None:
        return _progress.listener() if self._keywords.get("show_progress", True) else None

    # Opening and loading.

    def _open(self) -> _embedkit.Model:
        """The native model: its tokenizer is loaded, its graph at the first input that needs it."""
        if self._process != os.getpid():
            # Locks and threads of the parent are of no use here. Its native model stays as it is.
            self._process, self._lock = os.getpid(), threading.Lock()
            self._native, self._tasks = None, {}
        with self._lock:
            if self._native is None:
                _options.check_providers(self.providers, self._load.get("onnxruntime"))
                self._native = _embedkit.Model.open(
                    self.model_name,
                    task=self.task,
                    row=self._row,
                    dir=self._files_to_open(),
                    load=json.dumps({**self._load, "lazy": True}),
                    family=json.dumps(self._family),
                    on_event=self._listener(),
                )
            return self._native

    def _files_to_open(self) -> str | None:
        if self.model_description is None and self._specific_model_path is None:
            return None
        return None if self._model_dir is None else str(self._model_dir)

    def load_onnx_model(self) -> None:
        """Load the graph."""
        device = self._open().device(self.kind)
        arena = self._keywords.get("enable_cpu_mem_arena")
        options = SessionOptions(
            enable_cpu_mem_arena=True if arena is None else bool(arena),
            intra_op_num_threads=self.threads or 0,
            inter_op_num_threads=self.threads or 0,
        )
        self.model = Session(options, device, dict(self._load.get("provider_options", ())))

    def _loaded(self, role: str = "raw") -> _embedkit.Model:
        """The native model, with its graph unless inputs of the role need none."""
        needs_graph = not (role == "query" and self.looks_up_queries)
        if needs_graph and not hasattr(self, "model"):
            self.load_onnx_model()
        return self._open()

    # Results.

    def _inputs(self, inputs: Any) -> Iterable[Any]:
        return _inputs.texts(inputs)

    def _convert(self, role: str) -> Callable[[Any], Any] | None:
        """The step from a native result to one in the family's form; `None` where they are the same."""
        del role
        return None

    def _run(
        self,
        role: str,
        inputs: Any,
        batch_size: int,
        native: _embedkit.Model | None = None,
        detailed: bool = False,
    ) -> Iterator[Any]:
        """Results, lazily. This is no generator: each that results pass through takes time."""
        _inputs.check_batch_size(batch_size)
        ahead = _inputs.read_ahead(inputs, batch_size)
        inputs = self._inputs(inputs)
        model = native or self._loaded(role)
        terms = self.task == "sparse"
        results: Iterable[Any]
        if _inputs.are_few(inputs):
            results = model.embed_now(role, self.kind, inputs, detailed, terms)
        else:
            results = model.embed(role, self.kind, inputs, ahead, detailed, terms)
        convert = self._convert(role)
        if convert is None:
            return iter(results)
        if detailed:
            return ((convert(value), tokens, truncated) for value, tokens, truncated in results)
        return map(convert, results)

    def _array_stream(self, role: str, inputs: Any) -> _embedkit.Stream:
        return self._loaded(role).embed(role, self.kind, self._inputs(inputs))

    async def _arun(self, role: str, inputs: Any, batch_size: int) -> AsyncIterator[Any]:
        """Results for a task: those of many tasks share batches."""
        _inputs.check_batch_size(batch_size)
        convert = self._convert(role)
        model = await _aio.in_thread(self._loaded, role)
        async for result in _aio.results(
            model, role, self.kind, self._inputs(inputs), batch_size, self.task == "sparse"
        ):
            yield result if convert is None else convert(result)

    def _count(self, inputs: Any, batch_size: int, role: str = "raw", extension: bool = False) -> int:
        _inputs.check_batch_size(batch_size)
        return self._open().token_count(role, self.kind, self._inputs(inputs), extension)

    @property
    def embedding_size(self) -> int:
        """Dimension of the vectors."""
        if "dim" not in self._load and self.model_description is not None:
            dim: int | None = getattr(self.model_description, "dim", None)
            if dim is not None:
                return dim
        found = self._open().dim()
        if found is None:
            raise AttributeError(f"{self.model_name} has no vectors of one dimension")
        return found

    @classmethod
    def _list_supported_models(cls) -> list[Any]:
        return [_registry.description(row) for row in _registry.rows(cls.task)]
