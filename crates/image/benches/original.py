"""The original's side of the preprocessing benchmark: a JSON object a line in, one in answer.

{"op": "config", "config": {...}}
{"op": "image", "pixels": FILE, "width": 640, "height": 480}   RGB bytes, rows from the top
{"op": "apply"}                    answers {"seconds": ...}, from the decoded image to the tensor
{"op": "save", "to": FILE}         writes the tensor as little-endian f32
"""

import json
import sys
from time import perf_counter

import numpy as np
from fastembed.image.transform.operators import Compose
from PIL import Image

image, preprocess = None, None
for line in sys.stdin:
    ask = json.loads(line)
    answer = {}
    if ask["op"] == "config":
        preprocess = Compose.from_config(ask["config"])
    elif ask["op"] == "image":
        pixels = np.fromfile(ask["pixels"], dtype=np.uint8)
        image = Image.fromarray(pixels.reshape(ask["height"], ask["width"], 3))
    else:
        start = perf_counter()
        tensor = np.stack(preprocess([image])[0])  # into one array, as for the model
        answer = {"seconds": perf_counter() - start}
        if ask["op"] == "save":
            tensor.astype("<f4").tofile(ask["to"])
    print(json.dumps(answer), flush=True)
