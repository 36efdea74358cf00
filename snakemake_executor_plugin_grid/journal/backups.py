"""Files that jobs update in place survive a failed job, though Snakemake deletes them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from .writer import Journal


class Updates:
    """Copies of such files, noted in the journal so that no crash loses them."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        """Keep copies in a folder on the file system of the working directory."""
        self._folder = folder
        self._journal = journal

    def keep(self, paths: Sequence[Path]) -> None:
        """Make a second name, or a copy, of files and folders that may be deleted soon."""
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
        self._journal.set_aside(copies)

    def restore(self, paths: Iterable[Path]) -> None:
        """Put back those of these files that are gone; drop the copies of the others."""
        wanted = set(map(str, paths))
        aside = {path: copy for path, copy in self._journal.aside().items() if path in wanted}
        for path, copy in aside.items():
            if os.path.lexists(path):
                _remove(Path(copy))
            elif os.path.lexists(copy):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(copy, path)  # across file systems, if need be
        self._journal.put_back(aside)

    def recover(self) -> None:
        """Put back what a run that died in between has left."""
        self.restore(map(Path, self._journal.aside()))
        shutil.rmtree(self._folder, ignore_errors=True)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
