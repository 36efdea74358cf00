"""Files in Rucio that are made again with equal content: they are as old as they were made last."""

from __future__ import annotations

from pathlib import Path

from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.grid_data.remade import Remade
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from tests.unit.grid_data.fake_catalog import FakeCatalog

NAME = "rucio://scope/a"
OLD = FileFacts(5, 1000.0, "0000000a")
NEW = FileFacts(5, 9000.0, "0000000a")


def remade(folder: Path, now: float = 9000.0) -> Remade:
    return Remade(folder / "grid", lambda: now)


def test_what_is_made_now_has_the_time_of_the_catalog(tmp_path: Path) -> None:
    facts = FileFacts(5, 8995.0, "0000000a")  # by another clock
    assert remade(tmp_path).note(NAME, facts, 9000.0) is facts
    assert not (tmp_path / "grid").exists()


def test_what_is_made_again_is_as_old_as_that(tmp_path: Path) -> None:
    assert remade(tmp_path).note(NAME, OLD, 8999.0) == NEW
    later = remade(tmp_path, 20_000.0)
    assert later.adjust(NAME, OLD) == NEW
    assert later.adjust("rucio://scope/b", OLD) == OLD
    catalog = FakeCatalog()
    catalog.add(NAME, b"12345", OLD.mtime)
    facts = Lookup(catalog, adjust=later.adjust).facts(NAME)
    assert facts is not None
    assert facts.mtime == NEW.mtime
    # And once more; the executor knows it as it was adjusted.
    last = FileFacts(5, 20_000.0, "0000000a")
    assert later.note(NAME, NEW, 19_999.0) == last
    assert remade(tmp_path).adjust(NAME, OLD) == last


def test_a_name_that_is_given_anew_has_its_new_time(tmp_path: Path) -> None:
    remade(tmp_path).note(NAME, OLD, 8999.0)
    anew = FileFacts(6, 30_000.0, "0000000b")
    later = remade(tmp_path, 30_000.0)
    assert later.adjust(NAME, anew) == anew
    assert later.note(NAME, anew, 30_000.0) == anew


def test_it_is_noted_beside_the_executor(tmp_path: Path) -> None:
    remade(tmp_path).note("rucio://scope/b", OLD, 8999.0)
    with lock_folder(tmp_path / "grid"):
        assert remade(tmp_path).note(NAME, OLD, 8999.0) == NEW
    assert remade(tmp_path).adjust(NAME, OLD) == NEW
