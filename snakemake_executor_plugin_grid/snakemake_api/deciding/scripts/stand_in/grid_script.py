"""Gives a Python script its ``snakemake`` object, on nodes without Snakemake as well.

It runs in the script's own process, on Python 3.6 or later, and travels as it is.
"""

import io
import pathlib
import pickle
import re
import sys
from typing import IO, Any, Callable, Dict, NoReturn, Optional

_HERE = pathlib.Path(__file__).absolute().parent


def load(data: bytes, workdir: str, tmpdir: str) -> Any:
    """Return the ``snakemake`` object.

    Args:
        data: Its pickle, made by the Snakemake of the submit host.
        workdir: The working directory on this node.
        tmpdir: The folder for temporary files on this node.
    """
    _choose()
    return _Unpickler(io.BytesIO(data), {"\0workdir\0": workdir, "\0tmpdir\0": tmpdir}).load()


def version() -> Optional[str]:
    """Return the version of Snakemake on the submit host."""
    return _version_of(_HERE / "snakemake" / "__init__.py")


def lacks(module: str) -> Callable[[str], Any]:
    """Return a function ``__getattr__`` for a module that has a part of Snakemake's."""

    def missing(name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise ImportError(_advice(f"{module}.{name}"), name=module)

    return missing


class Finder:
    """Explains why a module of Snakemake is not there."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> None:
        """Fail for what no other finder has found."""
        if name.startswith("snakemake."):
            raise ModuleNotFoundError(_advice(name), name=name)


def _advice(name: str) -> str:
    return (
        f"{name}: scripts have a stand-in for Snakemake on this node, which does not have that. "
        f"Install Snakemake {version()} on the node, or use --grid-decide never"
    )


def _choose() -> None:
    """Let the node's Snakemake be imported if it is the submit host's version.

    Another version may not be able to read the pickle, or give other values.
    """
    from importlib.machinery import PathFinder

    others = [entry for entry in sys.path if pathlib.Path(entry).absolute() != _HERE]
    spec = PathFinder.find_spec("snakemake", others)
    if spec is None or not spec.origin or _version_of(pathlib.Path(spec.origin)) != version():
        return
    sys.path[:] = [*others, str(_HERE)]


def _version_of(package: pathlib.Path) -> Optional[str]:
    """Return the version of a package, from its ``__init__.py`` or what a build has written."""
    for path in (package, package.with_name("_version.py")):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        found = re.search(r"^__version__ = (?:version = )?[\"']([^\"']+)", text, re.MULTILINE)
        if found:
            return found.group(1)
    return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], values: Dict[str, str]) -> None:
        super().__init__(file)
        self._values = values

    def persistent_load(self, pid: Any) -> Any:
        """Return a value that is another one on each node, or whose class is."""
        kind, value = pid
        if kind in ("set", "frozenset"):
            return {"set": set, "frozenset": frozenset}[kind](value)
        for mark, here in self._values.items():
            value = value.replace(mark, here)
        return {"path": pathlib.Path, "pure path": pathlib.PurePath}.get(kind, str)(value)

    def find_class(self, module: str, name: str) -> Any:
        """Return a class; numpy has moved its own between versions 1 and 2."""
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError) as error:
            if module.startswith("numpy._core"):
                return super().find_class(module.replace("numpy._core", "numpy.core", 1), name)
            raise ImportError(
                f"the params or config of this script need {module}.{name}, which the Python of "
                f"this node does not have ({sys.executable}): {error}"
            ) from error
