"""What a job in DIRAC's local mode leaves on this machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ...model.untrusted import copy_untrusted, is_digest, is_regular, path_below
from ...worker.delivery import DATA_SUFFIX, SANDBOX_SUFFIX
from ...worker.description import DELIVERY_FOLDER, LOG_FILE, REPORT_FILE

DIRAC_LOG = "dirac.log"
"""Output of DIRAC itself."""
_JOB_FOLDERS = "Local_*_JobDir"
_SUFFIXES = (SANDBOX_SUFFIX, DATA_SUFFIX)


def places(sandbox: Path) -> list[Path]:
    """Return the folders that DIRAC leaves files in."""
    return [*sandbox.glob(_JOB_FOLDERS), sandbox]


def collect(sandbox: Path, folder: Path) -> None:
    """Copy report, log and outputs of a job into a folder.

    Raises:
        UntrustedError: Report or log is not a regular file.
        OSError: Something cannot be read or written.
    """
    for place in places(sandbox):
        for name in (REPORT_FILE, LOG_FILE):
            if is_regular(place / name) and not (folder / name).exists():
                copy_untrusted(place / name, folder / name)
        for path in place.iterdir():
            if path.suffix in _SUFFIXES:
                _take(path, folder / DELIVERY_FOLDER, path.stem)
        delivered = place / DELIVERY_FOLDER
        if delivered.is_dir() and not delivered.is_symlink():
            for path in delivered.iterdir():
                _take(path, folder / DELIVERY_FOLDER, path.name)
    if not (folder / LOG_FILE).exists():
        # The payload never ran: the output of DIRAC may say why.
        with contextlib.suppress(FileNotFoundError):
            copy_untrusted(sandbox / DIRAC_LOG, folder / LOG_FILE)


def _take(source: Path, folder: Path, digest: str) -> None:
    if not (is_digest(digest) and is_regular(source)):
        return  # not a blob
    folder.mkdir(exist_ok=True)
    target = path_below(folder, digest)
    if not target.exists():
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            copy_untrusted(source, target)
