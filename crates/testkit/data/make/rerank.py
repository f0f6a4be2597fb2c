"""Makes the folders below data/rerank again: tiny cross-encoders, with what FastEmbed 0.9.1 gives for
each pair alone.

    python rerank.py [NAME…]
    python rerank.py minilm-classifier DIR EMBEDKIT     golden values of a real encoder

DIR holds all-MiniLM-L6-v2 (`cargo xtask assets`); EMBEDKIT is the binary that converts it once a head
with made-up weights has been added.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import oracle
from fastembed.common.model_description import ModelSource
from fastembed.rerank.cross_encoder import TextCrossEncoder
from onnx import TensorProto
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

import graphs
import tokenizer_files
from make import DATA, layout, toml_value, write
from passages import PASSAGES
from texts import VARIED, expand

DIM = 8
BUILT_IN = "Xenova/ms-marco-MiniLM-L-6-v2"
QUERY = "what is the quick fox, and over which dog?"
LONG = {"repeat": "the dog and the fox, ", "times": 40}
LONGER = {"repeat": "one two three ", "times": 40}
WORD = {"repeat": "x", "times": 90}
# Beyond QUERY with each of VARIED: long queries, and pairs whose lengths meet every limit.
PAIRS = [
    ["", ""],
    ["", LONG],
    [LONG, ""],
    ["a", LONG],
    [LONG, "a"],
    [LONG, LONGER],
    [LONGER, LONG],
    [LONG, LONG],
    [WORD, LONG],
    [LONG, WORD],
    ["emoji 😀👍🏽", "emoji 😀👍🏽 done"],
    ["a b c", "a b"],
    ["a b c d", "a b c"],
    ["a b c", "a b c d"],
    ["a b", "a b c d e f g h i j"],
    ["a b c d e f g h i j", "a b"],
    ["a b c d e f g h i j k l m n o", "a b c d e f g h i j k l m n"],
    ["a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4 5 6", ""],
]


def roberta(files):
    """Two separators between the texts, one segment, as XLM-R has them."""
    processor = files["tokenizer.json"]["post_processor"]

    def special(token):
        return {"SpecialToken": {"id": token, "type_id": 0}}

    processor["pair"] = [
        special("<s>"),
        {"Sequence": {"id": "A", "type_id": 0}},
        special("</s>"),
        special("</s>"),
        {"Sequence": {"id": "B", "type_id": 0}},
        special("</s>"),
    ]


def processor(kind, **more):
    def change(files):
        tokenizer = files["tokenizer.json"]
        vocab = dict(tokenizer["model"]["vocab"])
        ends = {name: [t, vocab[t]] for name, t in (("sep", "[SEP]"), ("cls", "[CLS]"))}
        tokenizer["post_processor"] = {"type": kind, **ends, **more}

    return change


def no_processor(files):
    files["tokenizer.json"]["post_processor"] = None


def serialised_padding(files):
    """Padding that is of segment 1, in multiples of eight."""
    files["tokenizer.json"]["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": 8,
        "pad_id": files["tokenizer.json"]["model"]["vocab"]["[PAD]"],
        "pad_type_id": 1,
        "pad_token": "[PAD]",
    }


def config(**values):
    def change(files):
        files["tokenizer_config.json"] |= values

    return change


def logits(g, files, columns=1, shape="columns", half=False, **options):
    x = graphs.hidden_states(g, tokenizer_files.vocab_size(files), **options)
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    if half:
        x = g.cast(g.cast(x, kind), TensorProto.FLOAT)
    tokens = shape in ("tokens", "token")
    first = x if tokens else graphs.position(g, x, 0)
    pooled = g.add("Tanh", g.add("MatMul", first, g.weight(DIM, DIM, scale=0.7)))
    width = 1 if shape in ("flat", "token") else columns
    out = g.add("MatMul", pooled, g.weight(DIM, width, scale=2.0)) if width else None
    if shape == "flat":
        out, sizes = g.add("Squeeze", out, g.axes(1)), ("batch",)
    elif shape == "no-columns":
        ends = [g.constant(np.array([v], dtype=np.int64)) for v in (0, 0)]
        out, sizes = g.add("Slice", first, *ends, g.axes(1)), ("batch", 0)
    elif shape == "few-rows":
        one = [g.constant(np.array([v], dtype=np.int64)) for v in (0, 1)]
        out, sizes = g.add("Slice", out, *one, g.axes(0)), (1, width)
    elif tokens:
        sizes = ("batch", "sequence", width)
    else:
        sizes = ("batch", width)
    if half:
        out = g.cast(out, kind)
    g.output(out, "logits", sizes, kind)


def quantized(g, files):
    pad = files["tokenizer.json"]["model"]["vocab"]["[PAD]"]
    x = graphs.quantized(g, tokenizer_files.vocab_size(files), pad)
    out = g.add("MatMul", graphs.position(g, x, 0), g.weight(DIM, 1))
    g.output(out, "logits", ("batch", 1))


# Name -> the model in FastEmbed (none: a custom one), tokenizer files, changes to them, the graph.
CASES = {
    "one-label": (BUILT_IN, "wordpiece", [], {}),
    "two-labels": (None, "wordpiece", [], {"columns": 2}),
    "no-types": (BUILT_IN, "wordpiece", [], {"types": False}),
    "no-mask": (None, "wordpiece", [], {"mask": False}),
    "ids-only": (None, "wordpiece", [], {"mask": False, "types": False}),
    "half": (None, "wordpiece", [], {"half": True}),
    "padding-left": (None, "wordpiece", [config(padding_side="left")], {}),
    "truncation-left": (None, "wordpiece", [config(truncation_side="left")], {}),
    "padding-of-segment-1": (None, "wordpiece", [serialised_padding], {}),
    "padding-of-segment-1-no-mask": (None, "wordpiece", [serialised_padding], {"mask": False}),
    "limit-3": (None, "wordpiece", [config(model_max_length=3)], {}),
    "limit-4": (None, "wordpiece", [config(model_max_length=4)], {}),
    "limit-10": (None, "wordpiece", [config(model_max_length=10)], {}),
    "limit-11-left": (
        None,
        "wordpiece",
        [config(model_max_length=11, truncation_side="left")],
        {},
    ),
    "bert-processing": (None, "wordpiece", [processor("BertProcessing")], {}),
    "roberta-processing": (
        None,
        "wordpiece",
        [processor("RobertaProcessing", trim_offsets=True, add_prefix_space=False)],
        {},
    ),
    "no-special-tokens": (None, "wordpiece", [no_processor], {}),
    "unigram": ("BAAI/bge-reranker-base", "unigram", [roberta], {"types": False}),
    "byte-level": (None, "byte_level_bpe", [], {}),
    "dynamic-quantized": (None, "wordpiece", [], None),
    "error-flat": (None, "wordpiece", [], {"shape": "flat"}),
    "error-per-token": (None, "wordpiece", [], {"shape": "tokens", "columns": 3}),
    "error-per-token-one-column": (None, "wordpiece", [], {"shape": "token"}),
    "error-no-columns": (None, "wordpiece", [], {"shape": "no-columns", "columns": 0}),
    "error-few-rows": (None, "wordpiece", [], {"shape": "few-rows"}),
    "error-limit-below-special-tokens": (None, "wordpiece", [config(model_max_length=2)], {}),
    "error-tokenizer-missing": (None, "wordpiece", [lambda f: f.pop("tokenizer.json")], {}),
}
# Where the original raises nothing, and what is wrong with what it gives.
REPAIRED = {
    "error-few-rows": ("embed", "one score for all pairs"),
    "error-limit-below-special-tokens": ("load", "scores for pairs that are longer than the limit"),
}
FILE = "onnx/model.onnx"


def case_files(name, tokenizer, changes, graph):
    g = graphs.Graph(zlib.crc32(name.encode()), DIM)
    files = getattr(tokenizer_files, tokenizer)()
    if graph is None:
        quantized(g, files)
    else:
        logits(g, files, **graph)
    for change in changes:
        change(files)
    files[FILE] = g.model().SerializeToString(deterministic=True)
    return files


def open_model(name, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TextCrossEncoder(name, specific_model_path=str(folder), local_files_only=True)


def golden_values(name, folder, query, documents, pairs):
    """Scores of the documents for the query and of the pairs; what is said of the tokens is of all
    of these, in that order."""
    result = {
        "model": name,
        "query": query,
        "documents": documents,
        "pair_queries": [q for q, _ in pairs],
        "pair_documents": [d for _, d in pairs],
    }
    plain = [(expand(q), expand(d)) for q, d in [[query, d] for d in documents] + pairs]
    try:
        model = oracle.attempt("load", lambda: open_model(name, folder))
        together = oracle.attempt("embed", lambda: list(model.rerank_pairs(plain)))
    except oracle.Failure as failure:
        return result | {"error": failure.as_json(folder)}
    if folder.name in REPAIRED:
        stage, message = REPAIRED[folder.name]
        return result | {"error": {"stage": stage, "type": "none", "message": message}}

    def alone(index, query, document):
        try:
            if index < len(documents):
                return oracle.shortest(next(iter(model.rerank(query, [document]))))
            return oracle.shortest(next(iter(model.rerank_pairs([(query, document)]))))
        except InvalidArgument:
            return None  # without any token the original fails

    scores = [alone(index, *pair) for index, pair in enumerate(plain)]
    result["rerank"] = scores[: len(documents)]
    result["rerank_pairs"] = scores[len(documents) :]
    known = [i for i, score in enumerate(scores) if score is not None]
    result["depends_on_batch"] = oracle.differs(
        [together[i] for i in known], [scores[i] for i in known]
    )
    inner = model.model
    # What the graph gives beyond the column that FastEmbed reads.
    outputs = [
        inner.model.run(None, inner._build_onnx_input(inner.tokenize([pair])))[0][0]
        for pair in (plain[i] for i in known)
    ]
    if len(outputs[0]) > 1:
        result["columns"] = [[oracle.shortest(x) for x in row] for row in outputs]
    result["token_counts"] = [model.token_count([pair]) for pair in plain]
    encodings = [inner.tokenizer.encode(*pair) for pair in plain]
    result["truncated"] = [bool(e.overflowing) for e in encodings]
    if not inner.tokenizer.padding["pad_to_multiple_of"]:
        result["input_ids"] = [e.ids for e in encodings]
        result["type_ids"] = [e.type_ids for e in encodings]
    return result


def make_case(name):
    model_name, tokenizer, changes, graph = CASES[name]
    folder = DATA / "rerank" / name
    if folder.exists():
        shutil.rmtree(folder)
    write(folder, case_files(name, tokenizer, changes, graph))
    row = {"id": f"tiny/{name}", "source": {"repo": f"tiny/{name}"}, "file": FILE, "task": "rerank"}
    spec = "".join(f"{key} = {toml_value(value)}\n" for key, value in row.items())
    (folder / "spec.toml").write_text(spec, encoding="utf-8")
    if model_name is None:
        model_name = f"custom/{name}"
        TextCrossEncoder.add_custom_model(
            model_name, sources=ModelSource(hf=model_name), model_file=FILE
        )
    if name.startswith("error-"):
        golden = golden_values(model_name, folder, QUERY, VARIED[:3], PAIRS[:3])
    else:
        golden = golden_values(model_name, folder, QUERY, VARIED, PAIRS)
    (folder / "golden.json").write_text(layout(golden), encoding="utf-8")
    if "error" in golden:
        return str(golden["error"])[:150]
    scores = [x for x in golden["rerank"] + golden["rerank_pairs"] if x is not None]
    extra = [key for key in ("depends_on_batch", "columns") if golden.get(key)]
    return f"{len(scores)} in {min(scores):.2f}..{max(scores):.2f}, {sum(golden['truncated'])} cut {extra}"


def add_head(source, target):
    """Writes the checkpoint with a last layer of one label: weights (37i mod 101 - 50) / 64, bias 1/4."""
    width = 384
    file = source.read_bytes()
    size = int.from_bytes(file[:8], "little")
    header, data = json.loads(file[8 : 8 + size]), file[8 + size :]
    weight = (np.arange(width) * 37 % 101 - 50).astype("<f4") / np.float32(64)
    for name, value in (("weight", weight[None]), ("bias", np.array([0.25], dtype="<f4"))):
        end = len(data)
        data += value.tobytes()
        offsets = [end, len(data)]
        tensor = {"dtype": "F32", "shape": list(value.shape), "data_offsets": offsets}
        header[f"classifier.{name}"] = tensor
    header = json.dumps(header).encode()
    target.write_bytes(len(header).to_bytes(8, "little") + header + data)


def make_real(source, embedkit):
    """Passages as documents of one query, and each as the query of the next."""
    name = "custom/minilm-classifier"
    TextCrossEncoder.add_custom_model(name, sources=ModelSource(hf=name), model_file="model.onnx")
    pairs = [[q, d] for q, d in zip(PASSAGES, PASSAGES[1:])][:40] + [[LONG, PASSAGES[0]]]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for path in source.glob("*.json"):
            shutil.copy(path, folder)
        add_head(source / "model.safetensors", folder / "model.safetensors")
        command = [embedkit, "convert", folder, folder / "model.onnx", "--head", "classifier"]
        subprocess.run(command, check=True)
        golden = golden_values(name, folder, QUERY, PASSAGES[:60], pairs)
    del golden["input_ids"], golden["type_ids"]
    (DATA / "rerank" / "minilm-classifier.json").write_text(layout(golden), encoding="utf-8")
    scores = golden["rerank"] + golden["rerank_pairs"]
    print(f"minilm-classifier: {len(scores)} in {min(scores):.3f}..{max(scores):.3f}")


def main(names):
    oracle.check_version()
    if names[:1] == ["minilm-classifier"]:
        make_real(Path(names[1]), names[2])
        return
    for name in CASES:
        if not names or name in names:
            print(f"{name}: {make_case(name)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
