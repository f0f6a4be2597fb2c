"""sentence-transformers on ONNX Runtime; the protocol is described in ../contestant/src/lib.rs."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.removesuffix("\n") for line in file]


class Dense:
    def load(self, request):
        start = time.perf_counter()
        import onnxruntime
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Normalize, Pooling, Transformer

        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = request["threads"]
        transformer = Transformer(
            request["model"],
            max_seq_length=512,
            backend="onnx",
            model_args={
                "file_name": "model.onnx",
                "provider": "CPUExecutionProvider",
                "session_options": session,
            },
        )
        pooling = Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
        self.model = SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")
        return {"seconds": time.perf_counter() - start}

    def embed(self, request):
        texts = lines(request["inputs"])
        # Without a size, its own default.
        batch = {"batch_size": request["batch"]} if request.get("batch") else {}
        start = time.perf_counter()
        vectors = self.model.encode(texts, show_progress_bar=False, **batch)
        seconds = time.perf_counter() - start
        if request.get("vectors"):
            vectors.astype("<f4").tofile(request["vectors"])
        weighed = ((i % 7 + 1) * float(v[i % len(v)]) for i, v in enumerate(vectors))
        total = sum(weighed)
        return {"seconds": seconds, "count": len(texts), "checksum": total / max(len(texts), 1)}

    def query(self, request):
        def call(text):
            start = time.perf_counter()
            self.model.encode([text], show_progress_bar=False)
            return time.perf_counter() - start

        texts = lines(request["inputs"])
        start = time.perf_counter()
        if request["callers"] == 1:
            seconds = [call(text) for text in texts]
        else:
            with ThreadPoolExecutor(request["callers"]) as callers:
                seconds = list(callers.map(call, texts))
        return {"wall": time.perf_counter() - start, "seconds": seconds}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    contestant = Dense()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["op"] not in ("load", "embed", "query"):
                raise ValueError(f"there is no operation {request['op']}")
            answer = getattr(contestant, request["op"])(request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


main()
