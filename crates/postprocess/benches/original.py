"""The original's side of the MUVERA benchmark: a JSON object a line in, one in answer.

{"op": "load", "vectors": FILE, "rows": 128, "dim": 128, "k_sim": 5, "dim_proj": 16, "r_reps": 20}
{"op": "encode", "form": "document", "inputs": [0, 1, 2]}     answers {"seconds": [...]}, one per input
{"op": "save", "form": "document", "inputs": [0], "to": FILE} writes little-endian f64

FILE of the first holds little-endian f32: inputs one after another, each `rows` times `dim`.
The number of threads is up to the environment, as the matrix library reads it when it is loaded.
"""

import json
import sys
from time import perf_counter

import numpy as np
from fastembed.postprocess.muvera import Muvera

inputs, encoder = None, None
for line in sys.stdin:
    ask = json.loads(line)
    if ask["op"] == "load":
        flat = np.fromfile(ask["vectors"], dtype="<f4")
        inputs = flat.reshape(-1, ask["rows"], ask["dim"])
        sizes = {name: ask[name] for name in ("dim", "k_sim", "dim_proj", "r_reps")}
        encoder = Muvera(**sizes)
        answer = {"count": len(inputs)}
    else:
        encode = {"document": encoder.process_document, "query": encoder.process_query}[ask["form"]]
        seconds, encodings = [], []
        for place in ask["inputs"]:
            start = perf_counter()
            encoding = encode(inputs[place])
            seconds.append(perf_counter() - start)
            encodings.append(encoding)
        if ask["op"] == "save":
            np.stack(encodings).astype("<f8").tofile(ask["to"])
        answer = {"seconds": seconds}
    print(json.dumps(answer), flush=True)
