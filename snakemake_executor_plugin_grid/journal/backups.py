"""Copies of files that jobs update in place: Snakemake deletes such files when the job fails."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..worker.archive.files import copy_file
from .database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS backups (
    path TEXT PRIMARY KEY,
    copy TEXT NOT NULL
) WITHOUT ROWID;
"""
_OLD_FOLDER = "aside"
"""Name of the folder in versions that wrote schema 2; its copies are restored from there."""


class Backups:
    """Makes and restores such copies. The ``backups`` table lists them, for the next run."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Keep copies in a folder on the file system of the working directory."""
        database.create(_SCHEMA)
        self._folder = folder
        self._database = database

    def keep(self, paths: Sequence[Path]) -> None:
        """Make a hard link to, or a copy of, each file and folder that may be deleted soon."""
        copies = {}
        for path in paths:
            if not os.path.lexists(path):
                continue
            copy = self._folder / secrets.token_hex(8)
            self._folder.mkdir(parents=True, exist_ok=True)
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, copy, symlinks=True, copy_function=_link)
            else:
                _link(path, copy)
            copies[str(path)] = str(copy)
        self._note(copies)

    def restore(self, paths: Iterable[Path]) -> None:
        """Restore those of these files that are gone; delete the copies of the others."""
        wanted = set(map(str, paths))
        copies = {path: copy for path, copy in self._copies().items() if path in wanted}
        for path, copy in copies.items():
            if os.path.lexists(path):
                _remove(Path(copy))
            elif os.path.lexists(copy):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(copy, path, copy_file)  # the two may be on different file systems
        self._forget(copies)

    def recover(self) -> None:
        """Restore all files that a run left here when it died."""
        self.restore(map(Path, self._copies()))
        for folder in (self._folder, self._folder.with_name(_OLD_FOLDER)):
            shutil.rmtree(folder, ignore_errors=True)

    def _note(self, copies: Mapping[str, str]) -> None:
        self._database.change("INSERT OR REPLACE INTO backups VALUES (?, ?)", copies.items())

    def _copies(self) -> dict[str, str]:
        return dict(self._database.query("SELECT path, copy FROM backups"))

    def _forget(self, paths: Iterable[str]) -> None:
        self._database.change("DELETE FROM backups WHERE path=?", [(path,) for path in paths])


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # the file system has no hard links
        copy_file(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
