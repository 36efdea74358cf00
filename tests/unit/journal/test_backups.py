from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.backups import Backups
from snakemake_executor_plugin_grid.journal.database import Database


class Files:
    """Files that jobs update."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies = folder / "backups"
        self.table = folder / "out" / "table.csv"
        self.table.parent.mkdir()
        self.table.write_text("kept")

    def open(self) -> Backups:
        """Open them as a run does."""
        database = Database(self.folder / "grid.sqlite")
        return Backups(self.copies, database)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def left(files: Files) -> list[Path]:
    return list(files.copies.iterdir()) if files.copies.exists() else []


def test_deleted_file_comes_back(files: Files) -> None:
    backups = files.open()
    before = files.table.stat()
    backups.keep([files.table])
    shutil.rmtree(files.table.parent)
    backups.restore([files.table])
    assert files.table.read_text() == "kept"
    assert files.table.stat().st_mtime_ns == before.st_mtime_ns
    assert left(files) == []


def test_file_that_was_not_deleted_stays_as_it_is(files: Files) -> None:
    backups = files.open()
    backups.keep([files.table])
    files.table.unlink()
    files.table.write_text("new")
    backups.restore([files.table])
    assert files.table.read_text() == "new"
    assert left(files) == []


def test_restored_file_is_restored_once(files: Files) -> None:
    backups = files.open()
    backups.keep([files.table])
    files.table.unlink()
    backups.restore([files.table])
    files.table.unlink()
    backups.restore([files.table])
    assert not files.table.exists()


def test_folder_with_links_comes_back(files: Files) -> None:
    folder = files.table.parent
    (folder / "link").symlink_to("table.csv")
    backups = files.open()
    backups.keep([folder])
    shutil.rmtree(folder)
    backups.restore([folder])
    assert files.table.read_text() == "kept"
    assert (folder / "link").is_symlink()
    backups.keep([folder])
    backups.restore([folder])
    assert left(files) == []


def test_link_comes_back_as_a_link(files: Files) -> None:
    link = files.folder / "link"
    link.symlink_to("nowhere")
    backups = files.open()
    backups.keep([link])
    link.unlink()
    backups.restore([link])
    assert link.readlink() == Path("nowhere")


def test_file_that_is_not_there_is_not_kept(files: Files) -> None:
    backups = files.open()
    backups.keep([files.folder / "missing"])
    backups.restore([files.folder / "missing"])
    assert not (files.folder / "missing").exists()


def test_only_the_named_files_are_restored(files: Files) -> None:
    other = files.folder / "other"
    other.write_text("o")
    backups = files.open()
    backups.keep([files.table, other])
    files.table.unlink()
    other.unlink()
    backups.restore([other])
    assert other.exists()
    assert not files.table.exists()
    backups.restore([files.table])
    assert files.table.exists()


def test_the_next_run_restores_the_files_of_a_killed_run(files: Files) -> None:
    files.open().keep([files.table])
    files.table.unlink()
    files.open().recover()
    assert files.table.read_text() == "kept"
    assert not files.copies.exists()


def test_recovery_without_backups(files: Files) -> None:
    files.open().recover()
    assert files.table.read_text() == "kept"


def test_lost_copy_does_no_harm(files: Files) -> None:
    files.open().keep([files.table])
    files.table.unlink()
    shutil.rmtree(files.copies)
    files.open().recover()
    assert not files.table.exists()


def test_a_second_copy_replaces_the_first(files: Files) -> None:
    files.open().keep([files.table])
    files.table.write_text("newer")
    files.open().keep([files.table])
    shutil.rmtree(files.table.parent)
    files.open().recover()
    assert files.table.read_text() == "newer"
    assert not files.copies.exists()


def test_file_system_without_hard_links(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    backups = files.open()
    backups.keep([files.table])
    files.table.unlink()
    backups.restore([files.table])
    assert files.table.read_text() == "kept"
