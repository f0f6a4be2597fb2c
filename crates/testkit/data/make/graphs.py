"""Tiny ONNX graphs whose outputs depend on everything that must be right.

One layer of attention over a token table with positions: a wrong id, order, mask, token type or
padding side changes the result. Padding positions hold values that look like any other, so taking
them into a mean shows.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
FAR_BELOW = np.float32(-1e9)  # what attention adds to positions that it must not see
SPARE_IDS = 8  # rows of the token table for tokens that other tokenizer files add


class Graph:
    """Collects nodes, constants, inputs and outputs of one graph."""

    def __init__(self, seed, dim):
        # The legacy generator: its stream is frozen, so the files stay the same bytes.
        self.random = np.random.RandomState(seed)
        self.dim = dim
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def weight(self, *shape, scale=1.0):
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def input(self, name, shape=("batch", "sequence"), kind=TensorProto.INT64):
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def add(self, op, *inputs, outputs=1, name=None, **attributes):
        names = [name or f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def output(self, value, name, shape, kind=TensorProto.FLOAT):
        self.add("Identity", value, name=name)
        self.outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def cast(self, value, kind):
        return self.add("Cast", value, to=kind)

    def axes(self, *axes):
        return self.constant(np.array(axes, dtype=np.int64))

    def model(self):
        graph = helper.make_graph(
            self.nodes, "tiny", self.inputs, self.outputs, initializer=self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        model.producer_name = "embedkit-testkit"
        onnx.checker.check_model(model, full_check=True)
        return model


def sequence_positions(g, ids):
    """0, 1, … along the padded sequence, as float [sequence]."""
    length = g.add("Gather", g.add("Shape", ids), g.constant(np.array(1, dtype=np.int64)))
    zero, one = (g.constant(np.array(v, dtype=np.int64)) for v in (0, 1))
    return g.cast(g.add("Range", zero, length, one), TensorProto.FLOAT)


def hidden_states(
    g,
    vocab,
    mask=True,
    types=True,
    positions="absolute",
    causal=False,
    ids_name="input_ids",
    kind=TensorProto.INT64,
    mask_kind=None,
    first=0,
):
    """Token vectors [batch, sequence, dim] after one layer of attention.

    `positions` counts along the padded sequence ("absolute"), over attended tokens only ("mask"), or
    is an input ("input"). Inputs are of the type `kind`, the mask of `mask_kind` where that is given;
    places begin at `first`.
    """
    dim = g.dim
    ids = g.input(ids_name, kind=kind)
    mask_input = g.input("attention_mask", kind=mask_kind or kind) if mask else None
    x = g.add("Gather", g.weight(vocab + SPARE_IDS, dim), ids)
    if types:
        x = g.add("Add", x, g.add("Gather", g.weight(2, dim), g.input("token_type_ids", kind=kind)))
    if positions == "mask":
        counted = g.add("CumSum", mask_input, g.constant(np.array(1, dtype=np.int64)))
        place = g.add("Unsqueeze", g.cast(counted, TensorProto.FLOAT), g.axes(2))
    elif positions == "input":
        place = g.cast(g.input("position_ids", kind=kind), TensorProto.FLOAT)
        place = g.add("Unsqueeze", place, g.axes(2))
    else:
        place = g.add("Unsqueeze", sequence_positions(g, ids), g.axes(1))
    if first:
        place = g.add("Add", place, g.constant(np.float32(first)))
    frequency = np.linspace(0.3, 1.7, dim, dtype=np.float32)
    x = g.add("Add", x, g.add("Sin", g.add("Mul", place, g.constant(frequency))))
    return attention_layer(g, x, mask_input, ids if causal else None)


def attention_layer(g, x, mask=None, causal_ids=None):
    """One layer of attention over token vectors [batch, sequence, dim]; with ids, a causal one."""
    dim = g.dim
    query = g.add("MatMul", x, g.weight(dim, dim, scale=0.6))
    key = g.add("MatMul", x, g.weight(dim, dim, scale=0.6))
    scores = g.add("MatMul", query, g.add("Transpose", key, perm=[0, 2, 1]))
    scores = g.add("Mul", scores, g.constant(np.float32(dim**-0.5)))
    if mask:
        seen = g.cast(mask, TensorProto.FLOAT)
        unseen = g.add("Sub", g.constant(np.float32(1)), seen)
        bias = g.add("Mul", unseen, g.constant(FAR_BELOW))
        scores = g.add("Add", scores, g.add("Unsqueeze", bias, g.axes(1)))
    if causal_ids:
        order = sequence_positions(g, causal_ids)
        later = g.add(
            "Less", g.add("Unsqueeze", order, g.axes(1)), g.add("Unsqueeze", order, g.axes(0))
        )
        bias = g.add("Mul", g.cast(later, TensorProto.FLOAT), g.constant(FAR_BELOW))
        scores = g.add("Add", scores, bias)
    mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), x)
    scale = g.constant((1.0 + 0.25 * g.random.standard_normal(dim)).astype(np.float32))
    return g.add("LayerNormalization", g.add("Add", x, mixed), scale, g.weight(dim), axis=-1)


def position(g, hidden, index):
    """The vectors [batch, dim] at one position, -1 being the last even if it is padding."""
    return g.add("Gather", hidden, g.constant(np.array(index, dtype=np.int64)), axis=1)


def project(g, value):
    """A linear layer."""
    return g.add("MatMul", value, g.weight(g.dim, g.dim))


def quantized(g, vocab, pad_id):
    """Token vectors whose last layer quantises activations dynamically: one scale for the batch.

    All values before it are multiples of 1/8 and the weights fit in seven bits, so that every CPU
    rounds alike and no kernel saturates. The pad token's row is large: it widens the scale.
    """
    ids, mask = g.input("input_ids"), g.input("attention_mask")
    table = g.random.randint(-16, 17, (vocab + SPARE_IDS, g.dim)).astype(np.float32) / 8
    table[pad_id] *= 4
    place = g.add("Unsqueeze", sequence_positions(g, ids), g.axes(1))
    slope = g.constant(g.random.randint(-2, 3, g.dim).astype(np.float32) / 8)
    x = g.add("Add", g.add("Gather", g.constant(table), ids), g.add("Mul", place, slope))
    seen = g.add("Unsqueeze", g.cast(mask, TensorProto.FLOAT), g.axes(2))
    x = g.add("Add", x, g.add("Mul", seen, g.constant(np.float32(0.5))))
    data, scale, zero = g.add("DynamicQuantizeLinear", x, outputs=3)
    weight = g.random.randint(-63, 64, (g.dim, g.dim)).astype(np.int8)
    product = g.add("MatMulInteger", data, g.constant(weight), zero, g.constant(np.int8(0)))
    scale = g.add("Mul", scale, g.constant(np.float32(0.01)))
    return g.add("Mul", g.cast(product, TensorProto.FLOAT), scale)
