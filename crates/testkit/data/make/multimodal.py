"""Makes the folders below data/multimodal again: tiny models like ColPali and ColModernVBERT, pictures,
and what FastEmbed 0.9.1 gives for each text and each picture alone.

    python multimodal.py [NAME…]
"""

import dataclasses
import shutil
import sys
import zlib

import numpy as np
import oracle
from fastembed import LateInteractionMultimodalEmbedding
from fastembed.late_interaction_multimodal.colmodernvbert import supported_colmodernvbert_models
from fastembed.late_interaction_multimodal.colpali import supported_colpali_models
from onnx import TensorProto
from PIL import Image

import graphs
import tokenizer_files
from make import DATA, layout, toml_value, write
from oracle import Failure, attempt, differs
from texts import expand

FOLDER = DATA / "multimodal"
HIDDEN = 8
DIM = 4
TEXTS = [
    "",
    "hello world",
    "Hello, World!",
    "the quick brown fox jumps over the lazy dog and the fox",
    "  spaces  and\nlines\r\n",
    "naïve café 你好 😀",
    "<s> in the text <pad><image> and <end_of_utterance><bos></s>",
    {"repeat": "the dog and the fox, ", "times": 60},
]
FEW = [TEXTS[1], TEXTS[0], TEXTS[3]]


# Pictures: width, height, mode.
PICTURES = {
    "37x23.png": (37, 23, "RGB"),
    "23x37.png": (23, 37, "RGB"),
    "1x1.png": (1, 1, "RGB"),
    "1x500.png": (1, 500, "L"),
    "5000x3.png": (5000, 3, "RGB"),
    "64x64.png": (64, 64, "RGBA"),
    "120x30.png": (120, 30, "P"),
    "600x300.png": (600, 300, "L"),
}


def picture(name):
    """Waves and hard edges; no noise, so that the file is small."""
    width, height, mode = PICTURES[name]
    random = np.random.RandomState(zlib.crc32(name.encode()))
    step = 10 if width * height > 5000 else 1  # blocks, where a file would be large
    y, x = np.mgrid[0:height, 0:width].astype(np.float64) // step
    channels = []
    for _ in range(4 if mode == "RGBA" else 3):
        a, b, c = random.uniform(0.02, 0.4, 3)
        wave = 127.5 + 90 * np.sin(a * x + b * y) + 37 * np.sign(np.sin(c * (x - y)))
        channels.append(np.clip(wave, 0, 255).astype(np.uint8))
    if mode in ("L", "P"):
        image = Image.fromarray(channels[0])
        return image if mode == "L" else image.convert("RGB").quantize(16)
    return Image.fromarray(np.stack(channels, axis=-1))


# Graphs.


def tokens(g, table, types):
    """Vectors of the tokens with their positions; ids are taken modulo the size of the table."""
    ids, mask = g.input("input_ids"), None
    rest = g.add("Mod", ids, g.constant(np.array(table, dtype=np.int64)))
    x = g.add("Gather", g.weight(table, g.dim), rest)
    if types:
        x = g.add("Add", x, g.add("Gather", g.weight(2, g.dim), g.input("token_type_ids")))
    place = g.add("Unsqueeze", graphs.sequence_positions(g, ids), g.axes(1))
    frequency = np.linspace(0.3, 1.7, g.dim, dtype=np.float32)
    return ids, g.add("Add", x, g.add("Sin", g.add("Mul", place, g.constant(frequency))))


def shape_without_batch(g, x, pixels, rank):
    """Adds something that depends on the shape of the pixels, which would otherwise not show for
    texts."""
    shape = g.add("Slice", g.add("Shape", pixels), g.axes(1), g.axes(rank))
    shape = g.add("Mul", g.cast(shape, TensorProto.FLOAT), g.constant(np.float32(0.01)))
    return g.add("Add", x, g.add("MatMul", shape, g.weight(rank - 1, g.dim)))


def patches(g, pixels, kernel):
    """Vectors [images, patches, dim]: a patch has 2 x 2 blocks of `kernel` x `kernel` pixels."""
    blocks = g.add("AveragePool", pixels, kernel_shape=[kernel] * 2, strides=[kernel] * 2)
    weight = g.weight(g.dim, 3, 2, 2)
    x = g.add("Conv", blocks, weight, kernel_shape=[2, 2], strides=[2, 2])
    x = g.add("Transpose", x, perm=[0, 2, 3, 1])
    shape = g.axes(0, -1, g.dim)
    return g.add("Reshape", x, shape)


def finish(g, x, mask, half, flat=False):
    x = graphs.attention_layer(g, x, mask)
    x = g.add("LpNormalization", g.add("MatMul", x, g.weight(g.dim, DIM)), axis=-1, p=2)
    if flat:
        x = g.add("Reshape", x, g.axes(0, -1))
        g.output(x, "embeddings", ("batch", "values"))
    elif half:
        x = g.cast(x, TensorProto.FLOAT16)
        g.output(x, "embeddings", ("batch", "sequence", DIM), TensorProto.FLOAT16)
    else:
        g.output(x, "embeddings", ("batch", "sequence", DIM))


def colpali(g, mask=True, types=False, half=False, pixels=True, side="height", flat=False):
    """The image tokens of a row get the vectors of its patches, in order."""
    # A prime for which the ids of the prompt stay apart.
    ids, x = tokens(g, 503, types)
    mask = g.input("attention_mask") if mask else None
    if pixels:
        images = g.input("pixel_values", ("batch", 3, side, side), TensorProto.FLOAT)
        is_image = g.add("Equal", ids, g.constant(np.array(257152, dtype=np.int64)))
        is_image = g.cast(is_image, TensorProto.INT64)
        one = g.constant(np.array(1, dtype=np.int64))
        count = g.add("CumSum", is_image, one)
        index = g.add("Unsqueeze", g.add("Mul", is_image, g.add("Sub", count, one)), g.axes(2))
        found = g.add("GatherND", patches(g, images, 7), index, batch_dims=1)
        weight = g.add("Unsqueeze", g.cast(is_image, TensorProto.FLOAT), g.axes(2))
        x = g.add("Add", x, g.add("Mul", found, weight))
        x = shape_without_batch(g, x, images, 4)
    finish(g, x, mask, half, flat)


def colmodernvbert(g, image_id, kernel=4, mask=True, types=False, half=False):
    """The image tokens of all rows get the patches of all tiles that are not black, in order."""
    ids, x = tokens(g, 400, types)
    mask = g.input("attention_mask") if mask else None
    images = g.input("pixel_values", ("batch", "tiles", 3, "height", "width"), TensorProto.FLOAT)
    one_tile = g.add("Slice", g.add("Shape", images), g.axes(2), g.axes(5))
    tiles = g.add("Reshape", images, g.add("Concat", g.axes(-1), one_tile, axis=0))
    brightest = g.add("ReduceMax", g.add("Abs", tiles), axes=[1, 2, 3], keepdims=0)
    kept = g.add("Greater", brightest, g.constant(np.float32(0)))
    kept = g.add("Compress", tiles, kept, axis=0)
    # A black tile in front, so that there is always something to look up.
    black = g.add("Concat", g.axes(1), one_tile, axis=0)
    black = g.add("Expand", g.constant(np.float32(0)), black)
    vectors = patches(g, g.add("Concat", black, kept, axis=0), kernel)
    per_tile = g.add("Slice", g.add("Shape", vectors), g.axes(1), g.axes(2))
    vectors = g.add("Reshape", vectors, g.axes(-1, g.dim))

    is_image = g.add("Equal", ids, g.constant(np.array(image_id, dtype=np.int64)))
    flat = g.cast(g.add("Reshape", is_image, g.axes(-1)), TensorProto.INT64)
    one = g.constant(np.array(1, dtype=np.int64))
    count = g.add("CumSum", flat, g.constant(np.array(0, dtype=np.int64)))
    place = g.add("Sub", g.add("Add", count, per_tile), one)
    # A text may have more image tokens than there are patches.
    last = g.add("Sub", g.add("Slice", g.add("Shape", vectors), g.axes(0), g.axes(1)), one)
    found = g.add("Gather", vectors, g.add("Min", g.add("Mul", flat, place), last))
    found = g.add("Reshape", found, g.add("Concat", g.add("Shape", ids), g.axes(g.dim), axis=0))
    weight = g.add("Unsqueeze", g.cast(is_image, TensorProto.FLOAT), g.axes(2))
    x = g.add("Add", x, g.add("Mul", found, weight))
    x = shape_without_batch(g, x, images, 5)
    finish(g, x, mask, half)


# Tokenizers.


def gemma_like():
    """BPE with bytes for what it does not know, and spaces as `▁`; `<bos>` in front."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<s>", "<image>"]
    text = [chr(c) for c in range(0x21, 0x7F) if chr(c) not in "<>"]
    known = special + [f"<0x{b:02X}>" for b in range(256)] + ["▁", "\n", "é"] + text
    merges = []
    for word in ["Query", "▁hello", "▁the", "▁fox", "▁dog", "▁world"]:
        left = word[0]
        for right in word[1:]:
            if left + right not in known:
                merges.append([left, right])
                known.append(left + right)
            left += right
    vocab = {token: i for i, token in enumerate(known)}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    tokenizer = tokenizer_files.document(
        model,
        {token: vocab[token] for token in special},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        None,
        tokenizer_files.template(vocab, ["<bos>"], []),
        None,
    )
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"model_max_length": 50, "pad_token": "<pad>"},
        "special_tokens_map.json": {"bos_token": "<bos>", "pad_token": "<pad>"},
        "preprocessor_config.json": {
            "image_processor_type": "SiglipImageProcessor",
            "do_resize": True,
            "size": {"height": 448, "width": 448},
            "resample": 3,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    }


def modern_bert_like():
    """Byte-level BPE with `[CLS]` and `[SEP]` around, and tokens for tiles."""
    files = tokenizer_files.byte_level_bpe()
    tokenizer = files["tokenizer.json"]
    first = len(tokenizer["model"]["vocab"])
    special = ["[CLS]", "[SEP]", "[PAD]", "<|begin_of_text|>", "<end_of_utterance>", "<image>"]
    special += ["<fake_token_around_image>", "<global-img>"]
    special += [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
    ids = {token: first + i for i, token in enumerate(special)}
    tokenizer["added_tokens"] = [tokenizer_files.added(i, token) for token, i in ids.items()]
    tokenizer["post_processor"] = tokenizer_files.template(ids, ["[CLS]"], ["[SEP]"])
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"model_max_length": 512, "pad_token": "[PAD]"},
        "special_tokens_map.json": {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"},
        "config.json": {"vision_config": {"image_size": 16}},
        "processor_config.json": {"image_seq_len": 4},
        "preprocessor_config.json": {
            "image_processor_type": "Idefics3ImageProcessor",
            "do_resize": True,
            "size": {"longest_edge": 64},
            "max_image_size": {"longest_edge": 16},
            "do_image_splitting": True,
            "resample": 1,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    }


# Cases.


@dataclasses.dataclass
class Case:
    """`files` maps a file to what replaces it, to a function that changes it, or to None."""

    kind: str
    graph: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)
    texts: list = dataclasses.field(default_factory=lambda: FEW)
    images: list = dataclasses.field(default_factory=lambda: ["37x23.png"])
    repaired: str | None = None


def updated(**change):
    return lambda content: content | change


def without(*keys):
    return lambda content: {key: value for key, value in content.items() if key not in keys}


def serialised_padding(token, token_id, multiple):
    padding = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": multiple,
        "pad_id": token_id,
        "pad_type_id": 0,
        "pad_token": token,
    }
    return {"tokenizer.json": updated(padding=padding)}


LEFT = {"tokenizer_config.json": updated(padding_side="left")}
PREPROCESSOR, PROCESSOR, CONFIG = "preprocessor_config.json", "processor_config.json", "config.json"
SHAPES = ["37x23.png", "23x37.png", "1x1.png", "1x500.png", "5000x3.png", "64x64.png", "120x30.png"]
PAD_ID = 285  # of `[PAD]`; checked when it is used
CASES = {
    "colpali": Case("colpali", texts=TEXTS, images=["37x23.png", "5000x3.png", "64x64.png"]),
    "colpali-left": Case("colpali", files=LEFT, texts=TEXTS),
    "colpali-half": Case("colpali", graph={"half": True}),
    "colpali-multiple-of": Case("colpali", files=serialised_padding("<pad>", 0, 8), texts=TEXTS),
    "colpali-types": Case(
        "colpali",
        graph={"types": True},
        repaired="the graph's token types are not fed with images; they are zeros, as with texts",
    ),
    "colpali-no-mask": Case(
        "colpali",
        graph={"mask": False},
        repaired="a mask is fed with images although the graph has no such input; it is left out",
    ),
    "colpali-limit-3": Case(
        "colpali", files={"tokenizer_config.json": updated(model_max_length=3)}
    ),
    "colpali-limit-2": Case(
        "colpali", files={"tokenizer_config.json": updated(model_max_length=2)}
    ),
    "colpali-limit-1": Case(
        "colpali", files={"tokenizer_config.json": updated(model_max_length=1)}
    ),
    "error-colpali-no-pixels": Case("colpali", graph={"pixels": False}),
    "colpali-flat-output": Case(
        "colpali",
        graph={"flat": True},
        repaired="of a text come numbers instead of vectors, since only the output for images is cut into these",
    ),
    "error-colpali-image-side": Case(
        "colpali",
        graph={"side": 448},
        files={PREPROCESSOR: updated(size={"height": 224, "width": 224})},
    ),
    "error-colpali-tiles": Case(
        "colpali",
        files={
            PREPROCESSOR: {
                "image_processor_type": "Idefics3ImageProcessor",
                "max_image_size": {"longest_edge": 448},
            }
        },
    ),
    "error-colpali-preprocessor-missing": Case("colpali", files={PREPROCESSOR: None}),
    "error-colpali-preprocessor-unknown": Case(
        "colpali", files={PREPROCESSOR: updated(image_processor_type="ViTImageProcessor")}
    ),
    "error-colpali-tokenizer-missing": Case("colpali", files={"tokenizer.json": None}),
    "colmodernvbert": Case("colmodernvbert", texts=TEXTS, images=SHAPES),
    "colmodernvbert-left": Case("colmodernvbert", files=LEFT, texts=TEXTS, images=SHAPES[:2]),
    "colmodernvbert-half": Case("colmodernvbert", graph={"half": True}),
    "colmodernvbert-types-only-text": Case("colmodernvbert", graph={"types": True}, images=[]),
    "colmodernvbert-no-mask-only-text": Case("colmodernvbert", graph={"mask": False}, images=[]),
    "colmodernvbert-square": Case(
        "colmodernvbert",
        files={PREPROCESSOR: updated(do_image_splitting=False, resample=2)},
        images=SHAPES,
    ),
    "colmodernvbert-no-resize": Case(
        "colmodernvbert",
        files={PREPROCESSOR: without("do_resize", "size", "resample")},
        images=["37x23.png", "23x37.png", "1x1.png", "64x64.png"],
    ),
    "colmodernvbert-defaults": Case(
        "colmodernvbert",
        graph={"kernel": 32},
        files={
            CONFIG: {},
            PROCESSOR: {},
            PREPROCESSOR: without("max_image_size", "do_resize", "size"),
        },
        images=["600x300.png", "1x1.png"],
    ),
    "colmodernvbert-text-side": Case(
        "colmodernvbert", files={CONFIG: updated(vision_config={"image_size": 24})}
    ),
    "colmodernvbert-multiple-of": Case(
        "colmodernvbert",
        files=serialised_padding("[PAD]", PAD_ID, 8),
        texts=TEXTS,
        images=SHAPES[:2],
    ),
    "colmodernvbert-text-limit": Case(
        "colmodernvbert",
        files={"tokenizer_config.json": updated(model_max_length=12)},
        texts=TEXTS,
        images=[],
    ),
    "error-colmodernvbert-prompt-truncated": Case(
        "colmodernvbert",
        files={"tokenizer_config.json": updated(model_max_length=40)},
        repaired="the prompt of the image is cut at the tokenizer's limit: tokens and tiles disagree",
    ),
    "error-colmodernvbert-resize-without-size": Case(
        "colmodernvbert", files={PREPROCESSOR: without("size")}
    ),
    "error-colmodernvbert-other-preprocessor": Case(
        "colmodernvbert",
        files={
            PREPROCESSOR: {
                "image_processor_type": "SiglipImageProcessor",
                "do_resize": True,
                "size": {"height": 16, "width": 16},
            }
        },
    ),
    "error-colmodernvbert-config-missing": Case("colmodernvbert", files={CONFIG: None}),
    "error-colmodernvbert-processor-missing": Case("colmodernvbert", files={PROCESSOR: None}),
    "error-colmodernvbert-tokens-null": Case(
        "colmodernvbert", files={PROCESSOR: {"image_seq_len": None}}
    ),
    "error-colmodernvbert-tokens-string": Case(
        "colmodernvbert", files={PROCESSOR: {"image_seq_len": "4"}}
    ),
    "error-colmodernvbert-tile-null": Case(
        "colmodernvbert", files={PREPROCESSOR: updated(max_image_size=None)}
    ),
    "error-colmodernvbert-side-null": Case(
        "colmodernvbert",
        files={CONFIG: {"vision_config": {"image_size": None}}},
        repaired="only texts fail, when the first is embedded; the file is refused at once",
    ),
    "error-colmodernvbert-config-list": Case("colmodernvbert", files={CONFIG: [1]}),
}

MODELS = {
    "colpali": ("Qdrant/colpali-v1.3-fp16", "model.onnx"),
    "colmodernvbert": ("Qdrant/colmodernvbert", "model_v2.onnx"),
}
FACTS = {
    "colpali": {
        "text_prefix": "<s>Query: ",
        "text_augmentation": {"token": "<pad>", "times": 10},
        "text_suffix": "\n",
        "text_start_ids": [2, 5098],
        "image_side": 448,
        "image_token_id": 257152,
        "image_tokens": 1024,
        "image_prompt_ids": [2, 50721, 573, 2416, 235265, 108],
    },
    "colmodernvbert": {
        "text_augmentation": {"token": "<end_of_utterance>", "times": 10},
        "image_prefix": "<|begin_of_text|>User:",
        "image_suffix": "Describe the image.<end_of_utterance>\nAssistant:",
        "image_token": "<image>",
        "frame_token": "<fake_token_around_image>",
        "global_token": "<global-img>",
    },
}
# The graphs are narrower than the real ones; where the original cuts images into vectors, it goes by
# its description of the model.
for descriptions in (supported_colpali_models, supported_colmodernvbert_models):
    descriptions[0] = dataclasses.replace(descriptions[0], dim=DIM)


def case_files(name, case):
    files = gemma_like() if case.kind == "colpali" else modern_bert_like()
    g = graphs.Graph(zlib.crc32(name.encode()), HIDDEN)
    if case.kind == "colpali":
        colpali(g, **case.graph)
    else:
        added = {t["content"]: t["id"] for t in files["tokenizer.json"]["added_tokens"]}
        assert added["[PAD]"] == PAD_ID, added["[PAD]"]
        colmodernvbert(g, added["<image>"], **case.graph)
    files[MODELS[case.kind][1]] = g.model().SerializeToString(deterministic=True)
    for path, change in case.files.items():
        if change is None:
            del files[path]
        else:
            files[path] = change(files[path]) if callable(change) else change
    return files


def each(folder, embed, inputs):
    """Each input alone, and how many vectors it has in a batch with all others, where that differs."""
    try:
        alone = [attempt("embed", lambda: list(embed([x], batch_size=1))[0]) for x in inputs]
    except Failure as failure:
        return [], {"error": failure.as_json(folder)}
    if alone and alone[0].ndim != 2:
        return [], {"shape": list(alone[0].shape)}
    rows = [len(vectors) for vectors in alone]
    result = {"rows": rows}
    try:
        together = attempt("embed", lambda: list(embed(inputs, batch_size=len(inputs))))
        found = [len(vectors) for vectors in together]
        if found != rows:
            result["rows_in_batch"] = found
        elif any(differs(a, b) for a, b in zip(alone, together)):
            result["batch_differs"] = True
    except Failure as failure:
        result["batch_error"] = failure.as_json(folder)
    return alone, result


def golden_values(case, folder):
    """The content of golden.json and of golden.f32."""
    name = MODELS[case.kind][0]
    texts = [expand(text) for text in case.texts]
    images = [str(FOLDER / "images" / image) for image in case.images]
    golden = {"model": name, "texts": case.texts, "images": case.images}
    if case.repaired:
        golden["repaired"] = case.repaired
    try:
        options = {"specific_model_path": str(folder), "local_files_only": True}
        model = attempt("load", lambda: LateInteractionMultimodalEmbedding(name, **options))
    except Failure as failure:
        return golden | {"error": failure.as_json(folder)}, []
    golden["token_counts"] = [model.token_count([text]) for text in texts]
    extended = [model.token_count([text], include_extension=True) for text in texts]
    golden["token_counts_with_extension"] = extended
    of_texts, golden["embed_text"] = each(folder, model.embed_text, texts)
    of_images, golden["embed_image"] = each(folder, model.embed_image, images) if images else ([], {})
    vectors = of_texts + of_images
    if vectors:
        golden["dtype"] = str(vectors[0].dtype)
    assert all(v.ndim == 2 and v.shape[1] == DIM for v in vectors)
    return golden, vectors


def make_case(name):
    case = CASES[name]
    folder = FOLDER / name
    if folder.exists():
        shutil.rmtree(folder)
    write(folder, case_files(name, case))
    file = MODELS[case.kind][1]
    row = {"id": f"tiny/{name}", "source": {"repo": f"tiny/{name}"}, "file": file}
    row |= {"task": "late-multimodal", "kind": case.kind, "dim": DIM} | FACTS[case.kind]
    spec = "".join(f"{key} = {toml_value(value)}\n" for key, value in row.items())
    (folder / "spec.toml").write_text(spec, encoding="utf-8")
    golden, vectors = golden_values(case, folder)
    (folder / "golden.json").write_text(layout(golden), encoding="utf-8")
    if vectors:
        values = np.concatenate([v.astype("<f4").ravel() for v in vectors])
        (folder / "golden.f32").write_bytes(values.tobytes())
    shown = {k: v for k, v in golden.items() if k in ("embed_text", "embed_image", "error", "dtype")}
    return str(shown)[:600]


def main(names):
    oracle.check_version()
    (FOLDER / "images").mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        picture(name).save(FOLDER / "images" / name, optimize=True)
    for name in CASES:
        if not names or name in names:
            print(f"{name}: {make_case(name)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
