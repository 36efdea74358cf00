"""Removes folders of a job."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def remove_tree(folder: Path) -> None:
    """Remove a tree, including read-only folders; nothing of the job runs any more.

    What cannot be removed, such as files of another user that a container has left, is named on
    standard error.
    """
    if not folder.exists():
        return
    try:
        _remove(str(folder))
    except OSError:
        _remove_stubborn(folder)


def _remove(top: str) -> None:
    """Remove a tree; the import of `shutil` would take longer than this."""
    folders = [top]
    for folder in folders:
        with os.scandir(folder) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                else:
                    os.unlink(item.path)  # noqa: PTH108
    for folder in reversed(folders):
        os.rmdir(folder)  # noqa: PTH106


def _remove_stubborn(folder: Path) -> None:
    import shutil

    def retry(function: object, path: str, _error: object) -> None:
        try:
            Path(path).parent.chmod(0o700)
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
                Path(path).chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            elif callable(function):
                function(path)
        except OSError as error:
            sys.stderr.write(f"{path}: not removed: {error}\n")

    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder, onerror=retry)
