"""Checks of the submit host: versions, the working directory, what runs have left there."""

from __future__ import annotations

import contextlib
import platform
import secrets
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ..backends.diagnostics import Told, UntriedError
from ..journal.database import DATABASE_FILE, FOLDER
from ..journal.reader import History
from ..model.errors import PermanentError

_PACKAGE = "snakemake-executor-plugin-grid"
_PROBE = b"probe" * 1000
_LEAST_ROOM = 10**9
_LOCKS = Path(".snakemake") / "locks"


def check_versions() -> Told:
    """See whether all that this package needs is there, in versions that it knows.

    Raises:
        UntriedError: This package does not say what it needs.
        PermanentError: Something is missing, too old or too new.
    """
    try:
        needed = [Requirement(text) for text in requires(_PACKAGE) or ()]
    except PackageNotFoundError:
        raise UntriedError(f"{_PACKAGE} was not installed by pip, and does not say") from None
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
            problems.append(f"{requirement.name} {found} does not fit; pip install '{requirement}'")
    if problems:
        raise PermanentError("\n".join(problems))
    return Told(
        f"Snakemake {version('snakemake')}, {_PACKAGE} {version(_PACKAGE)}, Python "
        f"{platform.python_version()}"
    )


def check_directory(workdir: Path) -> Told:
    """Write a file where runs keep their journal, and remove all of it again.

    Raises:
        PermanentError: It cannot be written.
    """
    if not workdir.is_dir():
        raise PermanentError(f"{workdir}: there is no such directory; name it by --directory")
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
    """See how much room the disk of the working directory has."""
    free = shutil.disk_usage(workdir).free
    text = f"{free / 1e9:.1f} GB are free"
    if free < _LEAST_ROOM:
        return Told(f"only {text}; make room, as outputs come back to this disk", warning=True)
    return Told(text)


def check_lock(workdir: Path, running: bool | None) -> Told:
    """Say whether a run is going on.

    Args:
        workdir: Working directory of the workflow.
        running: Whether one has the lock; None when that cannot be told.
    """
    if running is None:
        return Told("this file system knows no locks; see to it yourself that only one runs")
    if not running:
        return Told("no run is going on here")
    holder = ""
    if (workdir / FOLDER / DATABASE_FILE).is_file():
        with contextlib.closing(History(workdir / FOLDER)) as history:
            runs = [run for run in history.runs() if run.ended is None]
        if runs:
            holder = f" (process {runs[-1].pid} on {runs[-1].host})"
    return Told(f"a run, or a command that changes something, is going on here{holder}")


def check_snakemake_lock(workdir: Path, running: bool | None) -> Told:
    """See whether Snakemake's own lock keeps the next run from starting.

    Args:
        workdir: Working directory of the workflow.
        running: Whether a run is going on, whose lock it is then.

    Raises:
        PermanentError: It was left behind.
    """
    folder = workdir / _LOCKS
    if not any(folder.glob("*.lock")):
        return Told("free")
    if running:
        return Told("held by the run that is going on")
    raise PermanentError(
        f"{folder}: Snakemake's lock is there, but no run with --executor grid is going on: one "
        "was killed, or Snakemake runs with another executor. If no other Snakemake is running in "
        "this directory, on any host, remove the lock by 'snakemake --unlock'; jobs and results "
        "are not touched by that."
    )
