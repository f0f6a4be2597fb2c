"""Golden values of real models: texts as JSON, vectors as raw little-endian f32 beside it."""

import hashlib
import json

import numpy as np

import oracle
from passages import ENGLISH, FORMS, GERMAN, LONG, OTHER_LANGUAGES, PASSAGES, VARIED
from texts import expand

SOME = VARIED[4:8] + VARIED[10:14] + VARIED[17:18] + LONG[:2] + FORMS[:1] + FORMS[6:7]
SOME += ENGLISH[:3] + GERMAN[:2] + OTHER_LANGUAGES[:1] + OTHER_LANGUAGES[-3:]

# Name -> FastEmbed's model, the file with the weights, its SHA-256 and the texts. (The graph of
# minilm is converted from its weights.)
MODELS = {
    "minilm": (
        "sentence-transformers/all-MiniLM-L6-v2",
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        PASSAGES,
    ),
    "minilm-int8": (
        "sentence-transformers/all-MiniLM-L6-v2",
        "model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        SOME,
    ),
    "static-tokenlearn": (
        "minishlab/potion-base-8M",
        "model.safetensors",
        "6be5d2830b76c27312e7870df0f7d3c55803fbc6817dfaee0783de319d457c6c",
        ["", *SOME],
    ),
}


def make_real(data, name, folder):
    model_name, file, expected, texts = MODELS[name]
    found = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    if found != expected:
        raise SystemExit(f"{folder / file} has the SHA-256 {found}, expected {expected}")
    model = oracle.open_model(model_name, folder)
    # One text a run: what a text gives without neighbours.
    plain = [expand(t) for t in texts]
    vectors = np.stack(list(model.embed(plain, batch_size=1))).astype("<f4")
    header = {
        "model": model_name,
        "dim": vectors.shape[1],
        "token_counts": [model.token_count([t]) for t in plain],
        "texts": texts,
    }
    body = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in list(header.items())[:-1])
    # ASCII, because some editors and tools change unusual characters.
    lines = ",\n".join("  " + json.dumps(t) for t in texts)
    (data / f"{name}.json").write_text(f'{{\n{body},\n"texts": [\n{lines}\n]\n}}\n')
    (data / f"{name}.f32").write_bytes(vectors.tobytes())
    print(f"{name}: {vectors.shape[0]} x {vectors.shape[1]}")
