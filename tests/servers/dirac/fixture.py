"""The fixture ``dirac_server``, for a ``conftest.py`` to import.

Environment variables:
    GRID_TEST_DIRAC_VENV: The virtual environment with DIRAC[server]; `.venv-dirac` if not set.
    GRID_TEST_DIRAC_DIR: The folder of a running server to use instead of a new one.
    GRID_TEST_DIRAC_REQUIRED: If not empty, tests fail instead of being skipped without a server.
    GRID_TEST_DIRAC_HTTPS: If not empty, a new server has the HTTPS layout.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.dirac import settings
from tests.servers.sharing import run_folder, shared_server

from .server import DiracServer

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def dirac_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiracServer]:
    """Return a running DIRAC server, one for all workers of pytest-xdist."""
    if running := os.environ.get("GRID_TEST_DIRAC_DIR"):
        yield DiracServer.load(Path(running))
        return
    venv = virtual_environment()
    run = run_folder(tmp_path_factory)
    with shared_server(run, "dirac", lambda folder: _up(folder, venv)) as server:
        yield server


def virtual_environment() -> Path:
    """Return the virtual environment with DIRAC[server]; skip or fail the test if there is none."""
    venv = Path(os.environ.get("GRID_TEST_DIRAC_VENV") or _ROOT / ".venv-dirac")
    if reason := what_is_missing(venv):
        reason += "; `make dirac-server` installs it"
        if os.environ.get("GRID_TEST_DIRAC_REQUIRED"):
            pytest.fail(f"GRID_TEST_DIRAC_REQUIRED is set, but {reason}")
        pytest.skip(reason)
    return venv


def what_is_missing(venv: Path) -> str | None:
    """Return why no server can be started."""
    if not (venv / "bin" / "python").exists():
        return f"there is no virtual environment with DIRAC in {venv}"
    if not next(venv.glob("lib/python3*/site-packages/DIRAC"), None):
        return f"there is no DIRAC in {venv}"
    for program in ("mariadbd", "mariadb", "openssl"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            return f"there is no {program}"
    return None


def _up(folder: Path, venv: Path) -> DiracServer:
    if settings.exist(folder):
        return DiracServer.load(folder)
    https = bool(os.environ.get("GRID_TEST_DIRAC_HTTPS"))
    server = DiracServer.create(folder, venv, https=https, agents=2)
    try:
        server.up()
    except BaseException:
        server.down()  # the logs stay
        raise
    return server
