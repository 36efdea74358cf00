"""Records which files were read, and which folders listed, while Snakemake parsed the workflow.

A worker parses the workflow again and needs whatever parsing reads: sample sheets, schemas, modules
beside the Snakefile. Snakemake does not list them, but Python raises an audit event for every
``open`` made from Python (not for those inside C libraries such as HDF5), ``os.listdir`` and
``os.scandir``, on which ``os.walk``, ``glob`` and ``pathlib`` are built. A hook for these events
slows down all of Python a little and cannot be removed, so a process that uses another executor
must not get it.
"""

from __future__ import annotations

import os
import sys

_MOST = 100_000
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/usr/lib", sys.prefix + "/", sys.base_prefix + "/")

_WALKERS = frozenset({"os", "glob", "pathlib", "pathlib._local", "pathlib._abc", "shutil"})
_FOR_WORKFLOWS = ("glob_wildcards", "listfiles")  # functions of Snakemake that list (9.27)
_IMPORTS = ("importlib", "_frozen_importlib", "pkgutil", "zipimport", "pkg_resources")

_read: dict[str, bool] = {}
_listed: dict[str, bool] = {}
_recording = False
_installed = False


def by_command_line() -> bool:
    """Return whether Snakemake's command line runs, not a program of the user."""
    return "snakemake.cli" in sys.modules


def record() -> None:
    """Start recording. An audit hook cannot be removed, so it is installed once."""
    global _recording, _installed
    if not _recording:
        _listed.clear()
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


def listed() -> dict[str, bool]:
    """Return the absolute paths of folders that were listed before `stop`, as it does."""
    return dict(_listed)


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _recording:
        return
    if event in ("os.listdir", "os.scandir"):
        _note_listing(args[0])
    if event != "open":
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
    _note(path, _read)


def _note(path: str, found: dict[str, bool]) -> None:
    relative = not path.startswith("/")
    if relative or found is _listed:
        try:
            path = os.path.abspath(path)  # noqa: PTH100 - this runs at every open
        except OSError:
            return
    if not path.startswith(_SYSTEM):
        found[path] = relative or found.get(path, False)


def _note_listing(path: object) -> None:
    """Note a folder, if the workflow or a module that it uses lists it."""
    if path is None:
        path = "."
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str | os.PathLike) or len(_listed) >= _MOST:
        return  # a file descriptor
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _WALKERS:
        frame = frame.f_back
    name, code = str(frame.f_globals.get("__name__")), frame.f_code
    # The code of a Snakefile has the globals of a module of Snakemake.
    own = os.path.dirname(str(getattr(sys.modules.get("snakemake"), "__file__", None)))  # noqa: PTH120
    by_snakemake = code.co_filename.startswith(own + os.sep)
    if name.startswith((*_IMPORTS, __package__.partition(".")[0])) or (
        by_snakemake and not code.co_qualname.startswith(_FOR_WORKFLOWS)
    ):
        return
    _note(os.fspath(path), _listed)
