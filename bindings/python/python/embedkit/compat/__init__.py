"""FastEmbed's module tree under its own name, for libraries that import it.

>>> import embedkit.compat
>>> embedkit.compat.install()
>>> from fastembed.sparse.bm25 import Bm25
>>> Bm25.__module__
'embedkit.sparse'
>>> embedkit.compat.uninstall()

Call `install` before anything imports `fastembed`: in the first lines of a program, or in a file
`sitecustomize.py`. `fastembed` itself need not be installed; `importlib.metadata.version("fastembed")` is
that of the release whose interface this is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

from embedkit.compat._tree import MODULES, PACKAGES

NAME = "fastembed"
VERSION = "0.9.1"
"""Release of FastEmbed whose interface this is."""


def install() -> None:
    """Make `import fastembed` mean this package, in this process.

    Raises:
        ImportError: FastEmbed itself was imported already.
    """
    loaded = sys.modules.get(NAME)
    if loaded is not None and not isinstance(getattr(loaded, "__loader__", None), _Loader):
        raise ImportError(f"{NAME} was imported before embedkit.compat.install(): call it earlier")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # In front, so that an installed FastEmbed is not found.
        sys.meta_path.insert(0, _Finder())
        importlib.invalidate_caches()


def uninstall() -> None:
    """Undo `install`; what was imported from the tree stays usable."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name in [name for name in sys.modules if name == NAME or name.startswith(f"{NAME}.")]:
        if isinstance(getattr(sys.modules[name], "__loader__", None), _Loader):
            del sys.modules[name]


def is_installed() -> bool:
    """True between `install` and `uninstall`."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


class _Loader(Loader):
    """Makes a module of the tree out of this package's own."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        names = MODULES[module.__name__]
        module.__doc__ = f"embedkit in the place of {module.__name__}."
        for name, place in names.items():
            home, _, attribute = place.partition(":")
            setattr(module, name, getattr(importlib.import_module(home), attribute))
        module.__all__ = list(names)  # type: ignore[attr-defined]
        if module.__name__ == NAME:
            module.__version__ = VERSION  # type: ignore[attr-defined]
            module.version = VERSION  # type: ignore[attr-defined]


class _Metadata(Distribution):
    """Metadata of FastEmbed for `importlib.metadata`."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        summary = "embedkit in the place of FastEmbed"
        return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nSummary: {summary}\n"

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{NAME} is a tree of modules without files, there is no {path}")


class _Finder(MetaPathFinder):
    """Finds the modules of the tree, and its metadata."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES:
            if fullname.partition(".")[0] == NAME:
                raise ModuleNotFoundError(
                    f"No module named {fullname!r}: embedkit.compat has no such module of FastEmbed",
                    name=fullname,
                )
            return None
        return ModuleSpec(fullname, _Loader(), origin="embedkit.compat", is_package=fullname in PACKAGES)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Distributions of this finder; `importlib.metadata` asks."""
        if context is None or context.name in (None, NAME):
            return [_Metadata()]
        return []
