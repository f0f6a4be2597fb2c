"""Makes the folder data/late again: tiny late-interaction models with what FastEmbed 0.9.1 gives for
each text alone, and clusters of vectors as SciPy finds them.

    python late.py [NAME…]
    python late.py minilm DIR     golden values of a real model, with files in DIR
    python late.py pooling        needs scipy (made with 1.17.1)

DIR holds all-MiniLM-L6-v2 (`cargo xtask assets`) as `embedkit convert --head hidden --no-token-types`
writes it.
"""

import copy
import shutil
import string
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

import graphs
import tokenizer_files
from make import DATA, layout, toml_value, write
from onnx import TensorProto
from passages import PASSAGES
from texts import expand

ROOT = DATA / "late"
HIDDEN, DIM = 8, 4
TEXTS = [
    "",
    " ",
    "hello world",
    "Hello, World!",
    "don't can't we'll",
    "?!.",
    "the quick brown fox jumps over the lazy dog",
    "Größe & Übermut (100%) = {ok}",
    "你好，世界 😀",
    "[CLS] in the text [SEP] and [MASK] [PAD] <s> </s> <mask> <pad>",
    "one two three four five six seven eight nine ten one fox two dog three world four lazy five "
    "brown six quick seven hello eight over nine jumps ten the end of the text",
    {"repeat": "the dog and the fox, ", "times": 40},
]


class Folded(graphs.Graph):
    """A graph with a small table for the large ids of markers: ids are taken modulo its rows."""

    def __init__(self, seed, rows, zero_types=False):
        super().__init__(seed, HIDDEN)
        self.rows, self.zero_types, self.ids = rows, zero_types, None

    def input(self, name, shape=("batch", "sequence"), kind=TensorProto.INT64):
        if name == "token_type_ids" and self.zero_types:
            return self.add("Sub", self.ids, self.ids)
        value = super().input(name, shape, kind)
        if name != "input_ids":
            return value
        self.ids = self.add("Mod", value, self.constant(np.array(self.rows, dtype=np.int64)))
        return self.ids


def graph(name, files, zero_types=False, half=False, pooled=False, norm=False, **options):
    rows = tokenizer_files.vocab_size(files) + graphs.SPARE_IDS
    g = Folded(zlib.crc32(name.encode()), rows, zero_types)
    x = graphs.hidden_states(g, rows - graphs.SPARE_IDS, **({"types": False} | options))
    x = g.add("MatMul", x, g.weight(HIDDEN, DIM))
    if norm:
        x = g.add("LpNormalization", x, axis=-1, p=2)
    shape, kind = ["batch", "sequence", DIM], TensorProto.FLOAT
    if pooled:
        x, shape = graphs.position(g, x, 0), ["batch", DIM]
    if half:
        x, kind = g.cast(x, TensorProto.FLOAT16), TensorProto.FLOAT16
    g.output(x, "contextual", shape, kind)
    return g.model().SerializeToString(deterministic=True)


def unigram():
    """The Unigram tokenizer with a mask token and bare punctuation."""
    files = tokenizer_files.unigram()
    mask = len(files["tokenizer.json"]["model"]["vocab"])
    files["tokenizer.json"]["added_tokens"].append(tokenizer_files.added(mask, "<mask>"))
    files["special_tokens_map.json"]["mask_token"] = "<mask>"
    return files


def wordpiece(punctuation=False, **options):
    files = tokenizer_files.wordpiece(**options)
    if punctuation:
        vocab = files["tokenizer.json"]["model"]["vocab"]
        for character in string.punctuation:
            vocab.setdefault(character, len(vocab))
    return files


COLBERT = {
    "markers": {"query": 1, "document": 2},
    "reserve": 1,
    "query_padding": {"token": "[MASK]", "length": 31, "attend": False},
    "skip_punctuation": True,
    "skip_padding_id": True,
    "normalize": True,
    "normalize_queries": False,
}
# Kind -> name of the model in FastEmbed, its file, its facts, its tokenizer.
KINDS = {
    "colbert": ("colbert-ir/colbertv2.0", "model.onnx", COLBERT, wordpiece),
    "colbert-small": (
        "answerdotai/answerai-colbert-small-v1",
        "vespa_colbert.onnx",
        COLBERT,
        wordpiece,
    ),
    "jina-colbert": (
        "jinaai/jina-colbert-v2",
        "onnx/model.onnx",
        COLBERT
        | {
            "markers": {"query": 250002, "document": 250003},
            "query_padding": {"token": "<mask>", "length": 31, "attend": True},
        },
        unigram,
    ),
    "lateon": (
        "lightonai/LateOn",
        "model.onnx",
        {
            "markers": {"query": 50368, "document": 50369},
            "query_padding": {"token": "[MASK]"},
            "skip_punctuation": True,
            "normalize": True,
            "normalize_queries": True,
        },
        wordpiece,
    ),
    "mlateon": (
        "lightonai/mLateOn",
        "model.onnx",
        {
            "markers": {"query": 256000, "document": 256001},
            "query_padding": {"token": "<mask>"},
            "skip_punctuation": False,
            "normalize": True,
            "normalize_queries": True,
        },
        unigram,
    ),
    "token-embeddings": (
        "jinaai/jina-embeddings-v2-small-en-tokens",
        "onnx/model.onnx",
        {"normalize": False, "normalize_queries": False},
        wordpiece,
    ),
}
# Name -> kind, what is different.
CASES = {
    "colbert": ("colbert", {}),
    "colbert-punctuation": ("colbert", {"tokenizer": {"punctuation": True}}),
    "colbert-left": ("colbert", {"config": {"padding_side": "left"}}),
    "colbert-limit-9": ("colbert", {"config": {"model_max_length": 9, "truncation_side": "left"}}),
    "colbert-limit-64": ("colbert", {"config": {"model_max_length": 64}}),
    "colbert-multiple-of": ("colbert", {"multiple_of": 8}),
    "colbert-no-special-tokens": ("colbert", {"tokenizer": {"template_tokens": None}}),
    "colbert-half": ("colbert", {"graph": {"half": True}}),
    "colbert-token-types": ("colbert", {"graph": {"types": True}}),
    "colbert-small": ("colbert-small", {"graph": {"norm": True}}),
    "jina-colbert": ("jina-colbert", {}),
    "jina-colbert-limit-40": ("jina-colbert", {"config": {"model_max_length": 40}}),
    "lateon": ("lateon", {}),
    "lateon-left": ("lateon", {"config": {"padding_side": "left", "model_max_length": 12}}),
    "mlateon": ("mlateon", {}),
    "token-embeddings": ("token-embeddings", {"graph": {"types": True}}),
    "token-embeddings-left": (
        "token-embeddings",
        {"config": {"padding_side": "left", "truncation_side": "left", "model_max_length": 10}},
    ),
    "error-mask-token": ("colbert", {"mask_token": False}),
    "error-pooled": ("colbert", {"graph": {"pooled": True}}),
    "error-pooled-lateon": ("lateon", {"graph": {"pooled": True}}),
    "error-limit": ("colbert", {"config": {"model_max_length": 2}}),
}
# What a correct implementation does otherwise, and why.
REPAIRED = {
    "colbert-token-types": {
        "to": "embed",
        "why": "token types are made before the marker is put in and lack its column",
    },
    "error-limit": {
        "to": "error",
        "why": "no room is left for a text beside its special tokens, and nothing is cut at all",
    },
    "error-pooled": {"to": "error", "why": "queries give the components of one vector as vectors"},
}


def case_files(name, kind, change, **graph_options):
    files = copy.deepcopy(KINDS[kind][3](**change.get("tokenizer", {})))
    files["tokenizer_config.json"] |= change.get("config", {})
    if "multiple_of" in change:
        vocab = files["tokenizer.json"]["model"]["vocab"]
        files["tokenizer.json"]["padding"] = {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": change["multiple_of"],
            "pad_id": vocab["[PAD]"],
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        }
    if not change.get("mask_token", True):
        tokens = files["tokenizer.json"]["added_tokens"]
        files["tokenizer.json"]["added_tokens"] = [t for t in tokens if t["content"] != "[MASK]"]
        del files["special_tokens_map.json"]["mask_token"]
    files[KINDS[kind][1]] = graph(name, files, **change.get("graph", {}), **graph_options)
    return files


def make_case(name):
    import oracle

    kind, change = CASES[name]
    model_name, file, facts, _ = KINDS[kind]
    folder = ROOT / name
    if folder.exists():
        shutil.rmtree(folder)
    write(folder, case_files(name, kind, change))
    row = {"id": f"tiny/{name}", "source": {"repo": f"tiny/{name}"}, "file": file}
    row |= {"task": "late-text", "dim": DIM} | facts
    spec = "".join(f"{key} = {toml_value(value)}\n" for key, value in row.items())
    (folder / "spec.toml").write_text(spec, encoding="utf-8")

    golden = {"model": model_name, "texts": TEXTS}
    try:
        golden |= golden_values(model_name, folder)
    except oracle.Failure as failure:
        golden["error"] = failure.as_json(folder)
    if name in REPAIRED:
        golden["repaired"] = REPAIRED[name]
        if REPAIRED[name]["to"] == "embed":
            # The original on a graph that makes the zeros itself.
            with tempfile.TemporaryDirectory() as other:
                write(Path(other), case_files(name, kind, change, zero_types=True))
                golden |= golden_values(model_name, Path(other))
        else:
            for key in ("dtype", "embed", "query_embed", "token_counts"):
                golden.pop(key, None)
    (folder / "golden.json").write_text(layout(golden), encoding="utf-8")
    if "embed" not in golden:
        return str(golden.get("error", golden.get("repaired")))
    sizes = [None if m is None else len(m) for m in golden["embed"]]
    return f"{golden['dtype']}, vectors of documents: {sizes}"


def open_model(name, folder):
    from fastembed import LateInteractionTextEmbedding
    from fastembed.late_interaction.token_embeddings import TokenEmbeddingsModel

    tokens = name == "jinaai/jina-embeddings-v2-small-en-tokens"
    kind = TokenEmbeddingsModel if tokens else LateInteractionTextEmbedding
    return kind(name, specific_model_path=str(folder), local_files_only=True)


def golden_values(name, folder):
    import oracle

    model = oracle.attempt("load", lambda: open_model(name, folder))
    result = {"embed": [], "query_embed": []}
    # One text a run: what a text gives must not depend on its neighbours.
    for index, text in enumerate(map(expand, TEXTS)):
        for method in ("embed", "query_embed"):
            try:
                (matrix,) = getattr(model, method)([text])
            except Exception as error:
                # A text may have no token at all, so that there is no first one for the marker.
                if method == "query_embed" or len(model.model.tokenizer.encode(text).ids):
                    raise oracle.Failure("embed", error) from error
                matrix = None
            else:
                result["dtype"] = str(matrix.dtype)
            result[method].append(None if matrix is None else oracle.rows(matrix))
    inner = getattr(model, "model", None)
    late = hasattr(inner, "MIN_QUERY_LENGTH")
    count = inner.token_count if late else model.token_count
    rules = {
        "document": {"is_doc": True},
        "query": {"is_doc": False},
        "document_extended": {"is_doc": True, "include_extension": True},
        "query_extended": {"is_doc": False, "include_extension": True},
    }
    result["token_counts"] = {
        rule: [count([expand(t)], **(options if late else {})) for t in TEXTS]
        for rule, options in rules.items()
    }
    return result


def scores(queries, documents):
    """MaxSim in f64."""
    queries, documents = ([np.asarray(m, dtype=np.float64) for m in side] for side in (queries, documents))
    return [[float((q @ d.T).max(axis=1).sum()) for d in documents] for q in queries]


def make_minilm(folder):
    """The first components of each vector, and scores for which all components count."""
    import oracle

    kept = 6
    texts = [text for text in PASSAGES if isinstance(text, str)][::8]
    model = open_model("colbert-ir/colbertv2.0", folder)
    documents = [next(iter(model.embed([expand(t)]))) for t in texts]
    queries = [next(iter(model.query_embed(expand(t)))) for t in texts[::2]]
    golden = {
        "model": "colbert-ir/colbertv2.0",
        "texts": texts,
        "embed": [oracle.rows(m[:, :kept]) for m in documents],
        "query_embed": [oracle.rows(m[:, :kept]) for m in queries],
        "scores": [[round(x, 5) for x in row] for row in scores(queries, documents)],
    }
    (ROOT / "minilm.json").write_text(layout(golden), encoding="utf-8")
    print(f"minilm: {len(texts)} texts, {documents[0].shape[1]} components")


def pooling_case(name, vectors, factor):
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    vectors = np.asarray(vectors, dtype=np.float32)
    wide = vectors.astype(np.float64)
    tree = linkage(pdist(wide, "cosine"), "ward")
    labels = fcluster(tree, int(np.ceil(len(wide) / factor)), criterion="maxclust")
    pooled = []
    for label in dict.fromkeys(labels):
        mean = wide[labels == label].mean(axis=0)
        pooled.append(mean / max(np.linalg.norm(mean), 1e-12))
    return {
        "name": name,
        "factor": factor,
        "vectors": [[float(str(x)) for x in row] for row in vectors],
        "pooled": [[round(x, 6) for x in row] for row in pooled],
    }


def make_pooling():
    import json

    random = np.random.RandomState(7)
    cases = []
    for count, width, factor in [
        (2, 3, 2.0), (3, 3, 1.2), (5, 4, 2.0), (17, 6, 3.0), (40, 8, 1.5), (96, 6, 4.0),
        (64, 5, 64.0), (33, 4, 1.01),
    ]:  # fmt: skip
        vectors = random.standard_normal((count, width)).round(3)
        cases.append(pooling_case(f"random {count}x{width} by {factor}", vectors, factor))
    for count, width, factor in [(24, 3, 2.0), (60, 4, 3.0), (80, 3, 2.5), (30, 2, 5.0)]:
        # Few values, so that many distances are equal or zero.
        vectors = random.randint(-2, 3, (count, width))
        vectors[np.abs(vectors).sum(axis=1) == 0] = 1
        cases.append(pooling_case(f"ties {count}x{width} by {factor}", vectors, factor))
    same = np.ones((9, 4))
    cases.append(pooling_case("all the same", same, 3.0))
    same[4:] *= 2
    cases.append(pooling_case("the same direction", same, 2.0))
    body = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (ROOT / "pooling.json").write_text(f"[\n{body}\n]\n", encoding="utf-8")
    print(f"pooling: {len(cases)} cases")


def main(names):
    ROOT.mkdir(exist_ok=True)
    if names[:1] == ["pooling"]:
        make_pooling()
        return
    import oracle

    oracle.check_version()
    if names[:1] == ["minilm"]:
        make_minilm(Path(names[1]))
        return
    for name in CASES:
        if not names or name in names:
            print(f"{name}: {make_case(name)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
