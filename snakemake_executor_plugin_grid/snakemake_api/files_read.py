"""Records which files were read while Snakemake parsed the workflow.

A worker parses the workflow again and needs whatever parsing reads: sample sheets, schemas, modules
beside the Snakefile. Snakemake does not list them, but Python raises an audit event for every
``open`` made from Python (not for those inside C libraries such as HDF5). A hook for these events
slows down all of Python a little and cannot be removed, so a process that uses another executor
must not get it.
"""

from __future__ import annotations

import os
import sys

_MOST = 100_000
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/usr/lib", sys.prefix + "/", sys.base_prefix + "/")

_read: dict[str, bool] = {}
_recording = False
_installed = False


def by_command_line() -> bool:
    """Return whether Snakemake's command line runs, not a program of the user."""
    return "snakemake.cli" in sys.modules


def record() -> None:
    """Start recording. An audit hook cannot be removed, so it is installed once."""
    global _recording, _installed
    _recording = True
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)


def stop() -> dict[str, bool]:
    """Stop, and return absolute paths; the value is whether the path was given as relative."""
    global _recording
    _recording = False
    read = dict(_read)
    _read.clear()
    return read


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _recording or event != "open":
        return
    path, mode, flags = args
    if not isinstance(path, str) or len(_read) >= _MOST:
        return
    if isinstance(mode, str) and mode[:1] not in ("r", "U"):
        return
    if isinstance(flags, int) and flags & os.O_ACCMODE != os.O_RDONLY:
        return
    # Snakemake reads inputs to compare checksums; these are not sources.
    if sys._getframe(1).f_globals.get("__name__") == "snakemake.io":
        return
    relative = not path.startswith("/")
    if relative:
        try:
            path = os.path.abspath(path)  # noqa: PTH100 - this runs at every open
        except OSError:
            return
    if not path.startswith(_SYSTEM):
        _read[path] = relative or _read.get(path, False)
