"""The pickle that carries the ``snakemake`` object of a Python script.

Text inside a pickle cannot be replaced, as its length stands before it. So texts and paths with
marks are "persistent ids", into which the worker puts its own paths as it loads the pickle
(`stand_in/grid_script.py`). The pickle of equal values is the same in each process: it has no memo,
which depends on the identity of objects, and sets have an order. So what is one object here, such
as a part of the configuration in two params, is several equal ones in the script.
"""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path, PurePath
from typing import Any

from ....worker.decided.decision import TMPDIR
from ....worker.description import WORKDIR
from ..decided import Unsupported
from ..paths import Paths
from .containers import MODULE
from .values import in_order, text_on_worker

PROTOCOL = 4
"""That of ``snakemake.script.PythonScript``: Python 3.4 and later read it."""
WORKDIR_TOKEN = "\0workdir\0"  # noqa: S105 - no password
"""Stands for `WORKDIR` inside the pickle, where the worker must not replace it textually."""
TMPDIR_TOKEN = "\0tmpdir\0"  # noqa: S105

_RICH = {"pd": "pandas", "np": "numpy", "pl": "polars"}
"""Package of a type in ``Snakemake._params_types``, by what is before its dot."""
_OF_STAND_IN = {("snakemake.io", "AttributeGuard")}
"""Classes of values that Snakemake 9.17 has outside of `MODULE`; the stand-in has them."""
_PARTS = ("input", "output", "wildcards", "resources", "log", "config", "threads")


def dumps(snakemake: Any, paths: Paths) -> tuple[bytes, tuple[str, ...]]:
    """Return the pickle of an object, and the packages that loading it needs.

    Args:
        snakemake: `containers.Snakemake`.
        paths: Translates the paths in it.

    Raises:
        Unsupported: A value cannot be pickled, or not be loaded without the workflow.
    """
    try:
        data = _pickled(snakemake, paths)
        modules = _modules(data)
    except Exception as error:
        raise Unsupported(_blame(snakemake, paths) or f"it cannot be pickled: {error}") from error
    packages = {_RICH.get(kind.partition(".")[0], kind) for kind in _rich(snakemake)}
    for module in modules:
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or module == MODULE:
            continue
        if why := _needs_workflow(module):
            blamed = _blame(snakemake, paths)
            raise Unsupported(blamed or f"its params or config hold an object of {why}")
        packages.add(top)
    return data, tuple(sorted(packages))


def _rich(snakemake: Any) -> list[str]:
    return list(getattr(snakemake, "_params_types", {}).values())


def _pickled(value: Any, paths: Paths) -> bytes:
    data = io.BytesIO()
    pickler = _Pickler(data, paths)
    pickler.fast = True
    pickler.dump(value)
    return data.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, paths: Paths) -> None:
        super().__init__(file, protocol=PROTOCOL)
        self._paths = paths

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, str):
            plain = str.__str__(obj)
            text = self._marked(plain)
            # Texts with flags, as of workflow.source_path(), are of Snakemake's own classes.
            flagged = type(obj) is not str and type(obj).__module__.startswith("snakemake.")
            return ("text", text) if flagged or text != plain else None
        if isinstance(obj, PurePath) and type(obj).__module__.startswith("pathlib"):
            # Python 3.13 has the classes in another module than older ones.
            kind = "path" if isinstance(obj, Path) else "pure path"
            return (kind, self._marked(str(obj)))
        if type(obj) in (set, frozenset):
            return (type(obj).__name__, in_order(obj))
        return None

    def _marked(self, text: str) -> str:
        marked = text_on_worker(text, self._paths)
        return marked.replace(WORKDIR, WORKDIR_TOKEN).replace(TMPDIR, TMPDIR_TOKEN)


class _Unpickler(pickle.Unpickler):
    """Loads a pickle to see that it can be loaded, and notes the modules."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OF_STAND_IN:
            self.modules.add(module)
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        kind, value = pid
        return {"path": Path, "pure path": PurePath, "set": set, "frozenset": frozenset}.get(
            kind, str
        )(value)


def _modules(data: bytes) -> set[str]:
    unpickler = _Unpickler(data)
    unpickler.load()
    return unpickler.modules


def _needs_workflow(module: str) -> str:
    """Return what a module is if workers do not have it, else nothing."""
    if module == "__main__" or module.startswith(("snakemake.", "snakemake_interface_")):
        return f"{module}, which only Snakemake has"
    found = sys.modules.get(module.partition(".")[0])
    file = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), "")
    # Packages of a distribution are in dist-packages.
    if file and "site-packages" not in file and "dist-packages" not in file:
        return f"{module}, a module that is not installed ({file})"
    return ""


def _blame(snakemake: Any, paths: Paths) -> str:
    """Return which value is to blame, and why; nothing if none is by itself."""
    named = [(f"params: {name}", value) for name, value in _items(snakemake._params_store)]
    named += [(part, getattr(snakemake, part)) for part in _PARTS]
    for name, value in named:
        try:
            modules = _modules(_pickled(value, paths))
        except Exception as error:
            return f"its {name} cannot be pickled for the script: {error}"
        for module in sorted(modules):
            top = module.partition(".")[0]
            known = top in sys.stdlib_module_names or module == MODULE
            if not known and (why := _needs_workflow(module)):
                return f"its {name} holds an object of {why}"
    return ""


def _items(namedlist: Any) -> list[tuple[str, Any]]:
    return [
        (name or f"item {number}", value)
        for number, (name, value) in enumerate(namedlist._allitems())
    ]
