from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import DiskFullError, GridError

SCHEMA = "CREATE TABLE IF NOT EXISTS pairs (path TEXT PRIMARY KEY, copy TEXT NOT NULL)"
INSERT = "INSERT INTO pairs VALUES (?, ?)"
SELECT = "SELECT path, copy FROM pairs ORDER BY path"


def opened(path: Path) -> Database:
    database = Database(path)
    database.create(SCHEMA)
    return database


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "grid.sqlite"
    database = opened(path)
    database.change(INSERT, [("a", "1"), ("b", "2")])
    database.close()
    assert opened(path).query(SELECT) == [("a", "1"), ("b", "2")]


def test_what_was_written_is_there_without_close(tmp_path: Path) -> None:
    first = opened(tmp_path / "grid.sqlite")
    first.change(INSERT, [("a", "1")])
    assert opened(tmp_path / "grid.sqlite").query(SELECT) == [("a", "1")]


def test_change_is_all_or_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "grid.sqlite")
    with pytest.raises(GridError, match=r"grid\.sqlite: UNIQUE"):
        database.change(INSERT, [("a", "1"), ("a", "2")])
    assert database.query(SELECT) == []


def test_values_reach_the_query(tmp_path: Path) -> None:
    database = opened(tmp_path / "grid.sqlite")
    database.change(INSERT, [("a", "1"), ("b", "2")])
    assert database.query("SELECT copy FROM pairs WHERE path=?", ("b",)) == [("2",)]


def test_threads_may_share_it(tmp_path: Path) -> None:
    database = opened(tmp_path / "grid.sqlite")
    errors: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            for number in range(50):
                database.change(INSERT, [(f"{thread}-{number}", "")])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(database.query(SELECT)) == 200


def test_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "grid.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(
        GridError, match=r"grid\.sqlite: is damaged: .*; remove it when no grid job"
    ):
        Database(path)


def test_damage_seen_later_names_the_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "grid.sqlite")
    with pytest.raises(GridError, match=r"grid\.sqlite: no such table"):
        database.query("SELECT * FROM missing")


def test_file_of_a_newer_version_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "grid.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=999")
    connection.execute("CREATE TABLE future (x)")
    connection.close()
    with pytest.raises(GridError, match=r"grid\.sqlite: written by a newer version"):
        opened(path)
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("future",)]


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GridError, match=r"file/grid\.sqlite: cannot be opened: "):
        Database(tmp_path / "file" / "grid.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(GridError, match=r"grid\.sqlite: cannot be opened: "):
        Database(tmp_path / "grid.sqlite")


def test_what_is_committed_survives_a_power_cut(tmp_path: Path) -> None:
    database = Database(tmp_path / "grid.sqlite")
    assert database.query("PRAGMA synchronous") == [(2,)]  # FULL
    assert database.query("PRAGMA journal_mode") == [("wal",)]


def test_a_full_disk_is_told_apart_and_spoils_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "grid.sqlite")
    database.change(INSERT, [("a", "1")])
    (pages,) = database.query("PRAGMA page_count")[0]
    database.query(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFullError, match=r"grid\.sqlite: .*full"):
        database.change(INSERT, [("b", "2" * 100_000)])
    assert database.query(SELECT) == [("a", "1")]
    database.query("PRAGMA max_page_count=1000000")
    database.change(INSERT, [("b", "2" * 100_000)])
    assert len(database.query(SELECT)) == 2
