"""FastEmbed as a contestant; the protocol is described in ../contestant/src/lib.rs."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from fastembed import TextEmbedding

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.removesuffix("\n") for line in file]


class Contestant:
    def load(self, request):
        start = time.perf_counter()
        self.model = TextEmbedding(
            MODEL, specific_model_path=request["model"], threads=request["threads"], cuda=False
        )
        return {"seconds": time.perf_counter() - start}

    def embed(self, request):
        texts = lines(request["texts"])
        # Without a size, FastEmbed's own default.
        batch = {"batch_size": request["batch"]} if request.get("batch") else {}
        file = open(request["vectors"], "wb") if request.get("vectors") else None
        count, total = 0, 0.0
        start = time.perf_counter()
        for vector in self.model.embed(texts, **batch):
            total += (count % 7 + 1) * float(vector[count % len(vector)])
            count += 1
            if file:
                file.write(vector.astype("<f4").tobytes())
        seconds = time.perf_counter() - start
        if file:
            file.close()
        return {"seconds": seconds, "count": count, "checksum": total / max(count, 1)}

    def query(self, request):
        def call(text):
            start = time.perf_counter()
            list(self.model.query_embed(text))
            return time.perf_counter() - start

        texts = lines(request["texts"])
        start = time.perf_counter()
        if request["callers"] == 1:
            seconds = [call(text) for text in texts]
        else:
            with ThreadPoolExecutor(request["callers"]) as callers:
                seconds = list(callers.map(call, texts))
        return {"wall": time.perf_counter() - start, "seconds": seconds}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    contestant = Contestant()
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
