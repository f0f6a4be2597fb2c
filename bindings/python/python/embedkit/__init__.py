"""Embeddings for retrieval and reranking on ONNX Runtime.

FastEmbed's classes with FastEmbed's numbers, in Rust:

>>> from embedkit import TextEmbedding
>>> model = TextEmbedding()  # doctest: +SKIP
>>> vectors = list(model.embed(["the boat is rusty", "cats sleep a lot"]))  # doctest: +SKIP

`Model` opens a model of any family, by a built-in id, a repository of the hub, or a folder.
`embedkit.compat.install()` makes `import fastembed` mean this package, for libraries that call it.
"""

from embedkit import errors, scoring
from embedkit._embedkit import __version__
from embedkit.descriptions import ModelSource, PoolingType
from embedkit.image import ImageEmbedding
from embedkit.late_interaction import LateInteractionTextEmbedding
from embedkit.late_interaction_multimodal import LateInteractionMultimodalEmbedding
from embedkit.model import Model
from embedkit.postprocess import Muvera
from embedkit.rerank import TextCrossEncoder
from embedkit.results import Embedded, SparseEmbedding
from embedkit.sparse import SparseTextEmbedding
from embedkit.text import TextEmbedding
from embedkit.types import Device

__all__ = [
    "Device",
    "Embedded",
    "ImageEmbedding",
    "LateInteractionMultimodalEmbedding",
    "LateInteractionTextEmbedding",
    "Model",
    "ModelSource",
    "Muvera",
    "PoolingType",
    "SparseEmbedding",
    "SparseTextEmbedding",
    "TextCrossEncoder",
    "TextEmbedding",
    "__version__",
    "errors",
    "scoring",
]
