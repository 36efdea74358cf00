from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal import migrations
from snakemake_executor_plugin_grid.journal.backups import Backups
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, Database, open_database
from snakemake_executor_plugin_grid.journal.reader import JournalReader
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import GridError

VERSION_1 = """
CREATE TABLE jobs (
    name TEXT PRIMARY KEY, run TEXT NOT NULL, rule TEXT NOT NULL, wildcards TEXT NOT NULL,
    jobid TEXT NOT NULL, attempt INTEGER NOT NULL, backend TEXT NOT NULL, grid_id TEXT,
    phase TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, report TEXT
) WITHOUT ROWID;
CREATE INDEX jobs_phase ON jobs (phase);
CREATE TABLE aside (path TEXT PRIMARY KEY, copy TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO jobs VALUES ('a-1', 'old', 'a', '{"x": "1"}', '3', 2, 'local', '17', 'submitted', '',
    5.0, NULL);
INSERT INTO jobs VALUES ('a-2', 'old', 'a', '{}', '4', 1, 'local', '18', 'succeeded', '', 6.0,
    '{}');
INSERT INTO aside VALUES ('/w/a', '/c/1');
PRAGMA user_version=1;
"""
"""A file as schema version 1 had it, with the tables that have changed since."""
VERSION_2 = """
CREATE TABLE jobs (
    name TEXT PRIMARY KEY, run TEXT NOT NULL, rule TEXT NOT NULL, wildcards TEXT NOT NULL,
    jobid TEXT NOT NULL, attempt INTEGER NOT NULL, backend TEXT NOT NULL, grid_id TEXT,
    phase TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, report TEXT,
    origin TEXT NOT NULL DEFAULT '', place TEXT NOT NULL DEFAULT '',
    kept INTEGER NOT NULL DEFAULT 0, identity TEXT NOT NULL DEFAULT '',
    outputs TEXT NOT NULL DEFAULT '[]', asked TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT '', site TEXT NOT NULL DEFAULT '',
    began REAL, sent REAL, taken REAL, running REAL, ended REAL, landed REAL
) WITHOUT ROWID;
CREATE INDEX jobs_phase ON jobs (phase);
CREATE TABLE runs (
    name TEXT PRIMARY KEY, backend TEXT NOT NULL, store TEXT NOT NULL, host TEXT NOT NULL,
    pid INTEGER NOT NULL, settings TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    end TEXT NOT NULL DEFAULT '', stored_bytes INTEGER NOT NULL DEFAULT 0,
    spared_bytes INTEGER NOT NULL DEFAULT 0, trouble TEXT NOT NULL DEFAULT '', troubled REAL
) WITHOUT ROWID;
CREATE TABLE aside (path TEXT PRIMARY KEY, copy TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO runs VALUES ('old', 'dirac', 'file:///s', 'ui01', 4711, '{"site": "X"}', 1.0, NULL, '',
    10, 20, 'it is down', 9.0);
INSERT INTO jobs VALUES ('a-1.1', 'old', 'a', '{"x": "1"}', '3', 2, 'dirac', '17', 'landed', 'ok',
    8.0, '{"host": "wn1"}', 'a-1', 'dirac.example.org', 1, 'same', '["work/a"]',
    '{"processors": 2}', 'done', 'SITE', 1.0, 2.0, 3.0, 4.0, 5.0, 6.0);
INSERT INTO jobs (name, run, rule, wildcards, jobid, attempt, backend, phase, changed, kept, place)
    VALUES ('a-2', 'old', 'a', '{}', '4', 1, 'dirac', 'failed', 6.0, 1, 'dirac.example.org');
PRAGMA user_version=2;
"""

VERSION_3 = """
CREATE TABLE files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE bundles (
    fingerprint TEXT PRIMARY KEY, digest TEXT NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO files VALUES ('/w/large', 1, 2, 3, 'aa');
INSERT INTO bundles VALUES ('f', 'bb', 5);
PRAGMA user_version=3;
"""


def old_file(folder: Path, script: str) -> Path:
    path = folder / DATABASE_FILE
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def columns(database: Database, table: str) -> list[tuple[object, ...]]:
    query = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)'
    return sorted(database.query(query, (table,)))


def test_version_1_keeps_its_rows(tmp_path: Path) -> None:
    path = old_file(tmp_path, VERSION_1)
    for _ in range(2):
        database = Database(path)
        (job,) = Journal(database, "new", "local").open_jobs()
        assert (job.name, job.attempt, job.grid_id, job.phase) == ("a-1", 2, "17", Phase.SUBMITTED)
        assert (job.changed, job.identity, job.outputs, job.origin) == (5.0, "", (), "a-1")
        assert database.query(
            "SELECT name, phase, report, finished FROM jobs WHERE name='a-2'"
        ) == [("a-2", "succeeded", "{}", None)]
        assert database.query("SELECT * FROM backups") == [("/w/a", "/c/1")]
        assert database.query("SELECT count(*) FROM runs") == [(0,)]
        assert database.query("PRAGMA user_version") == [(migrations.SCHEMA_VERSION,)]
        database.close()


def test_version_2_keeps_its_rows_under_the_new_names(tmp_path: Path) -> None:
    old_file(tmp_path, VERSION_2)
    with open_database(tmp_path) as database:
        journal = Journal(database, "new", "dirac")
        journal.endpoint = "dirac.example.org"
        (job,) = journal.open_jobs()
        assert journal.needs_cleanup() == ["a-2"]
        assert journal.last_endpoint() == "dirac.example.org"
    assert (job.name, job.origin, job.phase) == ("a-1.1", "a-1", Phase.OUTPUTS_INSTALLED)
    assert (job.endpoint, job.needs_cleanup, job.identity) == ("dirac.example.org", True, "same")
    assert (job.requested, job.outputs) == ({"processors": 2}, ("work/a",))
    assert [job.began, job.sent, job.accepted, job.running, job.ended, job.finished] == [
        *(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    ]
    with JournalReader(tmp_path) as reader:
        (run,) = reader.runs()
        assert reader.jobs()[-1] == job
    assert (run.stored_bytes, run.reused_bytes) == (10, 20)
    assert (run.trouble, run.trouble_since) == ("it is down", 9.0)


def test_digests_of_version_3_are_kept_as_if_they_were_used_now(tmp_path: Path) -> None:
    old_file(tmp_path, VERSION_3)
    with open_database(tmp_path) as database:
        catalog = Catalog(database)
        catalog.prune()
        assert catalog.bundle("f") == ("bb", 5)
        assert database.query("SELECT path, digest FROM files") == [("/w/large", "aa")]


@pytest.mark.parametrize("script", [VERSION_1, VERSION_2, VERSION_3])
def test_an_upgraded_file_has_the_tables_of_a_new_one(tmp_path: Path, script: str) -> None:
    shown = []
    (tmp_path / "new").mkdir()
    old_file(tmp_path, script)
    for folder in (tmp_path, tmp_path / "new"):
        with open_database(folder) as database:
            Journal(database, "run", "local")
            Backups(folder / "backups", database)
            Catalog(database)
            tables = database.query("SELECT name FROM sqlite_master WHERE type<>'index'")
            shown.append({table: columns(database, table) for (table,) in tables})
    assert shown[0] == shown[1]
    assert {"jobs", "runs", "backups", "files", "bundles"} <= shown[0].keys()


def test_files_that_version_2_had_copied_are_restored(tmp_path: Path) -> None:
    path = old_file(tmp_path, VERSION_2)
    copy = tmp_path / "aside" / "1"
    copy.parent.mkdir()
    copy.write_text("kept")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO aside VALUES (?, ?)", (str(tmp_path / "a"), str(copy)))
    connection.close()
    with open_database(tmp_path) as database:
        Backups(tmp_path / "backups", database).recover()
        assert database.query("SELECT * FROM backups") == []
    assert (tmp_path / "a").read_text() == "kept"
    assert not copy.parent.exists()


def test_an_upgrade_to_version_2_that_was_killed_is_completed(tmp_path: Path) -> None:
    path = old_file(tmp_path, VERSION_1)
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE jobs ADD COLUMN origin TEXT NOT NULL DEFAULT ''")
    connection.close()
    assert len(Journal(Database(path), "new", "local").open_jobs()) == 1


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_file(tmp_path, VERSION_2)

    def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    rename = migrations._rename
    monkeypatch.setattr(migrations, "_rename", lambda connection: (rename(connection), fail(0)))
    with pytest.raises(GridError, match="cannot be opened: disk I/O error"):
        Database(path)
    monkeypatch.undo()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    phases = connection.execute("SELECT phase, place FROM jobs ORDER BY name").fetchall()
    assert phases[0] == ("landed", "dirac.example.org")
    connection.close()
    with Database(path) as database:
        assert len(Journal(database, "new", "dirac").open_elsewhere()) == 1


def _open(path: Path) -> None:
    Database(path).close()


def test_processes_can_upgrade_at_the_same_time(tmp_path: Path) -> None:
    path = old_file(tmp_path, VERSION_2)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_open, args=(path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    with Database(path) as database:
        assert database.query("SELECT count(*) FROM jobs WHERE phase='outputs installed'") == [(1,)]


def test_a_command_beside_a_run_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = old_file(tmp_path, VERSION_2)
    before = path.read_bytes()
    with pytest.raises(GridError, match=r"older version.*next run"):
        open_database(tmp_path, guest=True)
    assert path.read_bytes() == before
    with pytest.raises(GridError, match="cannot be opened"):
        open_database(tmp_path / "none", guest=True)
    assert not (tmp_path / "none").exists()
