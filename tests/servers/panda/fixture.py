"""The fixture ``panda_server``, for a ``conftest.py`` to import.

Environment variable:
    GRID_TEST_PANDA_DIR: The folder of a running server to use instead of new ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import PandaServer


@pytest.fixture(scope="session")
def panda_server() -> Iterator[PandaServer]:
    """Return a running server; each worker of pytest-xdist has its own.

    If possible, payloads do not see the folders that `PandaServer.hidden` names.
    """
    if running := os.environ.get("GRID_TEST_PANDA_DIR"):
        yield PandaServer.load(Path(running))
        return
    # Not below the tests' folder, which may be hidden from payloads.
    folder = Path(tempfile.mkdtemp(prefix="panda-"))
    server = PandaServer.create(folder / "server", isolate=can_isolate())
    try:
        server.start()
        yield server
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def can_isolate() -> bool:
    """Return whether payloads can have private mounts: this needs root and a permissive kernel."""
    if os.geteuid() or not shutil.which("unshare"):
        return False
    command = ["unshare", "--mount", "--propagation", "private", "--", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
