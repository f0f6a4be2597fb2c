"""Bars for downloads, by tqdm where it is installed."""

from __future__ import annotations

import os
import sys
from threading import Lock
from typing import Any


def listener() -> Bars | None:
    """A function that shows the progress of downloads; `None` where nobody would see it."""
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").lower() in ("1", "true", "yes", "on"):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return Bars(tqdm) if sys.stderr is not None else None


class Bars:
    """One bar for each file that is fetched."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bars: dict[str, Any] = {}
        self._lock = Lock()

    def __call__(self, kind: str, name: str, size: int | None) -> None:
        """Hear of one step; several threads do at once."""
        with self._lock:
            if kind == "started":
                self._bars[name] = self._tqdm(
                    desc=name, total=size, unit="B", unit_scale=True, unit_divisor=1024
                )
            elif kind == "received" and name in self._bars:
                bar = self._bars[name]
                bar.update((size or 0) - bar.n)
            elif kind == "finished" and name in self._bars:
                self._bars.pop(name).close()
            elif kind == "converting":
                self._bars[name] = self._tqdm(desc=f"converting {name}", total=1)
            elif kind == "converted" and name in self._bars:
                bar = self._bars.pop(name)
                bar.update(1)
                bar.close()
