"""Serves the calls until the other side closes the pipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.umask(0o077)  # the client writes tokens
    here = Path(__file__).parent
    sys.path.append(str(here.parents[2] / "client_process"))
    from serve import import_calls, serve  # type: ignore[import-not-found]

    calls = import_calls(here, "grid_rucio_program")
    serve(calls.answer, calls.error_fields)
