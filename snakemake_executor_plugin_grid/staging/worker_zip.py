"""The worker program as one file: a zip archive that any Python 3.9 or later runs."""

from __future__ import annotations

import importlib.util
import marshal
import zipfile
from collections.abc import Mapping
from pathlib import Path

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_PACKAGE = Path(__file__).parents[1]
# Nothing that is imported is garbage, and the end of the process frees all: a trivial job takes a
# fifth less processor time without the collector's searches and the interpreter's clearing up.
_START = """\
import gc
import os
import sys

gc.disable()
from worker.start import main

gc.freeze()
gc.enable()
code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""
_UNCHECKED_HASH = (0b01).to_bytes(4, "little")
"""Flags of a ``.pyc`` that is used without a look at its source (PEP 552)."""
# References between objects, as later versions have them, depend on what else is in the memory.
_REPRODUCIBLE = 2
_RARELY_USED = (
    "worker/bundle.",
    *("worker/transfer/http.", "worker/transfer/xrootd.", "worker/transfer/facts."),
    *(
        f"worker/grid_files/{name}."
        for name in ("by_url", "dirac", "plugin", "stagein", "stageout")
    ),
)
"""Modules without a compiled form, which would travel with every job: they move files over a
network, or run many jobs, beside which the milliseconds that Python takes to compile them are
nothing."""


def write_worker(path: Path, files: Mapping[str, bytes] | None = None) -> None:
    """Write the archive; the same sources and the same Python give the same bytes.

    Each module is there as source, and most are compiled: a Python of another version takes the
    source.

    Args:
        path: Where to; replaced if it is there.
        files: More files by name: the stand-in for Snakemake of Python scripts, below ``shim/``.
    """
    part = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _START.encode())
        for folder in (_PACKAGE / "worker", _PACKAGE / "snakemake_api" / "comparison"):
            for module in sorted(folder.rglob("*.py")):
                name = module.relative_to(_PACKAGE).as_posix()
                _add(archive, name, module.read_bytes())
                # What compares is written out as source.
                if folder.name != "worker" or name.startswith(_RARELY_USED):
                    continue
                if data := compiled(module, name):
                    _add(archive, f"{name}c", data)
        for name, data in sorted((files or {}).items()):
            _add(archive, name, data)
    part.replace(path)


def compiled(path: Path, name: str) -> bytes | None:
    """Return a module as a ``.pyc`` for the Python of this process; None if it has no form.

    Docstrings are left out: they would be a tenth of the archive, which travels with every sandbox.
    Python 3.14 has constant slices, which only the later versions of `marshal` know.

    Args:
        path: The module.
        name: Shown in tracebacks.
    """
    source = path.read_bytes()
    code = compile(source, name, "exec", dont_inherit=True, optimize=2)
    try:
        data = marshal.dumps(code, _REPRODUCIBLE)
    except ValueError:
        return None
    digest = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + digest + data


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _LONG_AGO)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)
