"""Where a script's words go."""

from __future__ import annotations

import sys
from pathlib import Path


def log_to(path: str) -> None:
    """Send all that the script prints from here on, a traceback too, to its rule's log.

    Args:
        path: The log file; its directory exists.
    """
    sys.stdout = sys.stderr = Path(path).open("w", buffering=1)  # noqa: SIM115 (open to the end)
