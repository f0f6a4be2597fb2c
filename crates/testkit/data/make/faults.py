"""Makes the graphs below data/faults: they fail, or never end, for some inputs.

    python faults.py

Texts of more than LIMIT tokens are the ones that fail. In `shown-*` the graph shows why, by the table
that it reads with positions; in `hidden-*` nothing does before it runs.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import graphs

DATA = Path(__file__).resolve().parent.parent / "faults"
LIMIT = 30  # tokens: less than the tokenizers of the cases allow
DIM = 8
ROWS = 16  # ids are taken modulo this, so that every tokenizer fits
PAD = 0


def integer(g, value):
    return g.constant(np.array(value, dtype=np.int64))


def tokens(g, ids):
    """Token vectors [batch, sequence, DIM], whatever the ids."""
    return g.add("Gather", g.weight(ROWS, DIM), g.add("Mod", ids, integer(g, ROWS)))


def length(g, ids):
    return g.add("Gather", g.add("Shape", ids), integer(g, 1))


def counted_up(g, ids):
    return g.add("Range", integer(g, 0), length(g, ids), integer(g, 1))


def hidden(g, ids, mask):
    """Positions from a table of LIMIT rows, read in a way that does not show."""
    places = g.add("Max", counted_up(g, ids), integer(g, 0))
    return g.add("Gather", g.weight(LIMIT, DIM), places)


def shown_range(g, ids, mask):
    """As T5 and many others."""
    return g.add("Gather", g.weight(LIMIT, DIM), counted_up(g, ids))


def shown_slice(g, ids, mask):
    """As BERT from PyTorch: the first of a constant list of positions."""
    all_places = g.constant(np.arange(LIMIT, dtype=np.int64)[None])
    end = g.add("Unsqueeze", length(g, ids), g.axes(0))
    places = g.add("Slice", all_places, g.axes(0), end, g.axes(1), g.axes(1))
    return g.add("Gather", g.weight(LIMIT, DIM), places)


def shown_padding(g, ids, mask):
    """As RoBERTa: tokens that are no padding are counted, from the padding's id on."""
    seen = g.add("Not", g.add("Equal", ids, integer(g, PAD)))
    seen = g.cast(seen, TensorProto.INT32)
    counted = g.add("CumSum", seen, integer(g, 1))
    places = g.cast(g.add("Mul", counted, seen), TensorProto.INT64)
    places = g.add("Add", places, integer(g, PAD + 1))
    return g.add("Gather", g.weight(LIMIT + 2, DIM), places)


def shown_mask(g, ids, mask):
    """As OPT: tokens that are attended to are counted, from 2 on."""
    counted = g.add("CumSum", mask, integer(g, 1))
    places = g.add("Sub", g.add("Mul", counted, mask), integer(g, 1))
    places = g.add("Add", places, integer(g, 2))
    return g.add("Gather", g.weight(LIMIT + 2, DIM), places)


def endless(g, ids, mask):
    """A loop that does not end for a longer text, and adds nothing for others."""
    more = g.add("Greater", length(g, ids), integer(g, LIMIT))
    names = ("i", "condition", "sum")
    kinds = (TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["again"]),
            helper.make_node("Neg", ["sum"], ["next"]),
        ],
        "body",
        [helper.make_tensor_value_info(n, k, []) for n, k in zip(names, kinds)],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    zero = g.constant(np.float32(0))
    return g.add("Loop", "", more, zero, body=body)


def only_up_to(g, pixels, most, axes):
    """Vectors from a table of one row, for images without a value above `most`."""
    axes = {"axes": axes} if axes else {}
    brightest = g.add("ReduceMax", pixels, keepdims=0, **axes)
    above = g.add("Greater", brightest, g.constant(np.float32(most)))
    return g.add("Gather", g.weight(1, DIM), g.cast(above, TensorProto.INT64))


def text(name, positions, score=False, pixels=False):
    g = graphs.Graph(7, DIM)
    ids, mask = g.input("input_ids"), g.input("attention_mask")
    x = g.add("Add", tokens(g, ids), positions(g, ids, mask))
    if pixels:
        shape = ("images", 3, "height", "width")
        image = g.input("pixel_values", shape, TensorProto.FLOAT)
        brightest = g.add("ReduceMax", image, axes=[1, 2, 3], keepdims=0)
        x = g.add("Add", x, g.add("Unsqueeze", brightest, g.axes(1, 2)))
        x = g.add("Add", x, only_up_to(g, image, 0.5, axes=None))
        x = g.add("MatMul", x, g.weight(DIM, 4))
    if score:
        seen = g.add("Unsqueeze", g.cast(mask, TensorProto.FLOAT), g.axes(2))
        x = g.add("ReduceMax", g.add("Mul", x, seen), axes=[1, 2], keepdims=0)
        g.output(g.add("Unsqueeze", x, g.axes(1)), "logits", ("batch", 1))
    else:
        g.output(x, "last_hidden_state", ("batch", "sequence", 4 if pixels else DIM))
    save(name, g)


def image(name):
    """Fails for an image with a value above 1."""
    g = graphs.Graph(7, DIM)
    shape = ("batch", 3, "height", "width")
    pixels = g.input("pixel_values", shape, TensorProto.FLOAT)
    x = g.add("ReduceMean", pixels, axes=[2, 3], keepdims=0)
    x = g.add("MatMul", x, g.weight(3, DIM))
    x = g.add("Add", x, only_up_to(g, pixels, 1, axes=[1, 2, 3]))
    g.output(x, "image_embeds", ("batch", DIM))
    save(name, g)


def save(name, g):
    DATA.mkdir(exist_ok=True)
    onnx.save(g.model(), DATA / f"{name}.onnx")


if __name__ == "__main__":
    text("hidden", hidden)
    text("hidden-score", hidden, score=True)
    text("hidden-pages", hidden, pixels=True)
    text("shown-range", shown_range)
    text("shown-slice", shown_slice)
    text("shown-padding", shown_padding)
    text("shown-mask", shown_mask)
    text("endless", endless)
    image("image")
