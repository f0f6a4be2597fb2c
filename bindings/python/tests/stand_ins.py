"""Tiny models in the place of those that programs name, so that no network is needed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

PROJECT = Path(os.environ.get("EMBEDKIT_PROJECT", Path(__file__).resolve().parents[3]))
DATA = PROJECT / "crates" / "testkit" / "data"
MINILM = PROJECT / ".cache" / "assets" / "models" / "all-MiniLM-L6-v2"
LIKE_MINILM = {
    "baai/bge-small-en-v1.5",
    "sentence-transformers/all-minilm-l6-v2",
    "intfloat/multilingual-e5-small",
}
"""Models of 384 dimensions in the tests."""


class StandIns:
    """Folders with tiny models in the place of those that the tests name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cases: dict[str, Path] = {}
        for golden in sorted(DATA.glob("*/*/golden.json")):
            model = json.loads(golden.read_text("utf-8")).get("model", "")
            if not golden.parent.name.startswith("error-"):
                self.cases.setdefault(model.lower(), golden.parent)
        # Four heads, a vocabulary and a size as those of the real model.
        self.cases["answerdotai/answerai-colbert-small-v1"] = DATA / "late" / "colbert-small"

    def folder(self, name: str, model_file: str) -> Path:
        """The files of a model, its graph under the name that the registry has for it."""
        source = MINILM if name.lower() in LIKE_MINILM else self.cases.get(name.lower())
        if source is None:
            raise ValueError(f"Could not load model {name} from any source.")
        target = self.root / name.lower().replace("/", "--")
        if not target.exists():
            shutil.copytree(source, target)
            graph = target / model_file
            if not graph.exists():
                [found] = list(source.rglob("*.onnx"))[:1]
                graph.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, graph)
        return target


def open_stand_ins(root: Path) -> None:
    """Make embedkit open stand-ins, in this process."""
    from embedkit._encoder import Encoder

    find, stand_ins = Encoder._find_files, StandIns(root)

    def find_files(encoder: Any) -> Path | None:
        description = encoder.model_description
        if encoder._specific_model_path is not None or description is None:
            return find(encoder)
        return stand_ins.folder(description.model, description.model_file)

    Encoder._find_files = find_files  # type: ignore[method-assign]
