"""Runs FastEmbed 0.9.1 on a model folder and states what it gave."""

import importlib.metadata
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import fastembed
import numpy as np
from fastembed.common.model_description import ModelSource, PoolingType

from texts import expand

VERSION = "0.9.1"
# Rounding from padding to another length: results closer than this are stored once.
SAME = 2e-6

# Wider than any tiny model: such vectors are a mistake of the model that a case is about.
WIDEST = 64

POOLING = {
    "cls": PoolingType.CLS,
    "mean": PoolingType.MEAN,
    "last-token": PoolingType.LAST_TOKEN,
    "none": PoolingType.DISABLED,
}


def check_version():
    found = importlib.metadata.version("fastembed")
    if found != VERSION:
        raise SystemExit(f"fastembed {VERSION} is required, found {found}")


def shortest(value):
    """A float whose shortest decimal form is that of the f32."""
    return float(str(np.float32(value)))


def rows(vectors):
    return [[shortest(x) for x in np.asarray(v, dtype=np.float64)] for v in vectors]


def register(name, spec):
    """Makes a custom model known, with the facts of its row."""
    output = spec.get("output")
    fastembed.TextEmbedding.add_custom_model(
        name,
        pooling=POOLING[spec.get("pooling", "mean")],
        normalization=spec.get("normalize", True),
        sources=ModelSource(hf=name),
        dim=spec["dim"],
        model_file=spec["file"],
        output_name=output if isinstance(output, str) else None,
    )


def open_model(name, folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fastembed.TextEmbedding(
            name, specific_model_path=str(folder), local_files_only=True, **options
        )


@dataclass(eq=False)
class Failure(Exception):
    """An exception of the original, and whether it came from opening or from embedding."""

    stage: str
    error: Exception

    def as_json(self, folder):
        message = str(self.error).replace(str(folder), "{dir}")
        return {"stage": self.stage, "type": type(self.error).__name__, "message": message}


def attempt(stage, action):
    try:
        return action()
    except Exception as error:  # whatever it raises is the result
        raise Failure(stage, error) from error


def differs(a, b):
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if a.shape != b.shape:
        return True
    return bool(a.size) and not np.nanmax(np.abs(a - b)) <= SAME * max(1.0, np.nanmax(np.abs(a)))


def batch_tokens(model, texts):
    """Ids and mask of all texts as one padded batch."""
    tokenizer = getattr(model.model, "tokenizer", None)
    encodings = tokenizer.encode_batch(texts)
    return {
        "input_ids": [e.ids for e in encodings],
        "attention_mask": [e.attention_mask for e in encodings],
    }


def golden(name, folder, texts, tasks=False, with_tokens=False):
    """What FastEmbed gives for the texts, as the content of golden.json."""
    result = {"model": name, "texts": texts}
    plain = [expand(t) for t in texts]
    try:
        model = attempt("load", lambda: open_model(name, folder))
        whole = attempt("embed", lambda: list(model.embed(plain)))
    except Failure as failure:
        return result | {"error": failure.as_json(folder)}
    result["dtype"] = str(whole[0].dtype)
    if whole[0].ndim != 1 or whole[0].size > WIDEST:
        return result | {"shape": list(whole[0].shape)}
    result["embed"] = rows(whole)

    # One by one: what a text gives without neighbours, which is what counts where these differ.
    alone, failures = [], {}
    for index, text in enumerate(plain):
        try:
            alone += attempt("embed", lambda: list(model.embed([text], batch_size=1)))
        except Failure as failure:
            alone.append(None)
            failures[str(index)] = failure.as_json(folder)
    if failures:
        result["embed_batch_1_errors"] = failures
    known = [i for i, v in enumerate(alone) if v is not None]
    if failures or differs([whole[i] for i in known], [alone[i] for i in known]):
        result["embed_batch_1"] = [None if v is None else rows([v])[0] for v in alone]
    for method in ("query_embed", "passage_embed"):
        vectors = list(getattr(model, method)(plain))
        if differs(whole, vectors):
            result[method] = rows(vectors)
    if tasks:
        result["embed_task"] = {
            str(task): rows(model.embed(plain, task_id=task)) for task in (0, 2, 3, 4)
        }
    result["token_counts"] = [model.token_count([t]) for t in plain]
    if with_tokens:
        result |= batch_tokens(model, plain)
    return result
