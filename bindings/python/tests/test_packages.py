"""Packages that call FastEmbed, on embedkit: each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins import MINILM

PREFIX = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, {tests!r})
import embedkit.compat
from stand_ins import open_stand_ins
embedkit.compat.install()
folder = tempfile.TemporaryDirectory()
open_stand_ins(Path(folder.name))
"""


def run(package: str, program: str, *needed: str) -> None:
    for module in (package, *needed):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if not MINILM.is_dir():
        pytest.skip("all-MiniLM-L6-v2 is not there: cargo xtask assets")
    tests = str(Path(__file__).parent)
    environment = {
        **os.environ,
        "ANONYMIZED_TELEMETRY": "False",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "MEM0_TELEMETRY": "False",
    }
    command = [sys.executable, "-c", PREFIX.format(tests=tests) + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip().endswith("done"), done.stdout


def test_qdrant_client() -> None:
    program = """
from qdrant_client import QdrantClient, models
client = QdrantClient(":memory:")
texts = ["the boat is rusty", "cats sleep a lot", "a ship in the harbour"]
dense, sparse = "BAAI/bge-small-en-v1.5", "Qdrant/bm25"
multi = "answerdotai/answerai-colbert-small-v1"
size = client.get_embedding_size(dense)
assert size == 384
client.create_collection(
    "texts",
    vectors_config={
        "dense": models.VectorParams(size=size, distance=models.Distance.COSINE),
        "multi": models.VectorParams(
            size=4,  # of the stand-in
            distance=models.Distance.DOT,
            multivector_config=models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            ),
        ),
    },
    sparse_vectors_config={"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
)
def document(text, model):
    return models.Document(text=text, model=model)
from fastembed import LateInteractionTextEmbedding
colbert = LateInteractionTextEmbedding(multi)
client.upsert("texts", [
    models.PointStruct(
        id=number,
        vector={
            "dense": document(text, dense),
            "sparse": document(text, sparse),
            "multi": next(iter(colbert.embed(text))).tolist(),
        },
        payload={"text": text},
    )
    for number, text in enumerate(texts)
])
for name, model in (("dense", dense), ("sparse", sparse)):
    hits = client.query_points("texts", query=document("rusty boats", model), using=name).points
    assert hits[0].id == 0, (name, hits)
vector = next(iter(colbert.query_embed("rusty boats"))).tolist()
assert client.query_points("texts", query=vector, using="multi").points
fused = client.query_points(
    "texts",
    prefetch=[
        models.Prefetch(query=document("rusty boats", model), using=name)
        for name, model in (("dense", dense), ("sparse", sparse))
    ],
    query=models.FusionQuery(fusion=models.Fusion.RRF),
).points
assert fused[0].id == 0
from fastembed.rerank.cross_encoder import TextCrossEncoder
scores = list(TextCrossEncoder("Xenova/ms-marco-MiniLM-L-6-v2").rerank("rusty boats", texts))
assert len(scores) == 3
print("done")
"""
    run("qdrant_client", program)


def test_langchain() -> None:
    program = """
from langchain_community.embeddings import FastEmbedEmbeddings
model = FastEmbedEmbeddings(model_name="BAAI/bge-small-en-v1.5")
documents = model.embed_documents(["the boat is rusty", "cats sleep"])
query = model.embed_query("rusty boats")
score = lambda document: sum(a * b for a, b in zip(query, document))
assert len(query) == 384 and score(documents[0]) > score(documents[1])
print("done")
"""
    run("langchain_community", program)


def test_llama_index() -> None:
    program = """
from llama_index.embeddings.fastembed import FastEmbedEmbedding
model = FastEmbedEmbedding(model_name="BAAI/bge-small-en-v1.5")
vectors = model.get_text_embedding_batch(["the boat is rusty", "cats sleep"])
assert len(vectors) == 2 and len(model.get_query_embedding("boats")) == 384
print("done")
"""
    run("llama_index", program, "llama_index.embeddings.fastembed")


def test_llama_index_sparse() -> None:
    program = """
from llama_index.sparse_embeddings.fastembed import FastEmbedSparseEmbedding
model = FastEmbedSparseEmbedding(model_name="Qdrant/bm25")
[terms] = model.get_text_embedding_batch(["the boat is rusty"])
assert len(terms) == 2
print("done")
"""
    run("llama_index", program, "llama_index.sparse_embeddings.fastembed")


def test_haystack() -> None:
    program = """
from haystack import Document
from haystack_integrations.components.embedders.fastembed import (
    FastembedDocumentEmbedder, FastembedSparseTextEmbedder, FastembedTextEmbedder,
)
from haystack_integrations.components.rankers.fastembed import FastembedRanker
embedder = FastembedDocumentEmbedder(model="BAAI/bge-small-en-v1.5", progress_bar=False)
text = FastembedTextEmbedder(model="BAAI/bge-small-en-v1.5", progress_bar=False)
sparse = FastembedSparseTextEmbedder(model="Qdrant/bm25", progress_bar=False)
ranker = FastembedRanker(model_name="Xenova/ms-marco-MiniLM-L-6-v2", top_k=1)
for component in (embedder, text, sparse, ranker):
    component.warm_up()
documents = [Document(content="the boat is rusty"), Document(content="cats sleep")]
assert len(embedder.run(documents)["documents"][0].embedding) == 384
assert len(text.run("boats")["embedding"]) == 384
assert sparse.run("rusty boats")["sparse_embedding"].indices
assert len(ranker.run("rusty boats", documents)["documents"]) == 1
print("done")
"""
    run("haystack_integrations", program, "haystack")


def test_chroma() -> None:
    program = """
from chromadb.utils.embedding_functions import (
    FastembedSparseEmbeddingFunction,
)
function = FastembedSparseEmbeddingFunction(model_name="Qdrant/bm25")
[terms] = function(["the boat is rusty"])
assert len(terms.indices) == 2
print("done")
"""
    run("chromadb", program)


def test_mem0() -> None:
    program = """
from mem0.configs.embeddings.base import BaseEmbedderConfig
from mem0.embeddings.fastembed import FastEmbedEmbedding
model = FastEmbedEmbedding(BaseEmbedderConfig(model="BAAI/bge-small-en-v1.5"))
assert len(model.embed("the boat is rusty")) == 384
print("done")
"""
    run("mem0", program)
