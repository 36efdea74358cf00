"""Fixtures that several modules share."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends import registry
from snakemake_executor_plugin_grid.cli import cancel, clean
from snakemake_executor_plugin_grid.engine import controller
from snakemake_executor_plugin_grid.worker.interruption import interrupt_by
from tests.unit.backends.local import local_bench
from tests.unit.cli.commands import FakeBackend
from tests.unit.fickle import Bench


@pytest.fixture
def bench(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Return a controller whose backend misbehaves, and whose clock does not wait."""
    # The clock runs a hundred times faster, also while threads go on at their own pace.
    for limit in ("_SILENT_WAIT", "_LAST_TRANSFERS", "_LAST_SUBMISSIONS", "_LAST_MOMENT"):
        monkeypatch.setattr(controller, limit, 1000.0)
    bench = Bench(tmp_path, **getattr(request, "param", {}))
    yield bench
    bench.controller.close()
    interrupt_by()
    bench.pool.shutdown()
    assert bench.backend.idle == []
    bench.database.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Return an event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[local_bench.MakeBench]:
    """Return a function that makes a local backend; what is left of its site is killed."""
    benches: list[local_bench.Bench] = []

    def make(**options: Any) -> local_bench.Bench:
        benches.append(local_bench.Bench(tmp_path, **options))
        return benches[-1]

    yield make
    if benches:
        for pid in benches[-1].processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """Return what all commands take for the server."""
    fake = FakeBackend()
    monkeypatch.setattr(registry, "make_backend", fake.make)
    monkeypatch.delenv("SNAKEMAKE_GRID_DIRAC_PYTHON", raising=False)
    monkeypatch.delenv("SNAKEMAKE_GRID_PANDA_PYTHON", raising=False)
    return fake


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands that ask have somebody to ask."""
    for command in (cancel, clean):
        fake = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(command, "sys", fake)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of 4 MB."""
    folder = tmp_path / "local"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
