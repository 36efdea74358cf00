"""Fixtures that several modules share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid import patience
from tests.unit.fickle import Bench


@pytest.fixture
def bench(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Return a controller whose backend misbehaves, and which is not as patient as others."""
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_CREDENTIALS_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_CREDENTIALS_PERIOD", 0.0)
    bench = Bench(tmp_path, **getattr(request, "param", {}))
    yield bench
    bench.controller.close()
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
