"""The fixture ``rucio_server``, for a ``conftest.py`` to import.

Environment variables:
    GRID_TEST_RUCIO_VENV: The virtual environment with Rucio; `.venv-rucio` if not set.
    GRID_TEST_RUCIO_DIR: The folder of a running server to use instead of a new one.
    GRID_TEST_RUCIO_REQUIRED: If not empty, tests fail instead of being skipped without a server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.rucio import settings
from tests.servers.sharing import run_folder, shared_server

from .files import missing_programs
from .server import RucioServer

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def rucio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RucioServer]:
    """Return a running Rucio server, one for all workers of pytest-xdist."""
    if running := os.environ.get("GRID_TEST_RUCIO_DIR"):
        yield RucioServer.load(Path(running))
        return
    venv = virtual_environment()
    run = run_folder(tmp_path_factory)
    with shared_server(run, "rucio", lambda folder: _up(folder, venv)) as server:
        yield server


def virtual_environment() -> Path:
    """Return the virtual environment with Rucio; skip or fail the test if there is none."""
    venv = Path(os.environ.get("GRID_TEST_RUCIO_VENV") or _ROOT / ".venv-rucio")
    reason = ""
    if not next(venv.glob("lib/python3*/site-packages/rucio/core"), None):
        reason = f"there is no Rucio in {venv}"
    elif missing := missing_programs():
        reason = f"there is no {', '.join(missing)}"
    if reason:
        reason += "; `make rucio-server` installs it"
        if os.environ.get("GRID_TEST_RUCIO_REQUIRED"):
            pytest.fail(f"GRID_TEST_RUCIO_REQUIRED is set, but {reason}")
        pytest.skip(reason)
    return venv


def _up(folder: Path, venv: Path) -> RucioServer:
    if settings.exist(folder):
        return RucioServer.load(folder)
    server = RucioServer.create(folder, venv)
    try:
        server.up()
    except BaseException:
        server.down()  # the logs stay
        raise
    return server
