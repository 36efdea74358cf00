"""The client of this process: who shares it, and who it is for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.stores.rucio import client as module
from snakemake_executor_plugin_grid.stores.rucio.client import RucioClient


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_shared", {})
    monkeypatch.delenv("SNAKEMAKE_STORAGE_GRID_RUCIO_ACCOUNT", raising=False)


def test_storage_plugin_and_store_have_one_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python, log = tmp_path / "python", tmp_path / "log"
    plugin = RucioClient.shared(python, log, "me")
    assert RucioClient.shared(None, log) is plugin
    assert RucioClient.shared(python, log) is plugin
    other = RucioClient.shared(tmp_path / "other", log)
    assert other is not plugin
    for client in (plugin, plugin, other):
        client.close()
    assert RucioClient.shared(None, log) is plugin, "one of its users has not closed it"
    plugin.close()
    plugin.close()
    monkeypatch.setenv("SNAKEMAKE_STORAGE_GRID_RUCIO_ACCOUNT", "you")
    fresh = RucioClient.shared(None, log)
    assert fresh is not plugin
    assert fresh.python == Path(sys.executable)
    assert fresh.environment()["RUCIO_ACCOUNT"] == "you"
    fresh.close()
