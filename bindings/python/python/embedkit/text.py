"""Dense text models: a text to one vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from embedkit import _custom
from embedkit._custom import CustomModel, CustomModels
from embedkit._encoder import Encoder
from embedkit._facade import Dense
from embedkit._pooling import OnnxOutputContext, last_token_pooling, mean_pooling, normalize
from embedkit.descriptions import DenseModelDescription, ModelSource, PoolingType
from embedkit.types import Device, NumpyArray, OnnxProvider

DEFAULT_MODEL = "BAAI/bge-small-en-v1.5"


class OnnxTextEmbedding(Encoder):
    """Encoder of texts to one vector."""

    task = "text-dense"

    def __init__(
        self,
        model_name: str = DEFAULT_MODEL,
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

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        return _DenseModels().row(model_name)

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed texts as they are."""
        yield from self._run("raw", documents, batch_size)

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed queries."""
        yield from self._run("query", query, kwargs.get("batch_size", 256))

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed passages."""
        yield from self._run("document", texts, kwargs.get("batch_size", 256))

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024, **kwargs: Any) -> int:
        """Count the tokens of texts."""
        return self._count(texts, batch_size)


class StaticTextEmbedding(OnnxTextEmbedding):
    """Encoder that looks vectors up in a table and runs no graph."""

    def __init__(self, *args: Any, mmap: bool = False, **kwargs: Any):
        self.mmap = mmap  # the table is always mapped
        super().__init__(*args, **kwargs)


class LastTokenNormalizedEmbedding(OnnxTextEmbedding):
    """Encoder that takes the vector of the last token."""

    def load_onnx_model(self) -> None:
        """Load the graph.

        Raises:
            RuntimeError: ONNX Runtime is too old for the eight-bit weights of the graph.
        """
        try:
            super().load_onnx_model()
        except Exception as error:
            if "nbits" not in str(error).lower():
                raise
            raise RuntimeError(
                f"Could not load {self.model_name}: its int8 weights need onnxruntime>=1.23. "
                "Upgrade onnxruntime or use a model that is not quantized."
            ) from error


class Task(int, Enum):
    """Tasks of Jina v3."""

    RETRIEVAL_QUERY = 0
    RETRIEVAL_PASSAGE = 1
    SEPARATION = 2
    CLASSIFICATION = 3
    TEXT_MATCHING = 4


class JinaEmbeddingV3(OnnxTextEmbedding):
    """Encoder whose graph takes a task."""

    PASSAGE_TASK = Task.RETRIEVAL_PASSAGE
    QUERY_TASK = Task.RETRIEVAL_QUERY

    def __init__(self, *args: Any, task_id: int | None = None, **kwargs: Any):
        self.default_task_id: int = self.PASSAGE_TASK if task_id is None else task_id
        super().__init__(*args, **kwargs)

    @classmethod
    def _list_supported_models(cls) -> list[Any]:
        return [model for model in super()._list_supported_models() if model.tasks]

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        task_id: int | None = None,
        **kwargs: Any,
    ) -> Iterable[NumpyArray]:
        """Embed texts for a task."""
        native = self._with_task(self.default_task_id if task_id is None else task_id)
        yield from self._run("raw", documents, batch_size, native)

    def _with_task(self, task_id: int) -> Any:
        """The native model for a task; all share the graph."""
        description = self.model_description
        tasks = getattr(description, "tasks", None) or {}
        names = [name for name, number in tasks.items() if number == int(task_id)]
        if not names:
            raise ValueError(f"{self.model_name} has no task {int(task_id)}, only {tasks}")
        native = self._loaded()
        if names[0] not in self._tasks:
            self._tasks[names[0]] = native.with_task(names[0])
        return self._tasks[names[0]]


@dataclass(frozen=True)
class PostprocessingConfig:
    """Steps behind the graph of a model that was added."""

    pooling: PoolingType
    normalization: bool
    output_name: str | None = None


_POOLINGS = {
    PoolingType.CLS: "cls",
    PoolingType.MEAN: "mean",
    PoolingType.LAST_TOKEN: "last-token",
    PoolingType.DISABLED: "none",
}


class CustomTextEmbedding(OnnxTextEmbedding):
    """Encoder of a model that the program has added. Both tables may be changed."""

    SUPPORTED_MODELS: ClassVar[list[DenseModelDescription]] = []
    POSTPROCESSING_MAPPING: ClassVar[dict[str, PostprocessingConfig]] = {}

    def __init__(self, model_name: str, *args: Any, **kwargs: Any):
        super().__init__(model_name, *args, **kwargs)
        found = _DenseModels().find(model_name)
        if found is None:
            raise ValueError(f"Model {model_name} is not supported in {type(self).__name__}.")
        config = self.POSTPROCESSING_MAPPING[found.description.model]
        self._pooling = config.pooling
        self._normalization = config.normalization

    @classmethod
    def _list_supported_models(cls) -> list[Any]:
        return list(cls.SUPPORTED_MODELS)

    @classmethod
    def add_model(
        cls,
        model_description: DenseModelDescription,
        pooling: PoolingType,
        normalization: bool,
        output_name: str | None = None,
    ) -> None:
        """Add a model."""
        cls.SUPPORTED_MODELS.append(model_description)
        cls.POSTPROCESSING_MAPPING[model_description.model] = PostprocessingConfig(
            pooling=pooling, normalization=normalization, output_name=output_name
        )

    def _post_process_onnx_output(self, output: OnnxOutputContext, **kwargs: Any) -> Iterable[NDArray[Any]]:
        vectors = self._pool(output.model_output, output.attention_mask)
        if self._normalization:
            vectors = normalize(vectors)
        if np.issubdtype(output.model_output.dtype, np.floating):
            return vectors.astype(output.model_output.dtype, copy=False)
        return vectors

    def _pool(self, vectors: NDArray[Any], attention_mask: NDArray[np.int64] | None) -> NDArray[Any]:
        if self._pooling == PoolingType.CLS:
            return vectors[:, 0]
        if self._pooling == PoolingType.DISABLED:
            if vectors.ndim != 2:
                raise ValueError(
                    f"{PoolingType.DISABLED} pooling expects an output of shape (batch_size, dim), "
                    f"got {vectors.shape}"
                )
            return vectors
        if attention_mask is None:
            raise ValueError(f"attention_mask must be provided for {self._pooling} pooling")
        if self._pooling == PoolingType.MEAN:
            return mean_pooling(vectors, attention_mask)
        return last_token_pooling(vectors, attention_mask)


class _DenseModels(CustomModels):
    """Models that were added, read from the two tables of the class, which others change."""

    def __init__(self) -> None:
        super().__init__("text-dense", "TextEmbedding")
        for description in CustomTextEmbedding.SUPPORTED_MODELS:
            config = CustomTextEmbedding.POSTPROCESSING_MAPPING.get(description.model)
            if config is not None:
                self.models.append(CustomModel(description, _dense_row(description, config)))

    def add(self, model: CustomModel) -> None:
        description = model.description
        if not isinstance(description, DenseModelDescription):
            raise TypeError(f"{description.model} is not described as a dense model")
        pooling = next(name for name, row in _POOLINGS.items() if row == model.row["pooling"])
        CustomTextEmbedding.add_model(description, pooling, model.row["normalize"], model.row.get("output"))


def _dense_row(description: DenseModelDescription, config: PostprocessingConfig) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "dim": description.dim,
        "pooling": _POOLINGS[config.pooling],
        "normalize": config.normalization,
    }
    if config.output_name is not None:
        facts["output"] = config.output_name
    return _custom.row(
        "text-dense",
        description.model,
        description.sources,
        description.model_file,
        list(description.additional_files),
        facts,
    )


class TextEmbedding(Dense):
    """A model that turns a text into one vector.

    >>> model = TextEmbedding("BAAI/bge-small-en-v1.5")  # doctest: +SKIP
    >>> [vector.shape for vector in model.embed(["a", "b"])]  # doctest: +SKIP
    [(384,), (384,)]

    Args:
        model_name: A built-in id (`list_supported_models`), a repository of the hub, or a folder.
        cache_dir: Folder that files are kept in; by default EMBEDKIT_CACHE, FASTEMBED_CACHE_PATH, or the
            user's cache folder.
        threads: Threads of the session; all cores without a number.
        providers: Execution providers of ONNX Runtime, the preferred one first.
        cuda: `True` for CUDA, `False` for the CPU; by default CUDA where the library and a device have it.
        device_ids: Numbers of the CUDA devices.
        lazy_load: Load the graph at the first input instead of now.
        **kwargs: `local_files_only`, `specific_model_path` (a folder with the files),
            `enable_cpu_mem_arena`, `task_id` (Jina v3), and embedkit's own: `prompts` (`"model"`, or texts
            by `"query"` and `"document"`), `max_tokens`, `dim` (of Matryoshka vectors), `variant`,
            `precision` (`"f32"`, `"bf16"`, `"int8"` or `"auto-fast"`), `replicas`, `profile`, `timeout`,
            `batch_rows`, `batch_tokens`, `onnxruntime`, `allow_batch_dependence`, `show_progress`. Others
            are ignored, with one warning.

    Raises:
        ValueError: The model is not supported, its files cannot be had, or an option cannot be followed.
    """

    _task = "text-dense"
    EMBEDDINGS_REGISTRY: ClassVar[list[type[OnnxTextEmbedding]]] = [
        OnnxTextEmbedding,
        LastTokenNormalizedEmbedding,
        JinaEmbeddingV3,
        StaticTextEmbedding,
        CustomTextEmbedding,
    ]

    def __init__(
        self,
        model_name: str = DEFAULT_MODEL,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        lazy_load: bool = False,
        **kwargs: Any,
    ):
        self._setup(model_name, cache_dir, threads, providers, cuda, device_ids, lazy_load, kwargs)

    @classmethod
    def _custom_models(cls) -> CustomModels:
        return _DenseModels()

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        if row.get("tasks"):
            return JinaEmbeddingV3
        if row.get("encoder") == "static":
            return StaticTextEmbedding
        if row.get("pooling") == "last-token":
            return LastTokenNormalizedEmbedding
        return OnnxTextEmbedding

    @classmethod
    def _class_of_custom(cls) -> type[Encoder]:
        return CustomTextEmbedding

    @classmethod
    def add_custom_model(
        cls,
        model: str,
        pooling: PoolingType,
        normalization: bool,
        sources: ModelSource,
        dim: int,
        model_file: str = "onnx/model.onnx",
        description: str = "",
        license: str = "",
        size_in_gb: float = 0.0,
        additional_files: list[str] | None = None,
        output_name: str | None = None,
    ) -> None:
        """Add a model of your own, which is then opened by its name.

        Raises:
            ValueError: The name is taken, or the description cannot be.
        """
        facts: dict[str, Any] = {
            "dim": dim,
            "pooling": _POOLINGS[PoolingType(pooling)],
            "normalize": normalization,
        }
        if output_name is not None:
            facts["output"] = output_name
        _custom.add_model(
            _DenseModels(),
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
        """Embed texts as they are.

        Args:
            documents: One text, or an iterable of texts. A generator is read while results are taken.
            batch_size: The most texts that are read ahead of a generator. Batches are formed by length
                whatever it is, so that neither results nor speed depend on it.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: `task_id`, for models with tasks.

        Yields:
            A float32 array of shape `(dim,)` for each text, in order.
        """
        yield from self.model.embed(documents, batch_size, parallel, **kwargs)

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed queries: with the prompt for queries where prompts are switched on.

        Yields:
            A float32 array of shape `(dim,)` for each query, in order.
        """
        yield from self.model.query_embed(query, **kwargs)

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterable[NumpyArray]:
        """Embed passages: with the prompt for passages where prompts are switched on.

        Yields:
            A float32 array of shape `(dim,)` for each passage, in order.
        """
        yield from self.model.passage_embed(texts, **kwargs)

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024, **kwargs: Any) -> int:
        """Count the tokens of texts, special tokens included, after truncation. Loads no graph."""
        count: int = self.model.token_count(texts, batch_size=batch_size, **kwargs)
        return count
