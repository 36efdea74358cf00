from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.backups import Updates
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.writer import Journal


class Files:
    """Files that jobs update."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies = folder / "aside"
        self.table = folder / "out" / "table.csv"
        self.table.parent.mkdir()
        self.table.write_text("kept")

    def updates(self) -> Updates:
        """As a run of Snakemake has it."""
        database = Database(self.folder / "grid.sqlite")
        return Updates(self.copies, Journal(database, "run", "local"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def left(files: Files) -> list[Path]:
    return list(files.copies.iterdir()) if files.copies.exists() else []


def test_deleted_file_comes_back(files: Files) -> None:
    updates = files.updates()
    before = files.table.stat()
    updates.keep([files.table])
    shutil.rmtree(files.table.parent)
    updates.restore([files.table])
    assert files.table.read_text() == "kept"
    assert files.table.stat().st_mtime_ns == before.st_mtime_ns
    assert left(files) == []


def test_file_that_was_not_deleted_stays_as_it_is(files: Files) -> None:
    updates = files.updates()
    updates.keep([files.table])
    files.table.unlink()
    files.table.write_text("new")
    updates.restore([files.table])
    assert files.table.read_text() == "new"
    assert left(files) == []


def test_restored_file_is_restored_once(files: Files) -> None:
    updates = files.updates()
    updates.keep([files.table])
    files.table.unlink()
    updates.restore([files.table])
    files.table.unlink()
    updates.restore([files.table])
    assert not files.table.exists()


def test_folder_with_links_comes_back(files: Files) -> None:
    folder = files.table.parent
    (folder / "link").symlink_to("table.csv")
    updates = files.updates()
    updates.keep([folder])
    shutil.rmtree(folder)
    updates.restore([folder])
    assert files.table.read_text() == "kept"
    assert (folder / "link").is_symlink()
    updates.keep([folder])
    updates.restore([folder])
    assert left(files) == []


def test_link_comes_back_as_a_link(files: Files) -> None:
    link = files.folder / "link"
    link.symlink_to("nowhere")
    updates = files.updates()
    updates.keep([link])
    link.unlink()
    updates.restore([link])
    assert link.readlink() == Path("nowhere")


def test_file_that_is_not_there_is_not_kept(files: Files) -> None:
    updates = files.updates()
    updates.keep([files.folder / "missing"])
    updates.restore([files.folder / "missing"])
    assert not (files.folder / "missing").exists()


def test_only_files_asked_for_are_restored(files: Files) -> None:
    other = files.folder / "other"
    other.write_text("o")
    updates = files.updates()
    updates.keep([files.table, other])
    files.table.unlink()
    other.unlink()
    updates.restore([other])
    assert other.exists()
    assert not files.table.exists()
    updates.restore([files.table])
    assert files.table.exists()


def test_next_run_puts_back_what_a_dead_one_has_left(files: Files) -> None:
    files.updates().keep([files.table])
    files.table.unlink()
    files.updates().recover()
    assert files.table.read_text() == "kept"
    assert not files.copies.exists()


def test_recovery_with_nothing_left(files: Files) -> None:
    files.updates().recover()
    assert files.table.read_text() == "kept"


def test_lost_copy_does_no_harm(files: Files) -> None:
    files.updates().keep([files.table])
    files.table.unlink()
    shutil.rmtree(files.copies)
    files.updates().recover()
    assert not files.table.exists()


def test_file_system_without_hard_links(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    updates = files.updates()
    updates.keep([files.table])
    files.table.unlink()
    updates.restore([files.table])
    assert files.table.read_text() == "kept"
