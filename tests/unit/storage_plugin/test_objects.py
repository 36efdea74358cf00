from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from snakemake.io import IOCache
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.grid_data.catalogs import close_all
from snakemake_executor_plugin_grid.grid_data.files import GridFiles
from snakemake_executor_plugin_grid.grid_data.removal import note_in_journal
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import FOLDER, open_database
from snakemake_executor_plugin_grid.model.errors import PermanentError, UnreachableError
from snakemake_executor_plugin_grid.snakemake_api.grid_files import GridPath
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_storage_plugin_grid import StorageObject, StorageProvider
from tests.unit.grid_data.fake_catalog import NOON, FakeCatalog

DOWN = PermanentError("DIRAC does not answer (host:9197: connection refused)")


def objects(provider: StorageProvider, *names: str) -> list[StorageObject]:
    return [provider.object(f"lfn:/vo/{name}") for name in names]


def store(one: StorageObject, text: str = "text") -> Path:
    path = one.local_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    one.store_object()
    return path


def test_one_question_is_for_all_names(provider: StorageProvider, catalog: FakeCatalog) -> None:
    names = [str(n) for n in range(1000)]
    made = objects(provider, *names, "{pattern}")
    for name in names[1:]:
        catalog.add(f"lfn:/vo/{name}")
    assert [one.exists() for one in made[:1000]] == [False] + [True] * 999
    assert made[1].mtime() == NOON
    assert made[1].size() == 7
    assert len(catalog.calls) == 1
    assert "lfn:/vo/{pattern}" not in catalog.calls[0][1]


def test_the_cache_learns_about_all_names(provider: StorageProvider, catalog: FakeCatalog) -> None:
    catalog.add("lfn:/vo/a")
    made = objects(provider, "a", "b")
    cache = IOCache(max_wait_time=10)
    for one in made:
        asyncio.run(one.inventory(cache))
    assert len(catalog.calls) == 1
    keys = [one.cache_key() for one in made]
    assert [cache.exists_in_storage[key] for key in keys] == [True, False]
    assert cache.size == {keys[0]: 7}
    assert cache.mtime[keys[0]].storage() == NOON
    assert keys[1] not in cache.mtime


def test_a_local_copy_has_the_time_of_the_catalog(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    catalog.add("lfn:/vo/a", b"content", NOON - 12345)
    (one,) = objects(provider, "a")
    asyncio.run(one.managed_retrieve())
    assert one.local_path().read_bytes() == b"content"
    assert one.local_path().stat().st_mtime == NOON - 12345


def test_what_is_stored_is_known_without_a_question(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    (one,) = objects(provider, "a")
    assert not one.exists()
    store(one)
    assert one.exists()
    assert one.mtime() == NOON
    assert catalog.files == {"lfn:/vo/a": b"text"}
    assert len(catalog.asked("facts")) == 1


def test_what_a_link_points_to_is_stored(
    provider: StorageProvider, catalog: FakeCatalog, tmp_path: Path
) -> None:
    (one,) = objects(provider, "a")
    (tmp_path / "target").write_text("text")
    one.local_path().parent.mkdir(parents=True)
    one.local_path().symlink_to(tmp_path / "target")
    one.store_object()
    assert catalog.files == {"lfn:/vo/a": b"text"}


def test_folders_and_empty_files_are_refused(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    folder, empty = objects(provider, "folder", "empty")
    folder.local_path().mkdir(parents=True)
    with pytest.raises(WorkflowError, match="lfn:/vo/folder is a folder"):
        folder.store_object()
    with pytest.raises(WorkflowError, match="lfn:/vo/empty: is empty"):
        store(empty, "")
    assert not catalog.files


def test_files_are_removed_together(provider: StorageProvider, catalog: FakeCatalog) -> None:
    made = objects(provider, "a", "b", "c")
    for one in made:
        store(one)
        one.remove()
        assert not one.exists()
    close_all()
    assert catalog.asked("remove") == [[one.query for one in made]]
    assert not catalog.files


def test_a_file_that_is_stored_again_stays(provider: StorageProvider, catalog: FakeCatalog) -> None:
    (one,) = objects(provider, "a")
    store(one)
    one.remove()
    store(one, "new")
    close_all()
    assert catalog.files == {"lfn:/vo/a": b"new"}


def test_clean_keeps_a_file_that_is_stored_again(provider: StorageProvider) -> None:
    (one,) = objects(provider, "a")
    note_in_journal(FOLDER.absolute(), "", {one.query: "busy"})
    store(one)
    with open_database(FOLDER.absolute()) as database:
        assert Catalog(database).locations() == []


def test_candidates_are_the_files_of_the_folder(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    for name in ("run/1.root", "run/deep/2.root", "other/3.root"):
        catalog.add(f"lfn:/vo/{name}")
    (pattern,) = objects(provider, "run/{n}.root")
    assert pattern.list_candidate_matches() == ["lfn:/vo/run/1.root", "lfn:/vo/run/deep/2.root"]
    assert catalog.calls == [("listing", ["lfn:/vo/run"])]


@pytest.mark.parametrize("question", ["managed_exists", "managed_mtime", "managed_size"])
def test_a_catalog_that_is_away_is_an_error_and_no_absence(
    provider: StorageProvider, catalog: FakeCatalog, question: str
) -> None:
    catalog.add("lfn:/vo/a")
    catalog.errors["facts"] = [DOWN] * 5
    (one,) = objects(provider, "a")
    with pytest.raises(WorkflowError, match=r"DIRAC does not answer \(host:9197"):
        asyncio.run(getattr(one, question)())


def test_a_catalog_that_is_away_for_a_moment_is_asked_again(
    provider: StorageProvider, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add("lfn:/vo/a")
    catalog.errors["facts"] = [UnreachableError("away")]
    (one,) = objects(provider, "a")
    persistent: Any = provider.data(one.query).catalog
    monkeypatch.setattr(persistent, "_sleep", lambda _: None)
    assert one.exists()


def test_an_absent_file_has_no_time_or_size(provider: StorageProvider) -> None:
    (one,) = objects(provider, "absent")
    with pytest.raises(WorkflowError, match="absent"):
        asyncio.run(one.managed_mtime())
    with pytest.raises(WorkflowError, match="absent"):
        asyncio.run(one.managed_retrieve())
    assert one.checksum() is None


@pytest.mark.parametrize(("difference", "warns"), [(5, False), (-18_000, True), (60, True)])
def test_clocks_that_differ_are_told_once(
    provider: StorageProvider,
    catalog: FakeCatalog,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    difference: float,
    warns: bool,
) -> None:
    monkeypatch.setattr("time.time", lambda: NOON - difference)
    for one in objects(provider, "a", "b"):
        store(one)
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == warns
    if warns:
        assert f"differ by {difference:+} s" in told[0]


# What the executor asks of the provider.


def test_sources_are_the_catalogs_name_and_urls(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    for name in ("a", "b"):
        catalog.add(f"lfn:/vo/{name}")
    catalog.places = {"lfn:/vo/a": {"SE-2": "root://se2//vo/a", "SE-1": ""}}
    one, other = objects(provider, "a", "b")
    assert one.exists()
    assert provider.sources([one.query, other.query]) == {
        one.query: ["lfn:/vo/a", "root://se2//vo/a"],
        other.query: [],
    }


def test_a_worker_stores_where_nothing_is_to_be_removed(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    (one,) = objects(provider, "a")
    store(one)
    one.remove()
    target = provider.destination(one.query)
    assert (target.url, target.element) == ("lfn:/vo/a", "SE-1")
    assert not catalog.files


def test_a_job_may_replace_what_could_not_be_removed_before_it(
    provider: StorageProvider, catalog: FakeCatalog, tmp_path: Path
) -> None:
    (one,) = objects(provider, "a")
    store(one)
    one.remove()
    catalog.errors["remove"] = [PermanentError("busy")]
    path = GridPath(str(one.local_path()), one.query, provider)
    (output,) = GridFiles(Layout(tmp_path)).outputs([path])
    assert output.before == "4:046701c6"


def test_what_a_job_has_written_is_noted_and_what_it_has_not_is_protected(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    one, other = objects(provider, "a", "b")
    catalog.add(other.query)
    provider.note(one.query, FileFacts(5, 6.0, ""), 5.0)
    assert one.size() == 5
    provider.forget([one.query])
    assert not one.exists()
    provider.protect([other.query])
    other.remove()
    close_all()
    assert catalog.files.keys() == {other.query}


def test_what_a_later_attempt_has_written_can_be_removed(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    (one,) = objects(provider, "a")
    provider.protect([one.query])  # the first attempt failed, and the job was submitted again
    catalog.add(one.query)
    provider.note(one.query, FileFacts(7, NOON), NOON)
    one.remove()  # it is temp()
    assert not one.exists()
    close_all()
    assert not catalog.files


def test_names_of_objects_that_are_made_later_are_registered_too(
    provider: StorageProvider, catalog: FakeCatalog
) -> None:
    (first,) = objects(provider, "a")
    assert not first.exists()
    later = objects(provider, "b", "c")
    assert not any(one.exists() for one in later)
    assert catalog.asked("facts")[1][:2] == ["lfn:/vo/b", "lfn:/vo/c"]
    assert len(catalog.calls) == 2


def test_local_copies_are_below_the_prefix(provider: StorageProvider) -> None:
    (one,) = objects(provider, "run/a.root")
    assert one.local_path() == provider.local_prefix / "lfn" / "vo" / "run" / "a.root"
    assert os.fspath(one.local_path()) == one.cache_key()
