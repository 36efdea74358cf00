"""The interface's own tests, and what Snakemake expects of a plugin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry
from snakemake_interface_storage_plugins.tests import TestStorageBase

import snakemake_storage_plugin_grid as plugin
from snakemake_executor_plugin_grid.grid_data import catalogs
from snakemake_storage_plugin_grid import StorageProvider, StorageProviderSettings
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.webdav import TOKEN, WebDavServer

__all__ = ["webdav"]

_IMPORT = """
import sys
import snakemake_interface_storage_plugins.storage_object
import snakemake_interface_storage_plugins.storage_provider
before = set(sys.modules)
import snakemake_storage_plugin_grid
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


@pytest.mark.usefixtures("catalog")
class TestStorage(TestStorageBase):
    __test__ = True

    def get_storage_provider_cls(self) -> type[StorageProvider]:
        return StorageProvider

    def get_storage_provider_settings(self) -> StorageProviderSettings:
        return StorageProviderSettings(storage_element="SE-1")

    def get_query(self, tmp_path: Path) -> str:
        return "lfn:/vo/user/u/user/test.txt"

    def get_query_not_existing(self, tmp_path: Path) -> str:
        return "lfn:/vo/user/u/user/absent.txt"


def test_nothing_but_the_interface_is_imported_until_it_is_used() -> None:
    """Snakemake imports it at each start, whatever the workflow."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True, timeout=60
    )
    new = set(done.stdout.split()) - set(sys.stdlib_module_names)
    assert new == {"snakemake_storage_plugin_grid"}


def test_snakemake_finds_it_and_its_options() -> None:
    found: Any = StoragePluginRegistry().get_plugin("grid")
    assert found.settings_cls is StorageProviderSettings
    assert found.is_read_write()
    assert found.storage_provider.get_storage_object_cls() is plugin.StorageObject
    options = {one["cliarg"]: one["env_var"] for one in found.get_settings_info()}
    assert options["--storage-grid-dirac-python"] == "SNAKEMAKE_STORAGE_GRID_DIRAC_PYTHON"
    # As variables they reach workers, where a command line could not be understood.
    del options["--storage-grid-max-requests-per-second"]
    assert all(options.values())


def test_each_example_is_valid() -> None:
    for example in StorageProvider.example_queries():
        assert StorageProvider.is_valid_query(example.query)


class TestStorageOfServer(TestStorageBase):
    """On a WebDAV server."""

    __test__ = True

    @pytest.fixture(autouse=True)
    def _server(self, webdav: WebDavServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("BEARER_TOKEN", TOKEN)
        self.url = webdav.url
        yield
        catalogs.close_all()

    def get_storage_provider_cls(self) -> type[StorageProvider]:
        return StorageProvider

    def get_storage_provider_settings(self) -> StorageProviderSettings:
        return StorageProviderSettings()

    def get_query(self, tmp_path: Path) -> str:
        return f"{self.url}/test/test.txt"

    def get_query_not_existing(self, tmp_path: Path) -> str:
        return f"{self.url}/test/absent.txt"
