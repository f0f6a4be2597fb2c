"""OpenVINO's eight-bit quantisation by NNCF: quantize.py FOLDER OUT TEXTS.

Ranges of activations are calibrated with the texts, one a line.
"""

import logging
import sys
from pathlib import Path

import nncf
import numpy as np
import openvino
from tokenizers import Tokenizer

logging.disable(logging.WARNING)
folder, out, texts = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(512)
model = openvino.Core().read_model(folder / "model.onnx")
names = {name for port in model.inputs for name in port.names}


def inputs(text):
    row = tokenizer.encode(text)
    parts = {"input_ids": row.ids, "attention_mask": row.attention_mask, "token_type_ids": row.type_ids}
    return {name: np.array([part], dtype=np.int64) for name, part in parts.items() if name in names}


examples = texts.read_text(encoding="utf-8").removesuffix("\n").split("\n")
quantized = nncf.quantize(
    model,
    nncf.Dataset(examples, inputs),
    model_type=nncf.ModelType.TRANSFORMER,
    subset_size=len(examples),
)
openvino.save_model(quantized, out, compress_to_fp16=False)
