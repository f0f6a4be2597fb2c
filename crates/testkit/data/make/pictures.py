"""Compares pictures: `pictures.py OURS.jsonl FOLDER` reads what `decode` of ours made of each file
(`{"name", "width", "height", "pixels"}` with a file of RGB bytes, `{"name", "error"}` or `{"name",
"panicked"}`), opens FOLDER/name as FastEmbed does, and prints one line of JSON for each:
`{"name", "format", "verdict"}` with the largest difference, the share of values that differ, both
shapes or the errors where there are any.

A verdict is "same", "small JPEG difference" (of at most 4 levels), "differs", "ours only", "original
only", "neither" or "panicked".
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image


def original(path):
    """Pixels of height x width x 3, the format's name, and the error in place of pixels."""
    kind = None
    try:
        with Image.open(path) as image:
            kind = image.format
            rgb = image if image.mode == "RGB" else image.convert("RGB")
            return np.asarray(rgb), kind, None
    except Exception as error:  # whatever a user of FastEmbed would see
        return None, kind, f"{type(error).__name__}: {error}"


def verdict(ours, theirs, kind):
    if "panicked" in ours:
        return {"verdict": "panicked"}
    if theirs is None:
        return {"verdict": "neither" if "error" in ours else "ours only"}
    if "error" in ours:
        return {"verdict": "original only"}
    shape = (ours["height"], ours["width"], 3)
    if shape != theirs.shape:
        return {"verdict": "differs", "shapes": [shape, theirs.shape]}
    pixels = np.fromfile(ours["pixels"], np.uint8).reshape(shape)
    apart = np.abs(pixels.astype(np.int16) - theirs)
    if not apart.any():
        return {"verdict": "same"}
    largest = int(apart.max())
    small = kind in ("JPEG", "MPO") and largest <= 4
    verdict = "small JPEG difference" if small else "differs"
    return {"verdict": verdict, "largest": largest, "share": round(float((apart > 0).mean()), 5)}


def main():
    warnings.simplefilter("ignore")
    lines, folder = Path(sys.argv[1]), Path(sys.argv[2])
    for line in lines.read_text(encoding="utf-8").splitlines():
        ours = json.loads(line)
        theirs, kind, error = original(folder / ours["name"])
        found = {"name": ours["name"], "format": kind, **verdict(ours, theirs, kind)}
        errors = {"ours": ours.get("error"), "theirs": error}
        print(json.dumps(found | {side: error for side, error in errors.items() if error}))
        if "pixels" in ours:
            Path(ours["pixels"]).unlink()


if __name__ == "__main__":
    main()
