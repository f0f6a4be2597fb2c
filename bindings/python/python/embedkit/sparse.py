"""Sparse text models: a text to weighted terms."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from embedkit import _custom, _embedkit, _inputs, _registry
from embedkit._custom import CustomModels
from embedkit._encoder import Encoder
from embedkit._facade import Detailed
from embedkit.descriptions import ModelSource, SparseModelDescription
from embedkit.results import SparseEmbedding
from embedkit.types import Device, OnnxProvider

_MODELS = CustomModels("sparse", "SparseTextEmbedding")


class _SparseEncoder(Encoder):
    """Encoder of texts to weighted terms."""

    task = "sparse"
    _kinds: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _custom_row(cls, model_name: str) -> str | None:
        return _MODELS.row(model_name)

    @classmethod
    def _list_supported_models(cls) -> list[Any]:
        rows = _registry.rows("sparse")
        return [_registry.description(row) for row in rows if row["kind"] in cls._kinds]

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[SparseEmbedding]:
        """Embed texts as documents."""
        yield from self._run("raw", documents, batch_size)

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterable[SparseEmbedding]:
        """Embed queries."""
        yield from self._run("query", query, kwargs.get("batch_size", 256))

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterable[SparseEmbedding]:
        """Embed passages."""
        yield from self._run("document", texts, kwargs.get("batch_size", 256))

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024, **kwargs: Any) -> int:
        """Count the tokens of texts."""
        return self._count(texts, batch_size)


def _as_small(terms: SparseEmbedding) -> SparseEmbedding:
    """Indices and weights of 32 bits."""
    return SparseEmbedding(values=terms.values.astype(np.float32), indices=terms.indices.astype(np.int32))


def _as_set(indices: NDArray[Any]) -> SparseEmbedding:
    """Each index once, with a weight of 1, in the order of Python's sets."""
    indices = np.array(list(set(indices.tolist())), dtype=np.int64)
    return SparseEmbedding(values=np.ones_like(indices), indices=indices)


def _as_query(terms: SparseEmbedding) -> SparseEmbedding:
    return _as_set(terms.indices)


class SpladePP(_SparseEncoder):
    """SPLADE: a graph that weighs the words of its vocabulary."""

    _kinds = frozenset({"splade"})


class IfSplade(SpladePP):
    """SPLADE without inference for queries: they are looked up in a table."""

    looks_up_queries = True
    _kinds = frozenset({"if-splade"})


class Bm42(_SparseEncoder):
    """BM42: words weighted by the attention of a graph."""

    looks_up_queries = True
    _kinds = frozenset({"bm42"})

    def __init__(
        self,
        model_name: str,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        alpha: float = 0.5,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        lazy_load: bool = False,
        device_id: int | None = None,
        specific_model_path: str | None = None,
        **kwargs: Any,
    ):
        self.alpha = alpha
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
            family={"alpha": alpha},
            **kwargs,
        )


class MiniCOIL(_SparseEncoder):
    """MiniCOIL: known words with a few numbers for their meaning, others as in BM25."""

    _kinds = frozenset({"minicoil"})

    def __init__(
        self,
        model_name: str,
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Sequence[OnnxProvider] | None = None,
        k: float = 1.2,
        b: float = 0.75,
        avg_len: float = 150.0,
        cuda: bool | Device = Device.AUTO,
        device_ids: list[int] | None = None,
        lazy_load: bool = False,
        device_id: int | None = None,
        specific_model_path: str | None = None,
        **kwargs: Any,
    ):
        self.k, self.b, self.avg_len = k, b, avg_len
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
            family={"k": k, "b": b, "avg_len": avg_len},
            **kwargs,
        )

    def _convert(self, role: str) -> Callable[[SparseEmbedding], SparseEmbedding]:
        return _as_small


class Stemmer(Protocol):
    """A stemmer of one's own: from a lower-case word to its stem, or to nothing to leave it out."""

    def stem_word(self, word: str) -> str:
        """The stem of a word."""
        ...


@cache
def _punctuation() -> frozenset[str]:
    characters = map(chr, range(sys.maxunicode))
    return frozenset(c for c in characters if unicodedata.category(c).startswith("P"))


SUPPORTED_LANGUAGES = (
    "arabic",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
)
"""Languages with a stemmer."""


class Bm25(_SparseEncoder):
    """BM25: the share of a term's score that does not depend on the collection.

    Its lists of stopwords are built in, so that nothing is fetched; those of a folder go before them. Steps
    that are replaced (`stopwords`, `punctuation`, `stemmer`, or a method of a subclass) run in Python.

    Args:
        model_name: `Qdrant/bm25`.
        cache_dir: Has no effect: no files are needed.
        k: How fast repeated terms stop to count.
        b: How much long texts are marked down.
        avg_len: Mean length of the texts, in terms.
        language: Language of stemmer and stopwords.
        token_max_length: The longest word that counts, in characters.
        disable_stemmer: Neither stem nor leave out the language's stopwords.
        specific_model_path: Folder with lists of stopwords, `<language>.txt`.
        stemmer: A stemmer in place of Snowball's.
        stopwords: Words to leave out in place of the language's.
        **kwargs: Options of all models, of which BM25 needs none.

    Raises:
        ValueError: The language has no stemmer, or one is given and switched off.
    """

    looks_up_queries = True
    _kinds = frozenset({"bm25"})

    def __init__(
        self,
        model_name: str,
        cache_dir: str | None = None,
        k: float = 1.2,
        b: float = 0.75,
        avg_len: float = 256.0,
        language: str = "english",
        token_max_length: int = 40,
        disable_stemmer: bool = False,
        specific_model_path: str | None = None,
        stemmer: Stemmer | None = None,
        stopwords: set[str] | None = None,
        **kwargs: Any,
    ):
        if disable_stemmer and stemmer is not None:
            raise ValueError("stemmer cannot be supplied with disable_stemmer=True")
        if not disable_stemmer and stemmer is None and language not in SUPPORTED_LANGUAGES:
            raise ValueError(f"{language} language is not supported")
        self.k, self.b, self.avg_len = k, b, avg_len
        self.language = language
        self.token_max_length = token_max_length
        self.disable_stemmer = disable_stemmer
        self._custom_stemmer = stemmer
        self._custom_stopwords = None if stopwords is None else {word.lower() for word in stopwords}
        family = {
            "k": k,
            "b": b,
            "avg_len": avg_len,
            "language": language if language in SUPPORTED_LANGUAGES else None,
            "token_max_length": token_max_length,
            "disable_stemmer": disable_stemmer or stemmer is not None,
            "stopwords": None if stopwords is None else sorted(self._custom_stopwords or ()),
        }
        # The facade passes options of sessions on, which BM25 has none of.
        for option in ("providers", "cuda", "device_ids", "device_id", "lazy_load"):
            kwargs.pop(option, None)
        threads = kwargs.pop("threads", None)
        self._setup(
            model_name,
            cache_dir=cache_dir,
            threads=threads,
            cuda=False,
            lazy_load=True,
            specific_model_path=specific_model_path,
            family=family,
            **kwargs,
        )
        self._steps = _embedkit.Bm25()
        self.stopwords: set[str] = self._own_stopwords()
        self.punctuation: set[str] = set(_punctuation())
        self.stemmer: Stemmer | None = stemmer
        if stemmer is None and not disable_stemmer:
            self.stemmer = _embedkit.Stemmer(language)
        self._standard = (self.stemmer, frozenset(self.stopwords), _punctuation())

    def _find_files(self) -> Path | None:
        if self._specific_model_path is not None:
            return Path(self._specific_model_path)
        return Path(self.cache_dir) if self.cache_dir is not None else Path()

    def _files_to_open(self) -> str | None:
        return self._specific_model_path

    def _loaded(self, role: str = "raw") -> _embedkit.Model:
        return self._open()

    def _convert(self, role: str) -> Callable[[SparseEmbedding], SparseEmbedding] | None:
        return _as_query if role == "query" else None

    def _own_stopwords(self) -> set[str]:
        if self._custom_stopwords is not None:
            return self._custom_stopwords
        if self.disable_stemmer or self.language not in SUPPORTED_LANGUAGES:
            return set()
        if self._specific_model_path is None:
            return set(_embedkit.Bm25.stopwords(self.language))
        path = Path(self._specific_model_path) / f"{self.language}.txt"
        return set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()

    # The steps, for those who replace one of them.

    def _is_standard(self) -> bool:
        """True while no step was replaced, so that the native module does them all."""
        stemmer, stopwords, punctuation = self._standard
        return (
            self._custom_stemmer is None
            and self.stemmer is stemmer
            and self.stopwords == stopwords
            and self.punctuation == punctuation
            and type(self)._stem is Bm25._stem
            and type(self)._term_frequency is Bm25._term_frequency
        )

    def _run(
        self,
        role: str,
        inputs: Any,
        batch_size: int,
        native: _embedkit.Model | None = None,
        detailed: bool = False,
    ) -> Iterator[Any]:
        if self._is_standard():
            return super()._run(role, inputs, batch_size, native, detailed)
        return self._run_steps(role, inputs, batch_size, detailed)

    def _run_steps(self, role: str, inputs: Any, batch_size: int, detailed: bool) -> Iterator[Any]:
        _inputs.check_batch_size(batch_size)
        for text in self._inputs(inputs):
            tokens = self._steps.tokens(text)
            stems = self._stem(tokens)
            if role == "query":
                value = _as_set(np.array([self.compute_token_id(stem) for stem in stems], np.int64))
            else:
                value = SparseEmbedding.from_dict(self._term_frequency(stems))
            yield (value, len(tokens), False) if detailed else value

    def raw_embed(self, documents: list[str]) -> list[SparseEmbedding]:
        """Embed documents at once."""
        return list(self._run("raw", documents, max(1, len(documents))))

    def _stem(self, tokens: list[str]) -> list[str]:
        stems = []
        for token in tokens:
            lower = token.lower()
            if token in self.punctuation or lower in self.stopwords or len(token) > self.token_max_length:
                continue
            stem = lower if self.stemmer is None else self.stemmer.stem_word(lower)
            if stem:
                stems.append(stem)
        return stems

    def _term_frequency(self, tokens: list[str]) -> dict[int, float]:
        counts: dict[str, int] = {}
        for token in tokens:
            counts[token] = counts.get(token, 0) + 1
        length = 1 - self.b + self.b * len(tokens) / self.avg_len
        return {
            self.compute_token_id(token): count * (self.k + 1) / (count + self.k * length)
            for token, count in counts.items()
        }

    @classmethod
    def compute_token_id(cls, token: str) -> int:
        """Index of a stem."""
        return _embedkit.Bm25.term_index(token)


_CLASSES: dict[str, type[Encoder]] = {
    "splade": SpladePP,
    "if-splade": IfSplade,
    "bm42": Bm42,
    "bm25": Bm25,
    "minicoil": MiniCOIL,
}


class SparseTextEmbedding(Detailed):
    """A model that turns a text into weighted terms.

    >>> model = SparseTextEmbedding("Qdrant/bm25")
    >>> [terms] = model.embed("the boat is rusty")
    >>> len(terms.indices)
    2

    Args:
        model_name: A built-in id (`list_supported_models`), a repository of the hub, or a folder.
        cache_dir: As in `TextEmbedding`, like all the others.
        threads: Threads of the session.
        providers: Execution providers.
        cuda: Use of CUDA.
        device_ids: Numbers of the CUDA devices.
        lazy_load: Load the graph at the first input that needs it.
        **kwargs: Options of all models, and those of the kind: `k`, `b`, `avg_len`, `language`,
            `token_max_length`, `disable_stemmer`, `stemmer`, `stopwords` (BM25), `k`, `b`, `avg_len`
            (MiniCOIL), `alpha` (BM42).
    """

    _task = "sparse"
    EMBEDDINGS_REGISTRY: ClassVar[list[type[Encoder]]] = list(_CLASSES.values())

    @classmethod
    def _custom_models(cls) -> CustomModels:
        return _MODELS

    @classmethod
    def _class_of(cls, row: dict[str, Any]) -> type[Encoder]:
        return _CLASSES[row.get("kind", "splade")]

    @classmethod
    def _encoder_class(cls, model_name: str) -> type[Encoder]:
        row = _MODELS.row(model_name)
        if row is not None:
            return cls._class_of(json.loads(row))
        return super()._encoder_class(model_name)

    @classmethod
    def add_custom_model(
        cls,
        model: str,
        sources: ModelSource,
        kind: str = "splade",
        requires_idf: bool = False,
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
            kind: `splade`, `if-splade`, `bm42` or `minicoil`.
            requires_idf: True if weights have to be multiplied by the inverse document frequency.
            model_file: The graph.
            description: In words.
            license: Its licence.
            size_in_gb: Size of its files.
            additional_files: Further files.
            **facts: Fields of a row of the project's `models.toml`, such as `sum` or `idf_file`.
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
            {"kind": kind, "requires_idf": requires_idf, **facts},
            SparseModelDescription,
            requires_idf=requires_idf or None,
            vocab_size=facts.get("vocab_size"),
        )

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterable[SparseEmbedding]:
        """Embed texts as documents.

        Args:
            documents: One text, or an iterable of texts. A generator is read while results are taken.
            batch_size: The most texts that are read ahead of a generator.
            parallel: Has no effect: all cores are used by one process.
            **kwargs: Have no effect.

        Yields:
            Weighted terms for each text, in order.
        """
        results: Iterable[SparseEmbedding] = self.model.embed(documents, batch_size, parallel, **kwargs)
        return results

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterable[SparseEmbedding]:
        """Embed queries.

        Yields:
            Weighted terms for each query, in order.
        """
        results: Iterable[SparseEmbedding] = self.model.query_embed(query, **kwargs)
        return results

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterable[SparseEmbedding]:
        """Embed passages, as `embed` does.

        Yields:
            Weighted terms for each passage, in order.
        """
        results: Iterable[SparseEmbedding] = self.model.passage_embed(texts, **kwargs)
        return results

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024, **kwargs: Any) -> int:
        """Count the tokens of texts; of BM25 all words. Loads no graph."""
        count: int = self.model.token_count(texts, batch_size=batch_size, **kwargs)
        return count
