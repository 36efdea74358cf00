from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.dirac.file_catalog import DiracCatalog
from snakemake_executor_plugin_grid.grid_data import catalogs
from snakemake_executor_plugin_grid.grid_data.catalogs import (
    DataSettings,
    close_all,
    dirac_client,
    open_data,
)
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import FOLDER, open_database
from snakemake_executor_plugin_grid.model.errors import PermanentError
from tests.unit.grid_data.fake_catalog import FakeCatalog

SETTINGS = DataSettings(storage_element="SE-1")


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    close_all()
    yield
    close_all()


def test_the_same_settings_are_the_same_files() -> None:
    data = open_data("lfn", SETTINGS, print)
    assert open_data("lfn", DataSettings(storage_element="SE-1"), print) is data
    assert data.element == "SE-1"


def test_all_catalogs_of_a_python_share_a_client() -> None:
    one, other = (
        open_data("lfn", DataSettings(storage_element=element), print).catalog.catalog
        for element in ("SE-1", "SE-2")
    )
    assert isinstance(one, DiracCatalog)
    assert isinstance(other, DiracCatalog)
    assert one is not other
    assert one.client is other.client is dirac_client(None) is dirac_client(Path(sys.executable))
    assert dirac_client(Path("/other/python")) is not one.client


def test_at_the_end_files_are_removed_and_catalogs_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeCatalog()
    fake.add("lfn:/vo/a")
    monkeypatch.setitem(catalogs.FACTORIES, "lfn", lambda *_: fake)
    data = open_data("lfn", SETTINGS, print)
    data.removals.remove("lfn:/vo/a")
    close_all()
    assert not fake.files
    assert fake.closed
    assert open_data("lfn", SETTINGS, print) is not data


def test_other_names_are_refused() -> None:
    with pytest.raises(PermanentError, match="s3: is no file catalog; choose from lfn"):
        open_data("s3", SETTINGS, print)


def test_what_stays_in_rucio_is_noted_for_clean(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeCatalog()
    fake.stuck["rucio://scope/a"] = "not yours"
    monkeypatch.setitem(catalogs.FACTORIES, "rucio", lambda *_: fake)
    said: list[str] = []
    data = open_data("rucio", DataSettings(rucio_rse="RSE"), said.append)
    assert data.element == "RSE"
    monkeypatch.setattr(data.catalog, "_sleep", lambda _: None)
    data.removals.remove("rucio://scope/a")
    data.removals.flush()
    assert said[0].endswith("(not yours): rucio://scope/a; `snakemake-grid clean` removes them.")
    with open_database(tmp_path / FOLDER) as database:
        catalog = Catalog(database)
        assert catalog.locations() == ["rucio://scope/a"]
        assert catalog.stores() == []


def test_urls_of_new_files_are_for_catalogs_that_have_them() -> None:
    with pytest.raises(PermanentError, match="no catalog of Rucio"):
        open_data("lfn", SETTINGS, print).write_urls.of("lfn:/vo/a")
