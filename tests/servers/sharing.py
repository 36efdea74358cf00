"""One server for all workers of pytest-xdist."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest


class _Server(Protocol):
    def remove(self) -> None: ...


S = TypeVar("S", bound=_Server)


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of the run share."""
    folder = factory.getbasetemp()
    return folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder


@contextmanager
def shared_server(run: Path, kind: str, up: Callable[[Path], S]) -> Iterator[S]:
    """Share a server: the first worker of a run starts it, the last one stops it.

    Args:
        run: Folder that all workers of the run share.
        kind: Of server, for the names of files.
        up: Returns the server of a folder, and starts it if it does not run.
    """
    place, users = run / f"{kind}-server", run / f"{kind}-server-users"
    lock = run / f"{kind}-server.lock"
    # Each conftest.py that imports the fixture has one of its own, in the same process.
    worker = users / f"{os.getpid()}-{secrets.token_hex(4)}"
    with _locked(lock):
        users.mkdir(exist_ok=True)
        if not place.exists():
            # The path of a socket must be short, and the run's folder may be long.
            place.write_text(tempfile.mkdtemp(prefix=f"{kind}-"))
        server = up(Path(place.read_text()))
        worker.touch()
    try:
        yield server
    finally:
        with _locked(lock):
            worker.unlink()
            if not any(users.iterdir()):
                server.remove()
                place.unlink()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
