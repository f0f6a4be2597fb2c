"""Writes safetensors files: header size, JSON header padded to 8 bytes, raw little-endian data."""

import json

import numpy as np

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
}


def encode(value, dtype):
    """The bytes of an array in the given safetensors dtype; BF16 cuts float32, without rounding."""
    if dtype == "BF16":
        bits = np.asarray(value, dtype="<f4").view("<u4")
        return (bits >> 16).astype("<u2").tobytes()
    return np.asarray(value).astype(DTYPES.get(dtype, "u1")).tobytes()


def file(tensors):
    """The file for {name: (dtype, array)}."""
    header, data = {}, b""
    for name, (dtype, value) in tensors.items():
        raw = encode(value, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(np.shape(value)),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data
