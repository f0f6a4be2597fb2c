"""FastEmbed as a contestant; the protocol is described in ../contestant/src/lib.rs.

With the argument `embedkit` it is our Python package, whose names are the same.
"""

import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

LIBRARY = sys.argv[1] if len(sys.argv) > 1 else "fastembed"

# Only what a kind needs is imported, when it is loaded: a start measures what a program would.


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.removesuffix("\n") for line in file]


def fold(vector):
    """As the function of that name in Rust."""
    indices = np.asarray(vector.indices, dtype=np.uint64)
    groups = (indices * np.uint64(2_654_435_761) % np.uint64(1 << 32)) >> np.uint64(26)
    values = np.asarray(vector.values, dtype=np.float32).astype(np.float64)
    return np.bincount(groups.astype(np.int64), weights=values, minlength=64)


class Embedding:
    """A kind of model: inputs in, one row of numbers for each out."""

    def load(self, request):
        start = time.perf_counter()
        self.model = self.open(request)
        return {"seconds": time.perf_counter() - start}

    def open(self, request):
        raise NotImplementedError

    def run(self, inputs, **batch):
        return self.model.embed(inputs, **batch)

    def read(self, path):
        return lines(path)

    def numbers(self, result):
        return result.reshape(-1)

    def embed(self, request):
        inputs = self.read(request["inputs"])
        # Without a size, FastEmbed's own default.
        batch = {"batch_size": request["batch"]} if request.get("batch") else {}
        start = time.perf_counter()
        results = list(self.run(inputs, **batch))
        seconds = time.perf_counter() - start
        file = open(request["vectors"], "wb") if request.get("vectors") else None
        count, total = 0, 0.0
        for result in results:
            numbers = self.numbers(result)
            total += (count % 7 + 1) * float(numbers[count % len(numbers)])
            count += 1
            if file:
                file.write(numbers.astype("<f4").tobytes())
        if file:
            file.close()
        return {"seconds": seconds, "count": count, "checksum": total / max(count, 1)}

    def query(self, request):
        def call(texts):
            start = time.perf_counter()
            list(self.model.query_embed(texts))
            return time.perf_counter() - start

        texts = lines(request["inputs"])
        size = request.get("texts", 1)
        texts = [texts[i : i + size] for i in range(0, len(texts), size)]
        start = time.perf_counter()
        if request["callers"] == 1:
            seconds = [call(text) for text in texts]
        else:
            with ThreadPoolExecutor(request["callers"]) as callers:
                seconds = list(callers.map(call, texts))
        return {"wall": time.perf_counter() - start, "seconds": seconds}


def library():
    return importlib.import_module(LIBRARY)


def options(request):
    return {"specific_model_path": request["model"], "threads": request["threads"], "cuda": False}


class Dense(Embedding):
    def open(self, request):
        TextEmbedding = library().TextEmbedding
        return TextEmbedding("sentence-transformers/all-MiniLM-L6-v2", **options(request))


class Sparse(Embedding):
    NAMES = {
        "bm25": "Qdrant/bm25",
        "splade": "prithivida/Splade_PP_en_v1",
        "bm42": "Qdrant/bm42-all-minilm-l6-v2-attentions",
    }

    def open(self, request):
        SparseTextEmbedding = library().SparseTextEmbedding
        name = self.NAMES[request["kind"]]
        if request["kind"] != "bm25":
            return SparseTextEmbedding(name, **options(request))
        # Words are counted in processes of their own, or in this one.
        self.parallel = (request["options"] or {}).get("processes")
        return SparseTextEmbedding(name, specific_model_path=request["model"])

    def run(self, inputs, **batch):
        if getattr(self, "parallel", None):
            batch["parallel"] = self.parallel
        return self.model.embed(inputs, **batch)

    def numbers(self, result):
        return fold(result)


class Late(Embedding):
    def open(self, request):
        LateInteractionTextEmbedding = library().LateInteractionTextEmbedding
        return LateInteractionTextEmbedding("colbert-ir/colbertv2.0", **options(request))


class Rerank(Embedding):
    def open(self, request):
        from fastembed.common.model_description import ModelSource
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        source = ModelSource(hf="bench/reranker")
        TextCrossEncoder.add_custom_model("bench/reranker", source, model_file="model.onnx")
        return TextCrossEncoder("bench/reranker", **options(request))

    def read(self, path):
        return [tuple(line.split("\t")) for line in lines(path)]

    def run(self, inputs, **batch):
        return self.model.rerank_pairs(inputs, **batch)

    def numbers(self, result):
        return np.array([result])


class Image(Embedding):
    def open(self, request):
        ImageEmbedding = library().ImageEmbedding
        return ImageEmbedding("Qdrant/resnet50-onnx", **options(request))

    def preprocess(self, request):
        """Each image from its pixels to the tensor, in turn."""
        from PIL import Image as Pillow

        seconds, tensors = [], []
        for path in lines(request["inputs"]):
            with Pillow.open(path) as opened:
                opened.load()
                image = opened.copy()
            start = time.perf_counter()
            tensor = np.array(self.model.model.processor([image]))
            seconds.append(time.perf_counter() - start)
            tensors.append(tensor)
        if request.get("to"):
            with open(request["to"], "wb") as file:
                for tensor in tensors:
                    file.write(tensor.astype("<f4").tobytes())
        return {"seconds": seconds}


class Muvera:
    """Vectors to one; the matrix library has as many threads as the environment says."""

    def load(self, request):
        from fastembed.postprocess.muvera import Muvera as Encoder

        sizes = request["options"]
        flat = np.fromfile(sizes["vectors"], dtype="<f4")
        self.inputs = flat.reshape(-1, sizes["rows"], sizes["dim"])
        encoder = Encoder(dim=sizes["dim"], k_sim=sizes["k_sim"], dim_proj=sizes["dim_proj"])
        query = sizes["form"] == "query"
        self.process = encoder.process_query if query else encoder.process_document
        return {"seconds": 0.0}

    def encode(self, request):
        start = time.perf_counter()
        for one in self.inputs:
            self.process(one)
        return {"seconds": time.perf_counter() - start}

    def save(self, request):
        encodings = [self.process(one) for one in self.inputs[: request["count"]]]
        np.stack(encodings).astype("<f8").tofile(Path(request["to"]))
        return {}


class MaxSim:
    """What a caller of FastEmbed writes, which has no scoring: one product for each document."""

    def load(self, request):
        corpus = request["options"]
        flat = np.fromfile(corpus["vectors"], dtype="<f4").reshape(-1, corpus["dim"])
        self.query = flat[: corpus["query"]]
        few = flat[corpus["query"] :].reshape(-1, corpus["rows"], corpus["dim"])
        self.documents = [few[i % len(few)].copy() for i in range(corpus["documents"])]
        return {"seconds": 0.0}

    def score(self, request):
        start = time.perf_counter()
        scores = [float((one @ self.query.T).max(axis=0).sum()) for one in self.documents]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "count": len(scores), "sum": sum(scores)}


KINDS = {
    "dense": Dense,
    "bm25": Sparse,
    "splade": Sparse,
    "bm42": Sparse,
    "late": Late,
    "rerank": Rerank,
    "image": Image,
    "muvera": Muvera,
    "maxsim": MaxSim,
}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    contestant = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["op"] == "load":
                contestant = KINDS[request["kind"]]()
            operations = ("load", "embed", "query", "preprocess", "encode", "save", "score")
            if request["op"] not in operations:
                raise ValueError(f"there is no operation {request['op']}")
            answer = getattr(contestant, request["op"])(request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":  # its processes for BM25 read this file again
    main()
