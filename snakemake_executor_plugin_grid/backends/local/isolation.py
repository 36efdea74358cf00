"""Hide the submit directory from a job by a private mount namespace (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 1
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18


def hide(folder: Path, kept: Sequence[Path]) -> None:
    """Cover a folder by an empty, read-only one, for this process and its children.

    Has to be called while the process has one thread. Ordinary users get a user namespace in
    which they keep their own ids (user_namespaces(7)).

    Args:
        folder: To be covered.
        kept: Folders below it that stay visible, such as the Python that runs the job.

    Raises:
        OSError: The kernel does not allow it.
    """
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNS
    if os.geteuid() != 0:
        flags |= _CLONE_NEWUSER
    _call("unshare", flags)
    if flags & _CLONE_NEWUSER:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    # Only what belongs to this namespace can be bound: opened after its making, before the cover.
    descriptors = [(os.open(path, os.O_PATH | os.O_DIRECTORY), path) for path in kept]
    _mount("tmpfs", str(folder), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    for descriptor, path in descriptors:
        path.mkdir(parents=True)
        _mount(f"/proc/self/fd/{descriptor}", str(path), None, _MS_BIND | _MS_REC)
        os.close(descriptor)
    _mount(None, str(folder), None, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def can_hide(folder: Path, kept: Sequence[Path]) -> str:
    """Try ``hide`` in a child process.

    Returns:
        Empty if it works, else why not.
    """
    if not sys.platform.startswith("linux"):
        return "only Linux has mount namespaces"
    if folder in kept:
        return f"the Python of the jobs lies in {folder} itself"
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with contextlib.suppress(BaseException):
            try:
                hide(folder, kept)
            except (OSError, AttributeError) as error:
                os.write(writer, str(error).encode() or b"unknown error")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        problem = stream.read()
    _, status = os.waitpid(pid, 0)
    return problem or ("" if status == 0 else f"the trial ended with status {status}")


def _call(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    _call("mount", text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))


def _write(path: str, text: str) -> None:
    Path(path).write_text(text)
