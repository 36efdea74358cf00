"""Snakemake that notes each call to the file catalog of DIRAC; for bench_grid_data.py.

``grid_data_timed.py FILE ARGS…`` runs ``snakemake ARGS…`` and appends a line for each call to FILE:
its kind and its seconds. It runs in each side's own Python, and looks for the side that is there.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_OURS = {
    "look_up_files": "question",
    "list_folder": "question",
    "get": "download",
    "store_file": "upload",
    "remove_files": "removal",
}
_THEIRS = {
    "listCatalogDirectory": "question",
    "getFile": "download",
    "addFile": "upload",
    "removeFile": "removal",
}


def main() -> None:
    """Watch the calls, and go on."""
    file = Path(sys.argv.pop(1)).absolute()
    file.touch()

    def note(kind: str, seconds: float) -> None:
        with file.open("a") as stream:
            stream.write(f"{kind} {seconds}\n")

    if find_spec("snakemake_storage_plugin_dirac"):
        from DIRAC.Interfaces.API.Dirac import Dirac

        for name, kind in _THEIRS.items():
            setattr(Dirac, name, timed(getattr(Dirac, name), lambda _, kind=kind: kind, note))
    else:
        from snakemake_executor_plugin_grid.client_process.client import ProcessClient

        kinds: Mapping[str, str] = _OURS
        call = ProcessClient.call_now
        setattr(ProcessClient, "call_now", timed(call, lambda args: kinds.get(args[1], ""), note))  # noqa: B010
    import snakemake.cli

    snakemake.cli.main()


def timed(
    call: Callable[..., Any],
    kind_of: Callable[[tuple[Any, ...]], str],
    note: Callable[[str, float], None],
) -> Callable[..., Any]:
    """Return a function that does the same, and notes how long it took."""

    @functools.wraps(call)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            if kind := kind_of(args):
                note(kind, time.perf_counter() - begun)

    return wrapper


if __name__ == "__main__":
    main()
