"""The ONNX Runtime library of the running interpreter."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path


@cache
def library() -> str | None:
    """Path of the library in the installed package onnxruntime, or onnxruntime-gpu.

    `None` where ORT_DYLIB_PATH names one, which goes before it, and where no package has one: the native
    module then looks where it would without Python.
    """
    if os.environ.get("ORT_DYLIB_PATH"):
        return None
    try:
        spec = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        return None
    for folder in spec.submodule_search_locations or () if spec else ():
        found = sorted(filter(_is_library, (Path(folder) / "capi").glob("*onnxruntime.*")))
        if found:
            return str(found[0])
    return None


def _is_library(path: Path) -> bool:
    if sys.platform == "win32":
        return path.name == "onnxruntime.dll"
    if sys.platform == "darwin":
        return path.name.startswith("libonnxruntime.") and path.name.endswith(".dylib")
    return path.name.startswith("libonnxruntime.so")
