"""Journals on network file systems, where SQLite's write-ahead mode does not work."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.local.jobs import JobTable
from snakemake_executor_plugin_grid.journal import file_system
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, Database
from snakemake_executor_plugin_grid.journal.file_system import has_locks, is_local
from snakemake_executor_plugin_grid.journal.reader import JournalReader
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from tests.unit.specs import spec, tracked

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:1 - autofs systemd-1 rw
31 30 0:41 / /home rw shared:2 master:3 - nfs4 server:/home rw,vers=4.2
32 31 0:42 / /home/ada/local\\040disk rw - xfs /dev/sdb rw
33 22 0:43 / /eos rw - fuse.eosxd eosuser rw
34 22 0:44 / /afs rw - afs AFS rw
35 22 0:45 / /scratch rw - lustre mds:/scratch rw
36 22 0:46 / /homestead rw - tmpfs tmpfs rw
"""


def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    path = tmp_path / "mountinfo"
    path.write_text(table)
    monkeypatch.setattr(file_system, "_MOUNTS", path)


def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(tmp_path, monkeypatch, "1 0 0:1 / / rw - nfs4 server:/ rw\n")


def written(path: Path) -> Database:
    """Return a database with the journal of a run and its one job."""
    database = Database(path)
    journal = Journal(database, "run", "dirac")
    journal.begin_run("", {}).wait()
    journal.submitting([tracked(spec("a-1"))]).wait()
    return database


@pytest.mark.parametrize(
    ("folder", "local"),
    [
        ("/work", True),
        ("/home/ada", False),
        ("/home/ada/local disk/x", True),
        ("/homestead", True),
        ("/eos/user/a", False),
        ("/afs/cern.ch", False),
        ("/scratch", False),
    ],
)
def test_which_folders_are_on_this_host_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, local: bool
) -> None:
    mounted(tmp_path, monkeypatch, MOUNTS)
    assert is_local(Path(folder)) is local


def test_a_host_that_does_not_tell_its_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_system, "_MOUNTS", tmp_path / "missing")
    assert not is_local(tmp_path)


def test_on_a_network_nothing_needs_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_nfs(tmp_path, monkeypatch)
    folder = tmp_path / "grid"
    with written(folder / DATABASE_FILE) as database:
        assert database.query("PRAGMA journal_mode") == [("truncate",)]
        assert database.query("PRAGMA synchronous") == [(2,)]
        with JournalReader(folder) as reader:
            assert [job.phase for job in reader.jobs()] == [Phase.SUBMITTING]
            # The reader keeps nobody from writing, and sees it.
            Journal(database, "run", "dirac").submitted({"a-1": "17"}).wait()
            assert [job.grid_id for job in reader.jobs()] == ["17"]
        names = {path.name for path in folder.iterdir()}
        assert names <= {DATABASE_FILE, f"{DATABASE_FILE}-journal"}


def test_a_journal_of_a_local_disk_is_converted_by_its_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "grid"
    written(folder / DATABASE_FILE).close()
    on_nfs(tmp_path, monkeypatch)
    with JournalReader(folder) as reader:  # before that run
        assert [job.name for job in reader.jobs()] == ["a-1"]
    assert {path.name for path in folder.iterdir()} == {DATABASE_FILE}
    with Database(folder / DATABASE_FILE) as database:
        assert database.query("SELECT name FROM jobs") == [("a-1",)]
        other = sqlite3.connect(folder / DATABASE_FILE, timeout=0)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert other.execute("SELECT name FROM jobs").fetchall() == [("a-1",)]  # it is not locked
        other.close()


def test_a_crashed_run_of_write_ahead_mode_is_converted_with_all_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path / "local" / DATABASE_FILE)
    folder = tmp_path / "grid"
    folder.mkdir()
    for suffix in ("", "-wal"):  # not closed: its rows are in the log only
        name = DATABASE_FILE + suffix
        (folder / name).write_bytes((tmp_path / "local" / name).read_bytes())
    first.close()
    on_nfs(tmp_path, monkeypatch)
    with JournalReader(folder) as reader:
        assert [job.name for job in reader.jobs()] == ["a-1"]
    assert not (folder / f"{DATABASE_FILE}-shm").exists()
    with Database(folder / DATABASE_FILE) as database:
        assert database.query("SELECT name FROM jobs") == [("a-1",)]
    assert not (folder / f"{DATABASE_FILE}-wal").exists()


def test_without_file_locks_the_journal_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "grid"
    written(folder / DATABASE_FILE).close()
    on_nfs(tmp_path, monkeypatch)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with Database(folder / DATABASE_FILE) as database:
        assert database.query("PRAGMA journal_mode") == [("truncate",)]
        other = sqlite3.connect(folder / DATABASE_FILE)
        other.execute("BEGIN EXCLUSIVE")  # a lock that nobody has to heed
        Journal(database, "run", "dirac").ended("a-1", Phase.FAILED, "why", json.dumps({})).wait()
        with JournalReader(folder) as reader:
            assert [job.detail for job in reader.jobs()] == ["why"]
        other.close()


def test_the_local_site_works_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--grid-local-dir may name any folder."""
    path = tmp_path / "site.sqlite"
    JobTable(path)._connection.close()
    on_nfs(tmp_path, monkeypatch)
    table = JobTable(path)
    assert table._connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)


def test_a_hot_journal_is_rolled_back_for_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run was killed in a commit: its half is not shown, and the file is left to the next run."""
    on_nfs(tmp_path, monkeypatch)
    live = tmp_path / "live"
    written(live / DATABASE_FILE).close()
    connection = sqlite3.connect(live / DATABASE_FILE, isolation_level=None)
    connection.execute("PRAGMA journal_mode=TRUNCATE")
    connection.execute("PRAGMA cache_size=1")
    connection.execute("PRAGMA cache_spill=1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE filler AS SELECT randomblob(100000)")
    connection.execute("UPDATE jobs SET phase='succeeded'")
    connection.execute("INSERT INTO filler VALUES (randomblob(1000000))")
    folder = tmp_path / "grid"
    folder.mkdir()
    for suffix in ("", "-journal"):
        name = DATABASE_FILE + suffix
        (folder / name).write_bytes((live / name).read_bytes())
    connection.close()
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(left) == 2
    with JournalReader(folder) as reader:
        assert [job.phase for job in reader.jobs()] == [Phase.SUBMITTING]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == left
    with Database(folder / DATABASE_FILE) as database:
        assert database.query("SELECT phase FROM jobs") == [("submitting",)]


def test_locks_cannot_be_tried_on_a_read_only_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for call in ("open", "unlink"):
        monkeypatch.setattr(Path, call, refuse)
    assert has_locks(tmp_path)  # what opens the journal says what is wrong
