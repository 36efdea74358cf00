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
    open_catalog,
    open_data,
)
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
    assert open_catalog("lfn", SETTINGS) is data.catalog.catalog
    assert data.element == "SE-1"


def test_all_catalogs_of_a_python_share_a_client() -> None:
    one, other = (open_catalog("lfn", DataSettings(storage_element=e)) for e in ("SE-1", "SE-2"))
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


def test_clean_is_not_promised_for_files_of_rucio(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, said = FakeCatalog(), list[str]()
    fake.stuck["rucio://user.me/a"] = "busy"
    monkeypatch.setitem(catalogs.FACTORIES, "rucio", lambda *_: fake)
    data = open_data("rucio", SETTINGS, said.append)
    data.removals.remove("rucio://user.me/a")
    close_all()
    assert "`snakemake-grid clean` removes them" not in said[0]
    assert "remove them yourself" in said[0]


def test_other_names_are_refused() -> None:
    with pytest.raises(PermanentError, match="s3: is no file catalog; choose from lfn"):
        open_data("s3", SETTINGS, print)
