"""Makes the folders below data/sparse again: tiny models of SPLADE++, inference-free SPLADE, BM42 and
MiniCOIL, with what FastEmbed 0.9.1 gives for each text alone.

    python sparse.py [NAME…]
    python sparse.py bm42-minilm DIR     golden values of real models, with files in DIR
    python sparse.py splade-tiny DIR

For bm42-minilm DIR holds all-MiniLM-L6-v2 (`cargo xtask assets`) as `embedkit convert --head
attention` writes it, for splade-tiny that model as it is.
"""

import io
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import oracle
from fastembed import SparseTextEmbedding
from onnx import TensorProto
from py_rust_stemmers import SnowballStemmer

import graphs
import tokenizer_files
from make import DATA, layout, toml_value, write
from passages import PASSAGES
from texts import VARIED, expand

DIM = 8
TEXTS = VARIED + [
    "foxes jumped, the fox's jumping dogs!",
    "two foxes and two dogs and one fox",
    "“quoted” — text… with «marks» and ,,commas,,",
    "the thes doing doings do",
    "worlds hello helloed worlding lazy-dog fox/dog",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bb bb",
    "[MASK]s un##known ## naive cafe",
    # Two pairs of words with one hash, the second of opposite signs.
    "htfth and kgjtb and kgjtb, jnfgc trxbf",
]
STOPWORDS = ["the", "and", "in", "of", "doing", "over", "It", "s"]


def hidden(g, files, **options):
    return graphs.hidden_states(g, tokenizer_files.vocab_size(files), **options)


def logits(g, files, kind=TensorProto.FLOAT, **options):
    """Logits of which about one in ten is above zero, so that vectors are sparse."""
    width = tokenizer_files.vocab_size(files)
    x = g.add("MatMul", hidden(g, files, **options), g.weight(DIM, width, scale=0.5))
    x = g.add("Sub", x, g.constant(np.float32(1.8)))
    if kind != TensorProto.FLOAT:
        x = g.cast(x, kind)
    g.output(x, "logits", ("batch", "sequence", width), kind)


def attention(g, files, heads):
    """Token vectors and, as the second output, the attention of some heads."""
    x = hidden(g, files)
    g.output(x, "last_hidden_state", ("batch", "sequence", DIM))
    seen = g.cast("attention_mask", TensorProto.FLOAT)
    bias = g.add("Mul", g.add("Sub", g.constant(np.float32(1)), seen), g.constant(graphs.FAR_BELOW))
    bias = g.add("Unsqueeze", bias, g.axes(1))
    parts = []
    for _ in range(heads):
        query = g.add("MatMul", x, g.weight(DIM, DIM, scale=0.5))
        scores = g.add("MatMul", query, g.add("Transpose", x, perm=[0, 2, 1]))
        weights = g.add("Softmax", g.add("Add", scores, bias), axis=-1)
        parts.append(g.add("Unsqueeze", weights, g.axes(1)))
    stacked = g.add("Concat", *parts, axis=1) if heads > 1 else parts[0]
    g.output(stacked, "attention_6", ("batch", heads, "sequence", "sequence"))


def token_vectors(g, files):
    g.output(hidden(g, files), "last_hidden_state", ("batch", "sequence", DIM))


def idf(files):
    """Weights for every third token, for special ones, for one that is unknown; and one zero."""
    tokens = list(files["tokenizer.json"]["model"]["vocab"])
    table = {token: round(0.25 + 0.013 * place, 3) for place, token in enumerate(tokens) if place % 3}
    return table | {"[CLS]": 5.0, "fox": 0, "no such token": 2.0}


def coil_vocab():
    words = ["fox", "dog", "quick", "jumps", "the", "doing", "lazy", "hello", "naive", "jumping"]
    stemmer, mapping = SnowballStemmer("english"), {}
    for word in words:
        stem = stemmer.stem_word(word)
        if stem not in mapping or len(mapping[stem]) > len(word):
            mapping[stem] = word
    return {"vocab": words, "stem_mapping": mapping}


def coil_weights(random, words, numbers, dtype, order):
    array = random.standard_normal((words + 1, DIM, numbers)) * 0.4
    array[3] = 0  # a word whose numbers cannot be scaled to unit length
    file = io.BytesIO()
    np.save(file, np.asarray(array, dtype=dtype, order=order))
    return file.getvalue()


def lines(words):
    return ("\n".join(words) + "\n").encode()


NAMES = {
    "splade": ("prithivida/Splade_PP_en_v1", "model.onnx"),
    "if-splade": ("opensearch-project/opensearch-neural-sparse-encoding-doc-v3-gte", "model.onnx"),
    "bm42": ("Qdrant/bm42-all-minilm-l6-v2-attentions", "model.onnx"),
    "minicoil": ("Qdrant/minicoil-v1", "onnx/model.onnx"),
}
FACTS = {
    "splade": {"requires_idf": False},
    "if-splade": {"requires_idf": False, "idf_file": "idf.json"},
    "bm42": {
        "requires_idf": True,
        "output": "attention_6",
        "alpha": 0.5,
        "language": "english",
        "stopwords_file": "stopwords.txt",
    },
    "minicoil": {
        "requires_idf": True,
        "k": 1.2,
        "b": 0.75,
        "avg_len": 150.0,
        "language": "english",
        "weights_file": "minicoil.triplet.model.npy",
        "vocab_file": "minicoil.triplet.model.vocab",
        "stopwords_file": "stopwords.txt",
    },
}
# Name -> kind, what is different.
CASES = {
    "splade": ("splade", {}),
    "splade-no-mask": ("splade", {"graph": {"mask": False, "types": False}}),
    "splade-limit-8": ("splade", {"limit": 8}),
    "splade-half": ("splade", {"graph": {"kind": TensorProto.FLOAT16}}),
    "splade-left": ("splade", {"config": {"padding_side": "left"}}),
    "if-splade": ("if-splade", {}),
    "bm42": ("bm42", {"heads": 3}),
    "bm42-alpha": ("bm42", {"heads": 1, "options": {"alpha": 1.25}}),
    "bm42-many-heads": ("bm42", {"heads": 5, "stopwords": None, "limit": 12}),
    "minicoil": ("minicoil", {}),
    "minicoil-f16": ("minicoil", {"dtype": "<f2", "numbers": 3, "stopwords": None}),
    "minicoil-fortran": ("minicoil", {"order": "F", "options": {"k": 0.7, "b": 0.4, "avg_len": 9.5}}),
}


def case_files(name, kind, change):
    g = graphs.Graph(zlib.crc32(name.encode()), DIM)
    files = tokenizer_files.wordpiece()
    files["tokenizer_config.json"] |= change.get("config", {})
    if "limit" in change:
        files["tokenizer_config.json"]["model_max_length"] = change["limit"]
    if kind in ("splade", "if-splade"):
        logits(g, files, **change.get("graph", {}))
    elif kind == "bm42":
        attention(g, files, change["heads"])
    else:
        token_vectors(g, files)
        vocab = coil_vocab()
        files["minicoil.triplet.model.vocab"] = vocab
        files["minicoil.triplet.model.npy"] = coil_weights(
            g.random,
            len(vocab["vocab"]),
            change.get("numbers", 4),
            change.get("dtype", "<f4"),
            change.get("order", "C"),
        )
    if kind == "if-splade":
        files["idf.json"] = idf(files)
    if kind in ("bm42", "minicoil") and change.get("stopwords", STOPWORDS) is not None:
        files["stopwords.txt"] = lines(STOPWORDS)
    files[NAMES[kind][1]] = g.model().SerializeToString(deterministic=True)
    return files


def pairs(vector):
    return [[int(i), float(f"{v:.9g}")] for i, v in zip(vector.indices, vector.values)]


def make_case(name):
    kind, change = CASES[name]
    folder = DATA / "sparse" / name
    if folder.exists():
        shutil.rmtree(folder)
    write(folder, case_files(name, kind, change))
    model_name, file = NAMES[kind]
    row = {"id": f"tiny/{name}", "source": {"repo": f"tiny/{name}"}, "file": file, "task": "sparse"}
    row |= {"kind": kind} | FACTS[kind]
    spec = "".join(f"{key} = {toml_value(value)}\n" for key, value in row.items())
    (folder / "spec.toml").write_text(spec, encoding="utf-8")

    golden = golden_values(model_name, folder, TEXTS, change.get("options", {}))
    (folder / "golden.json").write_text(layout(golden), encoding="utf-8")
    sizes = [len(vector) for vector in golden["embed"]]
    repeated = sum(len(v) != len({i for i, _ in v}) for v in golden["embed"])
    return f"{sum(sizes)} entries, {sizes.count(0)} empty, {repeated} with repeated indices"


def golden_values(model_name, folder, inputs, options):
    model = SparseTextEmbedding(model_name, specific_model_path=str(folder), **options)
    texts = [expand(text) for text in inputs]
    # One text a run: what a text gives must not depend on its neighbours.
    embed = [pairs(next(iter(model.embed([text], batch_size=1)))) for text in texts]
    queries = [pairs(next(iter(model.query_embed(text)))) for text in texts]
    return {
        "model": model_name,
        "options": options,
        "texts": inputs,
        "token_counts": [model.token_count([text]) for text in texts],
        "embed": embed,
        "query_embed": queries,
    }


def make_splade(folder):
    golden = golden_values(NAMES["splade"][0], folder, PASSAGES[:20] + VARIED, {})
    (DATA / "sparse" / "splade-tiny.json").write_text(layout(golden), encoding="utf-8")
    print(f"splade-tiny: {sum(len(vector) for vector in golden['embed'])} entries")


def make_bm42(folder):
    words = "a an and are as at be by for from in is it of on or that the to was with".split()
    (folder / "stopwords.txt").write_bytes(lines(words))
    golden = golden_values(NAMES["bm42"][0], folder, PASSAGES, {})
    golden["stopwords"] = words
    (DATA / "sparse" / "bm42-minilm.json").write_text(layout(golden), encoding="utf-8")
    print(f"bm42-minilm: {len(PASSAGES)} texts")


def main(names):
    oracle.check_version()
    if names[:1] == ["bm42-minilm"]:
        make_bm42(Path(names[1]))
        return
    if names[:1] == ["splade-tiny"]:
        make_splade(Path(names[1]))
        return
    for name in CASES:
        if not names or name in names:
            print(f"{name}: {make_case(name)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
