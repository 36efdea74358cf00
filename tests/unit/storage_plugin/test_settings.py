from __future__ import annotations

import sys
from pathlib import Path

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.grid_data.catalogs import DataSettings
from snakemake_executor_plugin_grid.model.duration import seconds_of
from snakemake_executor_plugin_grid.settings.base import ObservedSettings
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_storage_plugin_grid import StorageProvider, StorageProviderSettings, helpers
from snakemake_storage_plugin_grid.provider import data_settings
from tests.unit.grid_data.fake_catalog import FakeCatalog


def test_the_variables_of_the_executor_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObservedSettings, "latest", None)
    monkeypatch.setenv("SNAKEMAKE_GRID_DIRAC_PYTHON", sys.executable)
    monkeypatch.setenv("SNAKEMAKE_GRID_DIRAC_STORAGE_ELEMENT", "SE-9")
    default = data_settings(StorageProviderSettings())
    assert default == DataSettings(dirac_python=Path(sys.executable), storage_element="SE-9")
    given = StorageProviderSettings(dirac_python=Path("/opt/python"), storage_element="SE-1")
    assert data_settings(given).dirac_python == Path("/opt/python")
    assert data_settings(given).storage_element == "SE-1"


def test_the_options_of_the_executor_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObservedSettings, "latest", None)
    monkeypatch.setenv("SNAKEMAKE_GRID_DIRAC_STORAGE_ELEMENT", "SE-9")
    ExecutorSettings(dirac_python=Path("/opt/python"), dirac_storage_element="SE-2")
    default = data_settings(StorageProviderSettings())
    assert default == DataSettings(dirac_python=Path("/opt/python"), storage_element="SE-2")
    ExecutorSettings()
    assert data_settings(StorageProviderSettings()) == DataSettings(storage_element="SE-9")


def test_without_any_option_this_python_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObservedSettings, "latest", None)
    for name in ("PYTHON", "STORAGE_ELEMENT"):
        monkeypatch.delenv(f"SNAKEMAKE_GRID_DIRAC_{name}", raising=False)
    assert data_settings(StorageProviderSettings()) == DataSettings()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("3600", 3600), ("90s", 90), ("5m", 300), ("12h", 43200), ("30d", 2592000)),
        *(("2W", 1209600), ("0", None), ("-5", None), ("", None), ("d", None), ("1.5h", None)),
    ],
)
def test_lifetimes(text: str, seconds: int | None) -> None:
    assert seconds_of(text) == seconds


def test_a_lifetime_that_is_none_is_an_error() -> None:
    with pytest.raises(WorkflowError, match="--storage-grid-rucio-lifetime soon: has to be"):
        data_settings(StorageProviderSettings(rucio_lifetime="soon"))


def test_helpers_use_the_options_of_the_provider(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    catalog.add("lfn:/vo/run/a")
    assert helpers.list_files("LFN:/vo/run/") == ["lfn:/vo/run/a"]
    assert StorageProvider.latest is provider


def test_helpers_work_before_there_is_a_provider(catalog: FakeCatalog) -> None:
    catalog.add("lfn:/vo/run/a")
    assert helpers.list_files("lfn:/vo/run") == ["lfn:/vo/run/a"]


def test_other_catalogs_have_no_metadata(provider: StorageProvider) -> None:
    with pytest.raises(WorkflowError, match="in DIRAC's catalog only"):
        helpers.find_files("lfn:/vo", {"run": 3})
    with pytest.raises(WorkflowError, match="s3: is no file catalog"):
        helpers.list_files("s3://bucket")
