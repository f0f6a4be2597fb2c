"""A plain loop around OpenVINO; the protocol is described in ../contestant/src/lib.rs.

Loaded once for a stream of batches and once for single queries, as OpenVINO's hints have it.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.removesuffix("\n") for line in file]


class Dense:
    def load(self, request):
        start = time.perf_counter()
        import openvino
        from tokenizers import Tokenizer

        folder = Path(request["model"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)
        self.tokenizer.enable_padding()
        core = openvino.Core()
        # Intermediate files, which `quantize.py` writes, or ONNX.
        file = folder / "model.xml"
        model = core.read_model(file if file.exists() else folder / "model.onnx")
        names = {name for port in model.inputs for name in port.names}
        self.names = [
            (name, part)
            for name, part in [
                ("input_ids", "ids"),
                ("attention_mask", "attention_mask"),
                ("token_type_ids", "type_ids"),
            ]
            if name in names
        ]

        def compiled(hint):
            # Without the precision it may compute in bf16, which is another model.
            settings = {
                "PERFORMANCE_HINT": hint,
                "INFERENCE_NUM_THREADS": request["threads"],
                "INFERENCE_PRECISION_HINT": "f32",
            }
            return core.compile_model(model, "CPU", settings)

        self.stream = openvino.AsyncInferQueue(compiled("THROUGHPUT"))
        self.single = compiled("LATENCY")
        return {"seconds": time.perf_counter() - start}

    def inputs(self, texts):
        """The tensors of a batch."""
        rows = self.tokenizer.encode_batch(texts)
        return {
            name: np.array([getattr(row, part) for row in rows], dtype=np.int64)
            for name, part in self.names
        }

    @staticmethod
    def pooled(hidden, mask):
        """Mean over the tokens, normalised."""
        weights = mask[:, :, None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed(self, request):
        texts = lines(request["inputs"])
        batch = request.get("batch") or 1
        results = {}

        def take(done, place):
            first, mask = place
            results[first] = self.pooled(done.get_output_tensor(0).data, mask)

        start = time.perf_counter()
        self.stream.set_callback(take)
        for first in range(0, len(texts), batch):
            inputs = self.inputs(texts[first : first + batch])
            self.stream.start_async(inputs, (first, inputs["attention_mask"]))
        self.stream.wait_all()
        vectors = np.concatenate([results[first] for first in sorted(results)])
        seconds = time.perf_counter() - start
        if request.get("vectors"):
            vectors.astype("<f4").tofile(request["vectors"])
        total = sum((i % 7 + 1) * float(v[i % len(v)]) for i, v in enumerate(vectors))
        return {"seconds": seconds, "count": len(texts), "checksum": total / max(len(texts), 1)}

    def query(self, request):
        def call(text):
            start = time.perf_counter()
            inputs = self.inputs([text])
            hidden = self.single.create_infer_request().infer(inputs)[0]
            self.pooled(hidden, inputs["attention_mask"])
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
