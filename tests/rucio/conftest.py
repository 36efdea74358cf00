"""Fixtures of the tests on a real Rucio server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.stores.rucio.catalog import RucioCatalog
from snakemake_executor_plugin_grid.stores.rucio.client import RucioClient
from tests.servers.rucio.fixture import rucio_server
from tests.servers.rucio.server import UNSET, RucioServer
from tests.servers.rucio.settings import SCOPE

__all__ = ["rucio_server"]

OpenCatalog = Callable[..., RucioCatalog]


@pytest.fixture
def environment(rucio_server: RucioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process a client of the server."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in rucio_server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def open_catalog(
    rucio_server: RucioServer, environment: None, tmp_path: Path
) -> Iterator[OpenCatalog]:
    """Return a function that opens a catalog, with a client process of its own."""
    opened: list[RucioCatalog] = []

    def open_one(**options: object) -> RucioCatalog:
        log = tmp_path / f"rucio-{len(opened)}.log"
        python = os.environ.get("GRID_TEST_RUCIO_CLIENT") or rucio_server.settings.python
        client = RucioClient(Path(python), log)
        opened.append(RucioCatalog(client, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def run() -> str:
    """Return the beginning of names that no other test has."""
    return f"rucio://{SCOPE}/run-{secrets.token_hex(4)}"
