from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.grid_data import catalogs
from snakemake_storage_plugin_grid import StorageProvider, StorageProviderSettings
from tests.unit.grid_data.fake_catalog import FakeCatalog


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCatalog]:
    """Return what takes the place of DIRAC's file catalog."""
    fake = FakeCatalog()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(catalogs.FACTORIES, "lfn", lambda *_: fake)
    monkeypatch.setattr(StorageProvider, "latest", None)
    catalogs.close_all()
    fake.closed = False
    yield fake
    catalogs.close_all()


@pytest.fixture
def provider(catalog: FakeCatalog, tmp_path: Path) -> StorageProvider:
    prefix = tmp_path / ".snakemake" / "storage" / "grid"
    settings = StorageProviderSettings(storage_element="SE-1")
    return StorageProvider(prefix, logging.getLogger("storage"), settings=settings)
