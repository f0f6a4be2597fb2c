"""The table of dense cases: for each its kind of model, its files and its texts."""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import onnx
from onnx import TensorProto
from tokenizers import BertWordPieceTokenizer

import graphs
import safetensors_file
import tokenizer_files
from texts import SHORT, VARIED

# Kind -> FastEmbed's name of a built-in model of that kind, its model file, and the same facts as a
# row of models.toml states them.
KINDS = {
    "cls": (
        "BAAI/bge-small-en-v1.5",
        "model_optimized.onnx",
        {"pooling": "cls", "accept_pooled": True},
    ),
    "clip": (
        "Qdrant/clip-ViT-B-32-text",
        "model.onnx",
        {"pooling": "none", "normalize": False},
    ),
    "siglip": (
        "google/siglip2-base-patch16-224",
        "onnx/text_model.onnx",
        {"output": "pooler_output", "pooling": "cls", "accept_pooled": True, "pad_to_limit": True},
    ),
    "mean": ("nomic-ai/nomic-embed-text-v1.5", "onnx/model.onnx", {"normalize": False}),
    "mean-normalized": ("sentence-transformers/all-MiniLM-L6-v2", "model.onnx", {}),
    "tasks": (
        "jinaai/jina-embeddings-v3",
        "onnx/model.onnx",
        {
            "tasks": {
                "input": "task_id",
                "names": [
                    "retrieval.query",
                    "retrieval.passage",
                    "separation",
                    "classification",
                    "text-matching",
                ],
                "default": 1,
                "query": 0,
                "passage": 1,
            }
        },
    ),
    "builtin": (
        "ibm-granite/granite-embedding-small-english-r2",
        "onnx/model.onnx",
        {"output": 1, "pooling": "none", "normalize": False},
    ),
    "last-token": ("Qwen/Qwen3-Embedding-0.6B", "onnx/model.onnx", {"pooling": "last-token"}),
    "static": ("minishlab/potion-base-8M", "model.safetensors", {"encoder": "static"}),
    "custom": (None, "onnx/model.onnx", {}),
}


@dataclass
class Case:
    """One folder below data/dense: what FastEmbed calls it, its files, its texts."""

    name: str
    model: str | None  # FastEmbed's built-in name; None for a custom model
    spec: dict[str, Any]
    files: dict[str, Any]  # path -> bytes, or an object that becomes JSON
    texts: list
    repaired: dict[str, str] | None = None
    # Files that replace others while FastEmbed computes what a repaired case should give.
    instead: dict[str, Any] = field(default_factory=dict)


CASES: list[Case] = []


def seed(name):
    """Weights differ from case to case and stay the same from run to run."""
    return zlib.crc32(name.encode())


def onnx_files(path, model, external=False):
    """The graph as one file, or as a small file with its weights beside it."""
    if not external:
        return {path: model.SerializeToString(deterministic=True)}
    location = path.rsplit("/", 1)[-1] + "_data"
    data = b""
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        if len(raw) < 64:
            continue
        entries = {"location": location, "offset": str(len(data)), "length": str(len(raw))}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        data += raw
    graph = model.SerializeToString(deterministic=True)
    return {path: graph, path + "_data": data}


def case(
    name: str,
    kind: str,
    build: Callable,
    tokenizer=None,
    change: Callable | None = None,
    dim=8,
    texts=VARIED,
    external=False,
    repaired=None,
    instead=None,
    **spec,
):
    """Adds a transformer case; `build(graph, vocabulary size)` writes the graph."""
    model, path, facts = KINDS[kind]
    files = tokenizer or tokenizer_files.wordpiece()
    vocab = tokenizer_files.vocab_size(files)
    g = graphs.Graph(seed(name), dim)
    build(g, vocab)
    if change:
        change(files)
    files = {k: v for k, v in files.items() if v is not None}
    files |= onnx_files(path, g.model(), external)
    facts = {"dim": dim, "pooling": "mean", "normalize": True} | facts | spec
    if external:
        facts["additional_files"] = [path + "_data"]
    CASES.append(Case(name, model, {"file": path} | facts, files, texts, repaired, instead or {}))


def tokens(value, g, name="last_hidden_state", kind=TensorProto.FLOAT):
    g.output(value, name, ["batch", "sequence", g.dim], kind)


def vectors(value, g, name="sentence_embedding", kind=TensorProto.FLOAT):
    g.output(value, name, ["batch", g.dim], kind)


def plain(**options):
    """A graph with token vectors as its one output."""
    return lambda g, vocab: tokens(graphs.hidden_states(g, vocab, **options), g)


def pooled(index=0, **options):
    """A graph with the projected vector of one position as its one output."""

    def build(g, vocab):
        hidden = graphs.hidden_states(g, vocab, **options)
        vectors(graphs.project(g, graphs.position(g, hidden, index)), g)

    return build


def both(g, vocab):
    """Token vectors first, a pooled vector second, a third output that nobody wants."""
    hidden = graphs.hidden_states(g, vocab)
    tokens(hidden, g, "token_embeddings")
    vectors(graphs.project(g, graphs.position(g, hidden, 0)), g)
    tokens(graphs.project(g, hidden), g, "projected")


# --- every kind -----------------------------------------------------------------------------------

case("cls", "cls", plain())
case("cls-pooled", "cls", pooled())
case("clip", "clip", pooled())


def siglip(g, vocab):
    hidden = graphs.hidden_states(g, vocab, mask=False, types=False)
    tokens(hidden, g)
    vectors(graphs.project(g, graphs.position(g, hidden, -1)), g, "pooler_output")


def set_limit(limit):
    def change(files):
        files["tokenizer_config.json"]["model_max_length"] = limit

    return change


case("siglip", "siglip", siglip, change=set_limit(16))


def twin_case(name, kind, build, twin, why, change=None, **options):
    """A graph that FastEmbed cannot feed; its values are those of one that computes the same."""
    model, path, facts = KINDS[kind]
    files = tokenizer_files.wordpiece()
    g = graphs.Graph(seed(name), 8)
    twin(g, tokenizer_files.vocab_size(files))
    instead = onnx_files(path, g.model())
    repaired = {"to": "embed", "why": why}
    options |= {"change": change, "repaired": repaired, "instead": instead}
    case(name, kind, build, texts=SHORT, **options)


def siglip_left(files):
    files["tokenizer_config.json"] |= {"model_max_length": 12, "padding_side": "left"}
    files["tokenizer.json"]["padding"] = padding_block(pad_to_multiple_of=5)


def padding_block(strategy="BatchLongest", direction="Right", pad_to_multiple_of=None, **changes):
    """A padding block as tokenizer.json stores it."""
    return {
        "strategy": strategy,
        "direction": direction,
        "pad_to_multiple_of": pad_to_multiple_of,
        "pad_id": 3,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    } | changes


case("siglip-left-multiple-of", "siglip", siglip, change=siglip_left, texts=SHORT)
case("mean", "mean", plain())
case("mean-normalized", "mean-normalized", plain())


def adapters(g, vocab):
    hidden = graphs.hidden_states(g, vocab, types=False)
    task = g.input("task_id", shape=())
    adapter = g.add("Gather", g.weight(5, g.dim, g.dim), task)
    tokens(g.add("Add", hidden, g.add("MatMul", hidden, adapter)), g)


case("tasks", "tasks", adapters, tokenizer_files.unigram())
case("builtin", "builtin", both)
case(
    "last-token-left",
    "last-token",
    plain(types=False, positions="mask", causal=True),
    tokenizer_files.byte_level_bpe(),
)
case("last-token-right", "last-token", plain(types=False, causal=True))

# --- custom models --------------------------------------------------------------------------------

case("custom-cls", "custom", plain(), pooling="cls", normalize=False)
case("custom-cls-normalized", "custom", plain(), pooling="cls")
case("custom-mean", "custom", plain(), tokenizer_files.unigram(), normalize=False)
case(
    "custom-mean-normalized",
    "custom",
    plain(types=False, positions="mask"),
    tokenizer_files.byte_level_bpe(),
)
case("custom-last-token", "custom", plain(), pooling="last-token", normalize=False)
case("custom-last-token-normalized", "custom", plain(), pooling="last-token")
case("custom-none", "custom", pooled(), pooling="none", normalize=False)
case("custom-none-normalized", "custom", pooled(), pooling="none")
case(
    "custom-named-none", "custom", both, output="sentence_embedding", pooling="none", texts=SHORT
)
case("custom-named-mean", "custom", both, output="projected", normalize=False, texts=SHORT)

# --- inputs ---------------------------------------------------------------------------------------

case("no-types-input", "mean-normalized", plain(types=False), texts=SHORT)
# Without a mask the graph sees padding. This one looks back only, so padding on the right is unseen.
case("no-mask-input", "mean-normalized", plain(mask=False, causal=True))
# This one looks at padding: a text's vector depends on its neighbours, alone it is well defined.
case("no-mask-input-sees-padding", "mean-normalized", plain(mask=False), texts=SHORT)
case("ids-only", "cls", plain(mask=False, types=False, causal=True), texts=SHORT)
case(
    "type-ids-are-zeros",
    "mean-normalized",
    plain(),
    tokenizer_files.wordpiece(type_id=1),
    texts=SHORT,
)

# --- padding --------------------------------------------------------------------------------------


def pad_left(files):
    files["tokenizer_config.json"]["padding_side"] = "left"


case("mean-left", "mean-normalized", plain(positions="mask"), change=pad_left)
# FastEmbed reads position 0, which is padding for the shorter texts of a batch.
case("cls-left", "cls", plain(positions="mask"), change=pad_left, texts=SHORT)
case("last-token-left-wordpiece", "last-token", plain(positions="mask"), change=pad_left)


def undefined_padding(g, vocab):
    """Infinite or undefined values at every padding position."""
    hidden = graphs.hidden_states(g, vocab)
    seen = g.cast("attention_mask", TensorProto.FLOAT)
    tokens(g.add("Div", hidden, g.add("Unsqueeze", seen, g.axes(2))), g)


case("mean-undefined-padding", "mean-normalized", undefined_padding, texts=SHORT)


def no_template():
    return tokenizer_files.wordpiece(template_tokens=None)


# Nothing is added to a text, so an empty one has no tokens and its mask is all zeros.
for pooling in ("cls", "mean", "last-token"):
    case(
        f"no-tokens-{pooling}",
        "custom",
        plain(positions="mask"),
        no_template(),
        pooling=pooling,
        texts=SHORT,
    )
case("no-tokens-siglip", "siglip", siglip, no_template(), change=set_limit(6), texts=SHORT)

# --- element types and files ----------------------------------------------------------------------


def as_type(kind, scale=None, index=None):
    def build(g, vocab):
        value = graphs.hidden_states(g, vocab)
        if scale is not None:
            value = g.add("Mul", value, g.constant(np.float32(scale)))
        if index is None:
            tokens(g.cast(value, kind), g, kind=kind)
        else:
            vectors(g.cast(graphs.position(g, value, index), kind), g, kind=kind)

    return build


case("half-mean-normalized", "mean-normalized", as_type(TensorProto.FLOAT16), texts=SHORT)
# The sum of squares of these exceeds the largest half.
case("half-large-cls", "cls", as_type(TensorProto.FLOAT16, scale=2000), texts=SHORT)
case("half-clip", "clip", as_type(TensorProto.FLOAT16, index=0), texts=SHORT)
case("double-mean-normalized", "mean-normalized", as_type(TensorProto.DOUBLE), texts=SHORT)
case(
    "int64-custom-none",
    "custom",
    as_type(TensorProto.INT64, scale=100, index=0),
    pooling="none",
    normalize=False,
    texts=SHORT,
)
case(
    "int64-custom-mean-normalized", "custom", as_type(TensorProto.INT64, scale=100), texts=SHORT
)


def tiny_values(g, vocab):
    """Vectors whose norm is below the floor of 1e-12: they are scaled by 1e12, not to length 1."""
    hidden = graphs.hidden_states(g, vocab)
    tokens(g.add("Mul", hidden, g.constant(np.float32(1e-14))), g)


case("norm-below-floor", "cls", tiny_values, texts=SHORT)
case("external-data", "builtin", both, external=True, texts=SHORT)
case("external-data-last-token", "last-token", plain(causal=True), external=True, texts=SHORT)


def dynamic(g, vocab):
    tokens(graphs.quantized(g, vocab, pad_id=3), g)


case("dynamic-quantized", "mean", dynamic)
case("dynamic-quantized-normalized", "mean-normalized", dynamic, dim=16)

# --- errors from graphs ---------------------------------------------------------------------------


def unknown_input(g, vocab):
    hidden = graphs.hidden_states(g, vocab)
    places = g.cast(g.input("bbox"), TensorProto.FLOAT)
    tokens(g.add("Add", hidden, g.add("Unsqueeze", places, g.axes(2))), g)


def rank_4(g, vocab):
    hidden = g.add("Unsqueeze", graphs.hidden_states(g, vocab), g.axes(1))
    g.output(hidden, "last_hidden_state", ["batch", 1, "sequence", g.dim])


def few_rows(g, vocab):
    """A token table without rows for most of the vocabulary."""
    tokens(graphs.hidden_states(g, 20 - graphs.SPARE_IDS), g)


def width_of_batch(g, vocab):
    """One component for each token of the padded batch."""
    g.output(g.cast(g.input("input_ids"), TensorProto.FLOAT), "output", ["batch", "sequence"])


case("error-few-rows", "cls", few_rows, texts=SHORT)
# The second text is far longer than any batch should be, so the two run apart.
case(
    "error-width-varies",
    "custom",
    width_of_batch,
    change=set_limit(8192),
    pooling="none",
    normalize=False,
    texts=["hello world", {"repeat": "dog ", "times": 8000}],
    repaired={"to": "error", "why": "the width depends on the length of the texts"},
)
case("error-unknown-input", "cls", unknown_input, texts=SHORT)
case("error-no-input-ids", "cls", plain(ids_name="tokens"), texts=SHORT)
case("error-rank-4", "cls", rank_4, texts=SHORT)
case("error-builtin-one-output", "builtin", plain(), texts=SHORT)
case("error-siglip-output-name", "siglip", pooled(), texts=SHORT)
case("error-custom-output-name", "custom", both, output="no_such_output", texts=SHORT)
case("error-custom-mean-rank-2", "custom", pooled(), texts=SHORT)
case("error-custom-last-token-rank-2", "custom", pooled(), pooling="last-token", texts=SHORT)
case("error-custom-none-rank-3", "custom", plain(), pooling="none", texts=SHORT)
case(
    "error-custom-cls-rank-2",
    "custom",
    pooled(),
    pooling="cls",
    normalize=False,
    texts=SHORT,
    repaired={"to": "error", "why": "the original takes the first component as the vector"},
)
case(
    "error-clip-rank-3",
    "clip",
    plain(),
    texts=SHORT,
    repaired={"to": "error", "why": "the original returns a matrix for each text"},
)

# --- inputs of other types and names --------------------------------------------------------------

INT64_ONLY = "the original feeds integers of 64 bits only"
twin_case("int32-inputs", "cls", plain(kind=TensorProto.INT32), plain(), INT64_ONLY)
for label, kind in [("bool", TensorProto.BOOL), ("float", TensorProto.FLOAT)]:
    twin_case(f"{label}-mask", "custom", plain(mask_kind=kind), plain(), INT64_ONLY)

NOT_FED = "the original feeds ids, mask and token types only"


def roberta(files):
    files["config.json"]["model_type"] = "xlm-roberta"


twin_case("position-ids", "cls", plain(positions="input"), plain(), NOT_FED)
twin_case(
    "position-ids-int32",
    "mean",
    plain(positions="input", kind=TensorProto.INT32),
    plain(),
    NOT_FED,
)
twin_case(
    "position-ids-left",
    "last-token",
    plain(positions="input"),
    plain(positions="mask", first=-1),
    NOT_FED,
    change=lambda files: files["tokenizer_config.json"].update({"padding_side": "left"}),
)
# The padding token has the id 3, and the first place is behind it.
twin_case("position-ids-roberta", "cls", plain(positions="input"), plain(first=4), NOT_FED, change=roberta)


def decoder(kind=TensorProto.FLOAT, cached=True):
    """Keys of earlier tokens stand before a row's own in a sum; there are none."""

    def build(g, vocab):
        hidden = graphs.hidden_states(g, vocab, positions="input" if cached else "absolute")
        if cached:
            for part in ("key", "value"):
                shape = ("batch", 2, "past_sequence_length", 4)
                past = g.input(f"past_key_values.0.{part}", shape=shape, kind=kind)
                past = g.add("ReduceSum", g.cast(past, TensorProto.FLOAT), g.axes(1, 2, 3), keepdims=0)
                hidden = g.add("Add", hidden, g.add("Unsqueeze", past, g.axes(1, 2)))
            branch = g.input("use_cache_branch", shape=(1,), kind=TensorProto.BOOL)
            branch = g.cast(branch, TensorProto.FLOAT)
            hidden = g.add("Add", hidden, branch)
        tokens(hidden, g)

    return build


for label, kind in [("", TensorProto.FLOAT), ("-half", TensorProto.FLOAT16)]:
    twin_case(
        f"past-key-values{label}", "last-token", decoder(kind), decoder(cached=False), NOT_FED
    )

# --- tokenizer files ------------------------------------------------------------------------------


def tokenizer_case(name, change, texts=SHORT, repaired=None, instead=None, tokenizer=None):
    case(
        name,
        "mean-normalized",
        plain(positions="mask"),
        tokenizer=tokenizer,
        change=change,
        dim=4,
        texts=texts,
        repaired=repaired,
        instead=instead,
    )


def edit(**files_changes):
    """Sets keys of JSON files, or a whole file; `None` as a file removes it."""

    def change(files):
        for key, value in files_changes.items():
            name = key + ".json"
            if value is None or name not in files:
                files[name] = value
            else:
                files[name] = files[name] | value

    return change


def config_case(name, repaired=None, instead=None, drop=(), **changes):
    """Changes tokenizer_config.json only."""

    def change(files):
        files["tokenizer_config.json"] |= changes
        for key in drop:
            del files["tokenizer_config.json"][key]

    tokenizer_case(name, change, repaired=repaired, instead=instead)


config_case("limit-8", model_max_length=8)
config_case("limit-smaller-max-length", model_max_length=32, max_length=9)
config_case("limit-larger-max-length", model_max_length=7, max_length=9)
config_case("limit-max-length-only", drop=["model_max_length"], max_length=10)
config_case("limit-absurd-with-max-length", model_max_length=10**30, max_length=10)
config_case("limit-invalid-with-max-length", model_max_length="8", max_length=11)
config_case("limit-largest", model_max_length=2**63 - 1)
config_case("limit-specials-only", model_max_length=2)
NO_ROOM = {
    "to": "error",
    "why": "the limit leaves no room for the special tokens; the original then truncates nothing",
}
config_case("error-limit-below-specials", model_max_length=1, repaired=NO_ROOM)
for label, value in [
    ("huge", 10**30),
    ("above-pointer-size", 2**63),
    ("string", "8"),
    ("null", None),
    ("true", True),
    ("zero", 0),
    ("negative", -8),
]:
    config_case(f"error-limit-{label}", model_max_length=value)
config_case("error-limit-missing", drop=["model_max_length"])


def limit_case(name, limit, length=None, **changes):
    """A limit that is not an integer of tokenizer_config.json, in other files or as a float."""
    plainly = tokenizer_files.wordpiece()["tokenizer_config.json"] | {"model_max_length": limit}

    def change(files):
        files["tokenizer_config.json"]["model_max_length"] = length
        edit(**changes)(files)

    repaired = {"to": "embed", "why": "the original takes the limit from tokenizer_config.json only"}
    instead = {"tokenizer_config.json": plainly}
    tokenizer_case(name, change, repaired=repaired, instead=instead)


def tables(rows, kind="bert"):
    return {"model_type": kind, "pad_token_id": 3, "max_position_embeddings": rows}


limit_case("limit-float", 8, length=8.0)
limit_case(
    "limit-of-sentence-config",
    9,
    length=10**30,
    sentence_bert_config={"max_seq_length": 9, "do_lower_case": False},
    config=tables(12),
)
limit_case("limit-of-positions", 10, config=tables(10))
# Its places begin behind that of the padding token, which is the fourth here.
limit_case("limit-of-positions-roberta", 10, config=tables(14, "xlm-roberta"))
config_case("truncation-left", model_max_length=9, truncation_side="left")
config_case("error-truncation-side", truncation_side="middle")
config_case("error-padding-side", padding_side="middle")
config_case("sides-null-or-empty", padding_side=None, truncation_side="")
config_case("padding-left", padding_side="left")
config_case("error-pad-token-missing", drop=["pad_token"])
# The files that an object stands for say the same with a plain string.
config_case(
    "pad-token-object",
    pad_token={"content": "[PAD]", "lstrip": False, "normalized": False, "rstrip": False},
    repaired={"to": "embed", "why": "the original takes the pad token as a string only"},
    instead={
        "tokenizer_config.json": tokenizer_files.wordpiece()["tokenizer_config.json"],
    },
)


def serialized(truncation=None, padding=None, **config):
    """Blocks inside tokenizer.json."""

    def change(files):
        files["tokenizer.json"]["truncation"] = truncation
        files["tokenizer.json"]["padding"] = padding
        if config:
            files["tokenizer_config.json"] |= config

    return change


def truncation_block(length, direction="Right", strategy="LongestFirst", stride=0):
    return {
        "direction": direction,
        "max_length": length,
        "strategy": strategy,
        "stride": stride,
    }


tokenizer_case("serialized-padding-fixed-short", serialized(padding=padding_block({"Fixed": 6})))
tokenizer_case("serialized-padding-fixed-long", serialized(padding=padding_block({"Fixed": 64})))
tokenizer_case("serialized-padding-left", serialized(padding=padding_block(direction="Left")))
tokenizer_case(
    "serialized-padding-left-config-right",
    serialized(padding=padding_block(direction="Left"), padding_side="right"),
)
tokenizer_case(
    "serialized-padding-multiple-of", serialized(padding=padding_block(pad_to_multiple_of=8))
)
tokenizer_case(
    "serialized-padding-other-token",
    serialized(padding=padding_block(pad_id=4, pad_token="[MASK]", pad_type_id=1)),
)
tokenizer_case("serialized-truncation", serialized(truncation=truncation_block(6)))
tokenizer_case(
    "serialized-truncation-left",
    serialized(truncation=truncation_block(6, "Left"), model_max_length=10),
)
tokenizer_case(
    "serialized-truncation-left-config-right",
    serialized(
        truncation=truncation_block(6, "Left"), model_max_length=10, truncation_side="right"
    ),
)
tokenizer_case(
    "serialized-truncation-stride",
    serialized(truncation=truncation_block(8, stride=4, strategy="OnlyFirst"), model_max_length=10),
)


def pad_id_absent(files):
    del files["config.json"]["pad_token_id"]


tokenizer_case("pad-id-missing", pad_id_absent)
tokenizer_case("pad-id-null", edit(config={"pad_token_id": None}))
tokenizer_case("pad-id-of-config", edit(config={"pad_token_id": 5}))
tokenizer_case("error-pad-id-string", edit(config={"pad_token_id": "3"}))
tokenizer_case("error-pad-id-float", edit(config={"pad_token_id": 3.0}))
tokenizer_case("error-pad-id-negative", edit(config={"pad_token_id": -1}))
tokenizer_case("config-missing", edit(config=None))
tokenizer_case("special-tokens-map-missing", edit(special_tokens_map=None))
tokenizer_case("config-and-map-missing", edit(config=None, special_tokens_map=None))
tokenizer_case("error-tokenizer-missing", edit(tokenizer=None))


def vocabulary_case(name, settings=None, **library):
    """vocab.txt alone; the other file is what the tokenizers library makes of it."""
    files = tokenizer_files.wordpiece()
    vocab = files["tokenizer.json"]["model"]["vocab"]
    made = BertWordPieceTokenizer(vocab, **library)

    def change(files):
        files["tokenizer.json"] = None
        files["vocab.txt"] = "".join(f"{token}\n" for token in vocab).encode()
        if settings is None:
            files["tokenizer_config.json"] = None
        else:
            files["tokenizer_config.json"] |= settings

    case(
        name,
        "mean-normalized",
        plain(positions="mask"),
        change=change,
        dim=4,
        repaired={"to": "embed", "why": "the original reads tokenizer.json only"},
        instead={
            "tokenizer.json": json.loads(made.to_str()),
            "tokenizer_config.json": files["tokenizer_config.json"],
        },
        **({"max_tokens": 32} if settings is None else {}),
    )


vocabulary_case("vocabulary", {})
vocabulary_case("vocabulary-alone")
vocabulary_case(
    "vocabulary-cased",
    {"do_lower_case": False, "tokenize_chinese_chars": False},
    lowercase=False,
    handle_chinese_chars=False,
)
vocabulary_case("vocabulary-accents", {"strip_accents": False}, strip_accents=False)
tokenizer_case("error-tokenizer-config-missing", edit(tokenizer_config=None))


def unknown_pad_token(files):
    files["tokenizer_config.json"]["pad_token"] = "[NOPAD]"
    del files["config.json"]["pad_token_id"]


tokenizer_case("error-pad-token-unknown", unknown_pad_token)
tokenizer_case(
    "special-tokens-list", edit(special_tokens_map={"additional_special_tokens": ["[E1]", "[E2]"]})
)


def token_object(content, **flags):
    names = ("single_word", "lstrip", "rstrip", "normalized")
    return {"content": content} | {n: False for n in names} | flags


tokenizer_case(
    "special-tokens-objects",
    edit(
        special_tokens_map={
            "additional_special_tokens": [
                token_object("[e1]", normalized=True),
                token_object("[E2]", lstrip=True, rstrip=True),
            ],
            "eod_token": token_object("que", single_word=True),
            "other_token": token_object("[E1]") | {"special": True},
        }
    ),
)
# An object that leaves `normalized` out means false, whatever it says of `special`: "[e1]" is not
# "[E1]". Unknown keys such as `__type` have no meaning, nor has an object without content.
tokenizer_case(
    "special-tokens-object-defaults",
    edit(
        special_tokens_map={
            "additional_special_tokens": [
                {"content": "[E1]", "__type": "AddedToken", "special": False},
                {"lstrip": True},
            ]
        }
    ),
)
tokenizer_case(
    "error-special-token-content", edit(special_tokens_map={"eod_token": {"content": 5}})
)
tokenizer_case(
    "error-special-token-flag",
    edit(special_tokens_map={"eod_token": {"content": "[E1]", "lstrip": None}}),
)
tokenizer_case(
    "special-tokens-other-values",
    edit(special_tokens_map={"bos_token": None, "count": 5, "flag": True, "nested": [7, "[E1]"]}),
)


def pad_token_from_map(files):
    """The map names a pad token that tokenizer.json does not have: it is added and gets an id."""
    files["special_tokens_map.json"]["pad_token"] = "[NEWPAD]"
    files["tokenizer_config.json"]["pad_token"] = "[NEWPAD]"
    del files["config.json"]["pad_token_id"]


tokenizer_case("special-tokens-pad-added", pad_token_from_map)


def not_flagged_special(files):
    """An added token that is not special: it is found in the text after normalisation."""
    entry = tokenizer_files.added(5, "[unused0]", special=False, normalized=True)
    files["tokenizer.json"]["added_tokens"].append(entry)


tokenizer_case("added-token-not-special", not_flagged_special, texts=SHORT + ["[unused0] [UNUSED0]"])
tokenizer_case("limit-8-unigram", set_limit(8), tokenizer=tokenizer_files.unigram())
tokenizer_case("limit-8-bpe-left", set_limit(8), tokenizer=tokenizer_files.byte_level_bpe())

# --- static models --------------------------------------------------------------------------------


def static_case(
    name,
    tokenizer=None,
    dtype="F32",
    mapping=None,
    weights=None,
    texts=VARIED,
    change=None,
    tensors=None,
    dim=8,
    **options,
):
    """Adds a static model; `mapping` and `weights` are the dtypes of those tensors."""
    model, path, facts = KINDS["static"]
    files = {"tokenizer.json": (tokenizer or tokenizer_files.wordpiece())["tokenizer.json"]}
    vocab = tokenizer_files.vocab_size(files)
    random = np.random.RandomState(seed(name))
    rows = vocab // 3 if mapping else vocab
    table = random.standard_normal((rows, dim)).astype(np.float32)
    if dtype.startswith("I") or dtype == "U8":
        table = random.randint(0 if dtype == "U8" else -127, 128, (rows, dim))
    content = {"embeddings": (dtype, table)}
    if mapping:
        content["mapping"] = (mapping, random.randint(0, rows, vocab))
    if weights:
        content["weights"] = (weights, 0.1 + random.random_sample(vocab))
    if tensors:
        tensors(content)
    files[path] = safetensors_file.file(content)
    if change:
        change(files)
    files = {k: v for k, v in files.items() if v is not None}
    spec = {"file": path, "dim": dim} | facts
    CASES.append(Case(name, model, spec, files, texts, **options))


static_case("static")
static_case("static-double", dtype="F64", texts=SHORT)
static_case("static-half", dtype="F16", texts=SHORT)
static_case("static-bfloat16", dtype="BF16", texts=SHORT)
static_case("static-int8", dtype="I8", texts=SHORT)
static_case("static-unigram", tokenizer_files.unigram())
static_case("static-bpe", tokenizer_files.byte_level_bpe(), dim=4)
static_case("static-mapping", mapping="I64", texts=SHORT)
static_case("static-mapping-int32", mapping="I32", texts=SHORT)
static_case("static-weights", weights="F32", texts=SHORT)
static_case("static-weights-double", weights="F64", texts=SHORT)
static_case(
    "static-int8-mapping-weights",
    tokenizer_files.unigram(),
    dtype="I8",
    mapping="I64",
    weights="F32",
)


def no_unknown(files):
    files["tokenizer.json"]["model"]["unk_id"] = None


static_case(
    "static-unigram-no-unknown",
    tokenizer_files.unigram(),
    change=no_unknown,
    texts=["", "hello world", "the quick brown fox"],
)


def stale_unknown(files):
    """The id of the unknown token names an ordinary one, which is then left out."""
    model = files["tokenizer.json"]["model"]
    model["unk_id"] = next(i for i, (t, _) in enumerate(model["vocab"]) if t == "▁fox")


static_case("static-unigram-stale-unknown", tokenizer_files.unigram(), change=stale_unknown)
static_case(
    "static-serialized-blocks",
    change=serialized(truncation=truncation_block(4, "Left"), padding=padding_block({"Fixed": 6})),
    texts=SHORT,
)
static_case(
    "error-static-no-embeddings",
    tensors=lambda content: content.update(table=content.pop("embeddings")),
    texts=SHORT,
)
static_case("error-static-dtype", dtype="F8_E4M3", texts=SHORT)
static_case(
    "error-static-tokenizer-missing",
    change=lambda files: files.update({"tokenizer.json": None}),
    texts=SHORT,
)
static_case(
    "error-static-mapping-outside",
    mapping="I64",
    tensors=lambda content: content["mapping"][1].__iadd__(10_000),
    texts=SHORT,
)


def too_few(name):
    def change(content):
        dtype, value = content[name]
        content[name] = (dtype, value[:10])

    return change


static_case("error-static-few-rows", tensors=too_few("embeddings"), texts=SHORT)
static_case("error-static-few-weights", weights="F32", tensors=too_few("weights"), texts=SHORT)
