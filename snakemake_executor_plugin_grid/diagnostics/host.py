"""Checks of the submit host: versions, the working directory, locks."""

from __future__ import annotations

import contextlib
import platform
import secrets
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ..backends.diagnostics import Told, UntriedError
from ..console.format import file_size
from ..journal.database import DATABASE_FILE, FOLDER
from ..journal.reader import JournalReader
from ..model.errors import PermanentError
from ..snakemake_api.locks import LOCKS, lock_files

_PACKAGE = "snakemake-executor-plugin-grid"
_PROBE = b"probe" * 1000
_MIN_FREE = 10**9


def check_versions() -> Told:
    """Check that the dependencies are installed in supported versions.

    Raises:
        UntriedError: The package has no metadata.
        PermanentError: A dependency is missing, too old or too new.
    """
    try:
        needed = [Requirement(text) for text in requires(_PACKAGE) or ()]
    except PackageNotFoundError:
        raise UntriedError(
            f"{_PACKAGE} was not installed by pip: its dependencies are unknown"
        ) from None
    problems = []
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            problems.append(f"{requirement.name} is missing; pip install '{requirement}'")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            problems.append(
                f"{requirement.name} {found} is not supported; pip install '{requirement}'"
            )
    if problems:
        raise PermanentError("\n".join(problems))
    return Told(
        f"Snakemake {version('snakemake')}, {_PACKAGE} {version(_PACKAGE)}, Python "
        f"{platform.python_version()}"
    )


def check_directory(workdir: Path) -> Told:
    """Write and remove a file in the folder of the journal.

    Raises:
        PermanentError: The folder cannot be written.
    """
    if not workdir.is_dir():
        raise PermanentError(f"{workdir}: no such directory; name another by --directory")
    folder = workdir / FOLDER
    new = [path for path in (folder, folder.parent) if not path.exists()]
    probe = folder / f".probe-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(_PROBE)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise PermanentError(
            f"{error.filename or folder}: cannot be written ({error.strerror}); runs keep their "
            f"journal in {folder}"
        ) from error
    finally:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()
    return Told(f"{workdir}: can be written")


def check_room(workdir: Path) -> Told:
    """Check the free space on the disk of the working directory."""
    free = shutil.disk_usage(workdir).free
    text = f"{file_size(free)} are free"
    if free < _MIN_FREE:
        return Told(f"only {text}; free more, as outputs come back to this disk", warning=True)
    return Told(text)


def check_lock(workdir: Path, running: bool | None) -> Told:
    """Report whether a run is active.

    Args:
        workdir: Working directory of the workflow.
        running: Whether a run has the lock, None if unknown.
    """
    if running is None:
        return Told("this file system has no locks; make sure that only one run is active")
    if not running:
        return Told("no run is active here")
    holder = ""
    if (workdir / FOLDER / DATABASE_FILE).is_file():
        with JournalReader(workdir / FOLDER) as reader:
            runs = [run for run in reader.runs() if run.ended is None]
        if runs:
            holder = f" (process {runs[-1].pid} on {runs[-1].host})"
    return Told(f"a run, or a command that changes something, is active here{holder}")


def check_snakemake_lock(workdir: Path, running: bool | None) -> Told:
    """Check that no stale lock of Snakemake blocks the next run.

    Args:
        workdir: Working directory of the workflow.
        running: Whether a run is active, which then has the lock.

    Raises:
        PermanentError: The lock is stale.
    """
    if not lock_files(workdir):
        return Told("free")
    if running:
        return Told("held by the active run")
    raise PermanentError(
        f"{workdir / LOCKS}: Snakemake's lock exists, but no run with --executor grid is active: "
        "one was killed, or Snakemake runs with another executor. If no other Snakemake is running "
        "in this directory, on any host, remove the lock by 'snakemake --unlock'; this does not "
        "touch jobs and results."
    )
