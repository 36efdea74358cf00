"""Serves the calls until the other side closes the pipe."""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_NAME = "grid_rucio_program"


def _calls() -> Any:
    """Import the modules beside this one: the package that they belong to may not be installed."""
    package = types.ModuleType(_NAME)
    package.__path__ = [str(_HERE)]
    sys.modules[_NAME] = package
    return importlib.import_module(f"{_NAME}.calls")


if __name__ == "__main__":
    os.umask(0o077)  # the client writes tokens
    sys.path.append(str(_HERE.parents[2] / "client_process"))
    from serve import serve  # type: ignore[import-not-found]

    calls = _calls()
    serve(calls.answer, calls.error_fields)
