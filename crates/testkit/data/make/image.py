"""Makes data/image again: tiny image models of every kind with what FastEmbed 0.9.1 gives for a few
tiny pictures, and golden values of a real model.

    python image.py [NAME…]
    python image.py efficientnet DIR PICTURES     golden values of a real model, from its folder and
                                                  that of its pictures (`cargo xtask assets`)
"""

import io
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import oracle
from fastembed import ImageEmbedding
from onnx import TensorProto
from PIL import Image

import graphs
from make import DATA, layout, toml_value, write

ROOT = DATA / "image"
SIDE = 16  # of the tensors that most graphs take
PATCH = 4
CHANNELS = 5
DIM = 8
HALF = np.array([0.5, 0.5, 0.5])
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


# --- pictures -------------------------------------------------------------------------------------


def pictures():
    """Name -> picture. Sides below and above those of the models, and every layout of pixels."""
    random = np.random.RandomState(20)

    def smooth(height, width, bands):
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x * (0.3 + 0.1 * b) + 0.2 * y) + np.cos(0.25 * y - b) for b in range(bands)]
        noise = random.standard_normal((height, width, bands)) * 9
        return np.clip(np.stack(waves, axis=2) * 55 + 128 + noise, 0, 255).astype(np.uint8)

    rgba = smooth(20, 27, 4)
    rgba[:, :9, 3] = 0  # hidden colours count, as in the original
    checker = np.kron(np.indices((9, 4)).sum(axis=0) % 2, np.ones((3, 3))) * 255
    palette = Image.fromarray(smooth(16, 16, 3)).quantize(12)
    return {
        "wide.png": Image.fromarray(smooth(18, 41, 3)),
        "tall.png": Image.fromarray(smooth(37, 14, 3)),
        "square.png": Image.fromarray(smooth(SIDE, SIDE, 3)),
        "rgba.png": Image.fromarray(rgba),
        "grey.png": Image.fromarray(smooth(15, 15, 1)[:, :, 0]),
        "palette.png": palette,
        "checker.png": Image.fromarray(checker.astype(np.uint8)),
        "one.png": Image.fromarray(np.array([[[200, 10, 90]]], dtype=np.uint8)),
        "black.png": Image.fromarray(np.zeros((17, 23, 3), dtype=np.uint8)),
    }


# --- preprocessing --------------------------------------------------------------------------------


def clip():
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": SIDE + 3},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    }


def exact(kind, **change):
    return {
        "image_processor_type": kind,
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(HALF),
        "image_std": list(HALF),
    } | change


def convnext():
    return {
        "image_processor_type": "ConvNextFeatureExtractor",
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "crop_pct": 0.875,
        "resample": 3,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }


def jina():
    return {
        "image_processor_type": "JinaCLIPImageProcessor",
        "size": SIDE,
        "resize_mode": "shortest",
        "interpolation": "bicubic",
        "fill_color": 0,
        "mean": CLIP_MEAN,
        "std": CLIP_STD,
    }


def as_it_is():
    """No resizing: pictures keep their sizes."""
    return {"image_processor_type": "CLIPImageProcessor", "do_rescale": True}


# --- graphs ---------------------------------------------------------------------------------------


def pixels(g, name="pixel_values", shape=("batch", 3, SIDE, SIDE), kind=TensorProto.FLOAT):
    return g.input(name, shape, kind)


def patches(g, x, side=SIDE):
    """Vectors of the patches, [batch, patches, CHANNELS], each with its place."""
    weight = g.weight(CHANNELS, 3, PATCH, PATCH, scale=0.15)
    x = g.add("Conv", x, weight, strides=[PATCH, PATCH], kernel_shape=[PATCH, PATCH])
    count = (side // PATCH) ** 2
    shape = g.constant(np.array([-1, CHANNELS, count], dtype=np.int64))
    x = g.add("Transpose", g.add("Reshape", x, shape), perm=[0, 2, 1])
    return g.add("Mul", g.add("Tanh", x), g.weight(count, CHANNELS))


def pooled(g, x, width=DIM):
    x = g.add("Flatten", patches(g, x), axis=1)
    return g.add("MatMul", x, g.weight((SIDE // PATCH) ** 2 * CHANNELS, width, scale=0.4))


def rank_2(input_name="pixel_values", output="image_embeds"):
    def build(g):
        g.output(pooled(g, pixels(g, input_name)), output, ("batch", DIM))

    return build


def rank_4(g):
    x = pooled(g, pixels(g, "data"))
    x = g.add("Unsqueeze", x, g.axes(2, 3))
    g.output(x, "resnetv17_flatten", ("batch", DIM, 1, 1))


def rank_3(width, tokens_only=False):
    """A class token before the patches; the token depends on all of them."""

    def build(g):
        x = patches(g, pixels(g))
        mean = g.add("ReduceMean", x, axes=[1], keepdims=1)
        x = x if tokens_only else g.add("Concat", mean, x, axis=1)
        x = g.add("MatMul", x, g.weight(CHANNELS, width))
        g.output(x, "last_hidden_state", ("batch", "patches", width))

    return build


def two_outputs(g):
    x = patches(g, pixels(g))
    g.output(x, "last_hidden_state", ("batch", "patches", CHANNELS))
    flat = g.add("Flatten", x, axis=1)
    x = g.add("MatMul", flat, g.weight((SIDE // PATCH) ** 2 * CHANNELS, DIM, scale=0.4))
    g.output(x, "pooler_output", ("batch", DIM))


def cast_to(kind, scale=1.0):
    """Vectors of another length, in another type."""

    def build(g):
        x = g.add("Mul", pooled(g, pixels(g)), g.constant(np.float32(scale)))
        g.output(g.cast(x, kind), "image_embeds", ("batch", DIM), kind)

    return build


def fixed_batch(g):
    """A graph that was exported for one picture at a time."""
    x = pooled(g, pixels(g, shape=(1, 3, SIDE, SIDE)))
    g.output(x, "image_embeds", (1, DIM))


def any_size(g):
    """Takes pictures of every size: the mean of each colour, and of its square."""
    x = pixels(g, shape=("batch", 3, "height", "width"))
    mean = g.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    square = g.add("ReduceMean", g.add("Mul", x, x), axes=[2, 3], keepdims=0)
    x = g.add("MatMul", g.add("Concat", mean, square, axis=1), g.weight(6, DIM))
    g.output(x, "image_embeds", ("batch", DIM))


def quantized(g):
    """The patches' activations are quantised by the range of the whole batch.

    Pixels are 0 to 255, their sums are rounded to multiples of 1/8 and weights fit in seven bits, so
    that every CPU rounds alike.
    """
    x = pixels(g)
    pool = g.add("AveragePool", x, kernel_shape=[PATCH, PATCH], strides=[PATCH, PATCH])
    count = (SIDE // PATCH) ** 2
    x = g.add("Reshape", pool, g.constant(np.array([-1, 3, count], dtype=np.int64)))
    x = g.add("Transpose", x, perm=[0, 2, 1])
    x = g.add("Round", g.add("Mul", x, g.constant(np.float32(8))))
    x = g.add("Sub", g.add("Mul", x, g.constant(np.float32(0.125))), g.constant(np.float32(64)))
    data, scale, zero = g.add("DynamicQuantizeLinear", x, outputs=3)
    weight = g.random.randint(-63, 64, (3, DIM)).astype(np.int8)
    product = g.add("MatMulInteger", data, g.constant(weight), zero, g.constant(np.int8(0)))
    scale = g.add("Mul", scale, g.constant(np.float32(0.01)))
    x = g.add("Mul", g.cast(product, TensorProto.FLOAT), scale)
    x = g.add("Mul", x, g.weight(count, 1))
    mean = g.add("ReduceMean", x, axes=[1], keepdims=1)
    g.output(g.add("Concat", mean, x, axis=1), "last_hidden_state", ("batch", "patches", DIM))


def second_input(g):
    x = pooled(g, pixels(g))
    more = g.input("input_ids", ("batch", 1))
    g.output(g.add("Add", x, g.cast(more, TensorProto.FLOAT)), "image_embeds", ("batch", DIM))


def no_batch_axis(g):
    """One vector for the whole batch, whose width is no multiple of most numbers of pictures."""
    x = g.add("ReduceMean", pooled(g, pixels(g)), axes=[0], keepdims=0)
    g.output(x, "image_embeds", (DIM,))


def row_too_many(g):
    """As many rows as pictures, and one more."""
    x = pooled(g, pixels(g))
    extra = g.add("ReduceMean", x, axes=[0], keepdims=1)
    g.output(g.add("Concat", x, extra, axis=0), "image_embeds", ("rows", DIM))


def half_input(g):
    x = g.cast(pixels(g, kind=TensorProto.FLOAT16), TensorProto.FLOAT)
    g.output(pooled(g, x), "image_embeds", ("batch", DIM))


# --- cases ----------------------------------------------------------------------------------------

CLIP = ("Qdrant/clip-ViT-B-32-vision", "model.onnx", {"pooling": "flatten"})
RESNET = ("Qdrant/resnet50-onnx", "model.onnx", {"pooling": "flatten"})
UNICOM = ("Qdrant/Unicom-ViT-B-16", "model.onnx", {"pooling": "flatten"})
JINA = ("jinaai/jina-clip-v1", "onnx/vision_model.onnx", {"pooling": "flatten"})
NOMIC = ("nomic-ai/nomic-embed-vision-v1.5", "onnx/model.onnx", {"pooling": "cls"})
NOMIC_Q = ("nomic-ai/nomic-embed-vision-v1.5-Q", "onnx/model_quantized.onnx", {"pooling": "cls"})
SIGLIP = (
    "google/siglip2-base-patch16-224",
    "onnx/vision_model.onnx",
    {"pooling": "flatten", "output": "pooler_output"},
)

# Why a case is an error although the original gives numbers.
NOT_ROWS = "the first axis of the output is not that of the pictures: numbers of several are mixed"

# Name -> kind, configuration (None for no file), graph, what else.
CASES = {
    "clip": (CLIP, clip(), rank_2(), {}),
    "resnet": (RESNET, convnext(), rank_4, {}),
    "unicom": (UNICOM, exact("CLIPImageProcessor"), rank_2("input", "output"), {}),
    "jina": (JINA, jina(), rank_2(), {}),
    "nomic": (NOMIC, clip(), rank_3(DIM), {}),
    "nomic-quantized": (
        NOMIC_Q,
        exact("CLIPImageProcessor", do_rescale=False, do_normalize=True, image_mean=0, image_std=1),
        quantized,
        {},
    ),
    "siglip": (SIGLIP, exact("SiglipImageProcessor"), two_outputs, {}),
    "no-processor-type": (
        UNICOM,
        {k: v for k, v in exact("").items() if k != "image_processor_type"},
        rank_2("input.1", "1234"),
        {},
    ),
    "flatten-rank-3": (CLIP, clip(), rank_3(2), {"dim": 34}),
    # The registered width decides where a token ends, whatever the last axis says.
    "cls-across-tokens": (NOMIC, clip(), rank_3(4, tokens_only=True), {}),
    "cls-rank-2": (NOMIC, clip(), rank_2(), {}),
    "half": (CLIP, clip(), cast_to(TensorProto.FLOAT16, scale=200.0), {}),
    "double": (CLIP, clip(), cast_to(TensorProto.DOUBLE), {}),
    "first-output": (JINA, jina(), two_outputs, {"dim": (SIDE // PATCH) ** 2 * CHANNELS}),
    "any-size": (CLIP, as_it_is(), any_size, {}),
    "fixed-batch": (CLIP, clip(), fixed_batch, {}),
    "error-no-configuration": (CLIP, None, rank_2(), {}),
    "error-configuration-type": (CLIP, exact("BitImageProcessor"), rank_2(), {}),
    "error-configuration-size": (CLIP, clip() | {"size": {"longest_edge": 9}}, rank_2(), {}),
    "error-output-name": (SIGLIP, exact("SiglipImageProcessor"), rank_2(), {}),
    "error-second-input": (CLIP, clip(), second_input, {}),
    "error-no-batch-axis": (CLIP, clip(), no_batch_axis, {"repaired": NOT_ROWS}),
    "error-row-too-many": (CLIP, clip(), row_too_many, {"repaired": NOT_ROWS}),
    "error-tensor-size": (CLIP, clip() | {"crop_size": 12}, rank_2(), {}),
    "error-cls-width": (NOMIC, clip(), rank_2(), {"dim": 5}),
    "error-half-input": (CLIP, clip(), half_input, {}),
}


def open_model(name, folder, dim):
    model = ImageEmbedding(name, specific_model_path=str(folder), local_files_only=True)
    # The registered width of a tiny model, which the original takes from its own list.
    description = model.model.model_description
    model.model.model_description = type(description)(**(vars(description) | {"dim": dim}))
    return model


def golden_values(name, folder, dim):
    names = list(pictures())
    paths = [str(ROOT / "pictures" / picture) for picture in names]
    result = {"model": name, "pictures": names}
    try:
        model = oracle.attempt("load", lambda: open_model(name, folder, dim))
        # One picture a run: what a picture gives must not depend on its neighbours.
        alone = oracle.attempt("embed", lambda: [next(iter(model.embed([p]))) for p in paths])
    except oracle.Failure as failure:
        return result | {"error": failure.as_json(folder)}
    result["dtype"] = str(alone[0].dtype)
    result["embed"] = oracle.rows(alone)
    try:
        whole = oracle.attempt("embed", lambda: list(model.embed(paths)))
    except oracle.Failure as failure:
        return result | {"embed_together_error": failure.as_json(folder)}
    if oracle.differs(whole, alone):
        result["embed_together"] = oracle.rows(whole)
    return result


def make_case(name):
    (model_name, file, facts), config, build, change = CASES[name]
    folder = ROOT / name
    if folder.exists():
        shutil.rmtree(folder)
    g = graphs.Graph(zlib.crc32(name.encode()), DIM)
    build(g)
    files = {file: g.model().SerializeToString(deterministic=True)}
    if config is not None:
        files["preprocessor_config.json"] = config
    write(folder, files)
    dim = change.get("dim", DIM)
    row = {"id": f"tiny/{name}", "source": {"repo": f"tiny/{name}"}, "file": file, "task": "image"}
    row |= {"dim": dim} | facts | {"normalize": True}
    spec = "".join(f"{key} = {toml_value(value)}\n" for key, value in row.items())
    (folder / "spec.toml").write_text(spec, encoding="utf-8")
    golden = golden_values(model_name, folder, dim)
    if "repaired" in change:
        golden["repaired"] = change["repaired"]
    (folder / "golden.json").write_text(layout(golden), encoding="utf-8")
    if "error" in golden:
        error = golden["error"]
        return f"{error['stage']}: {error['type']}: {error['message'].splitlines()[0][:90]}"
    extra = [key for key in golden if key.startswith("embed_together")]
    return f"{len(golden['embed'])} x {len(golden['embed'][0])} {golden['dtype']} {extra}"


def make_pictures():
    folder = ROOT / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        (folder / name).write_bytes(file.getvalue())


# --- the real model -------------------------------------------------------------------------------

REAL = [
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "camera.png",
]


def make_real(folder, source):
    name = "Qdrant/resnet50-onnx"
    model = ImageEmbedding(name, specific_model_path=str(folder), local_files_only=True)
    vectors = [next(iter(model.embed([str(source / p)]))) for p in REAL]
    header = {"model": name, "dim": len(vectors[0]), "pictures": REAL}
    (ROOT / "efficientnet.json").write_text(layout(header), encoding="utf-8")
    (ROOT / "efficientnet.f32").write_bytes(np.stack(vectors).astype("<f4").tobytes())
    print(f"efficientnet: {len(vectors)} x {len(vectors[0])}")


def main(names):
    oracle.check_version()
    if names[:1] == ["efficientnet"]:
        make_real(Path(names[1]), Path(names[2]))
        return
    make_pictures()
    for name in CASES:
        if not names or name in names:
            print(f"{name}: {make_case(name)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
