"""Imports what a worker may need, for a process that forks many workers."""

from __future__ import annotations

import importlib
import pkgutil

_SLOW = ("gzip", "shlex", "shutil", "subprocess", "tarfile", "tempfile", "typing", "zlib")


def import_all() -> None:
    """Import all modules of the worker, and those of the standard library that wait for their use.

    A fork then neither spends time on it, nor needs the files of the package, which may be hidden
    from it.
    """
    package = importlib.import_module(__name__.rpartition(".")[0])
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    for name in _SLOW:
        importlib.import_module(name)
