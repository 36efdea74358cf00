"""Enters the root folder of an image by a private mount namespace (Linux).

The root is a new tmpfs that holds the entries of the image, read-only, and mount points for the
binds: what Apptainer calls an underlay (``addLayer`` of underlay.go).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 1
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048
"""nosuid, nodev, noexec, noatime, nodiratime: a user namespace may not drop them."""

Place = tuple[str, ...]
"""The parts of an absolute path."""


class NoContainer(Exception):  # noqa: N818 - what Apptainer says before it ends
    """The container cannot be made; the text is Apptainer's."""


@dataclass(frozen=True)
class Bind:
    """A file or folder of the node that the container sees.

    Attributes:
        source: Absolute path on the node.
        destination: Absolute path in the container.
        read_only: Whether it cannot be written there.
        required: Whether the container fails if it cannot be bound.
    """

    source: str
    destination: str
    read_only: bool = False
    required: bool = True

    @property
    def place(self) -> Place:
        return _place(self.destination)


def enter(image: str, binds: Sequence[Bind], files: Mapping[str, str]) -> None:
    """Make a folder the root of this process; call it while the process has one thread.

    Args:
        image: Folder that becomes the root; it is not changed.
        binds: Mounted in this order.
        files: Texts of files that take the place of the image's, by absolute path.

    Raises:
        NoContainer: A bind is impossible.
        OSError: The kernel does not allow namespaces.
    """
    _leave_namespace()
    opened = []
    for bind in binds:
        if os.path.exists(bind.source):  # noqa: PTH110 - text, as everything here
            opened.append((bind, os.open(bind.source, os.O_PATH)))
        elif bind.required:
            raise NoContainer(
                f"mount {bind.source}->{bind.destination} error: while mounting {bind.source}: "
                f"mount source {bind.source} doesn't exist"
            )
    root = os.open(image, os.O_PATH | os.O_DIRECTORY)
    # It covers the image, so that no folder has to be made for it, and none is left behind.
    _mount("tmpfs", image, "tmpfs", 0, "mode=755")
    places: dict[Place, bool | str] = {_place(path): text for path, text in files.items()}
    places |= {bind.place: os.path.isdir(_path(fd)) for bind, fd in opened}  # noqa: PTH112
    _lay(_path(root), image, places)
    for bind, descriptor in opened:
        _bind(_path(descriptor), os.path.join(image, *bind.place), bind)  # noqa: PTH118
    _mount(None, image, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    os.chdir(image)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def _place(path: str) -> Place:
    return Path(os.path.normpath(path)).parts[1:]


def _leave_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _call("unshare", _CLONE_NEWNS)
    else:
        _call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def _lay(source: str, target: str, places: dict[Place, bool | str]) -> None:
    """Fill a folder with the entries of another, and with mount points.

    Args:
        source: Folder of the image; need not exist.
        target: Empty folder.
        places: Relative paths of mount points, and whether each is a folder; or the text of a
            file.
    """
    below: dict[str, dict[Place, bool | str]] = {}
    for place, kind in places.items():
        below.setdefault(place[0], {})[place[1:]] = kind
    names = set(os.listdir(source)) if os.path.isdir(source) else set()  # noqa: PTH112, PTH208
    for name in sorted(names | set(below)):
        entry, point = f"{source}/{name}", f"{target}/{name}"
        if name in below:
            if os.path.islink(entry):  # noqa: PTH114
                raise NoContainer(f"stand-in: a bind goes through a link of the image, {name}")
            deeper = {place: value for place, value in below[name].items() if place}
            _make(point, kind=True if deeper else below[name][()])
            if deeper:
                _lay(entry, point, deeper)
        elif os.path.islink(entry):  # noqa: PTH114
            os.symlink(os.readlink(entry), point)  # noqa: PTH115, PTH211
        else:
            _make(point, kind=os.path.isdir(entry))  # noqa: PTH112
            _bind(entry, point, Bind(entry, point, read_only=True))


def _make(path: str, *, kind: bool | str) -> None:
    if kind is True:
        os.mkdir(path)  # noqa: PTH102
    else:
        Path(path).write_text(kind or "")


def _bind(source: str, target: str, bind: Bind) -> None:
    if not os.path.exists(target):  # noqa: PTH110 - an earlier bind may cover the mount point
        if bind.required:
            raise NoContainer(
                f"mount {bind.source}->{bind.destination} error: "
                f"destination {bind.destination} doesn't exist in container"
            )
        return
    _mount(source, target, None, _MS_BIND | _MS_REC)
    if bind.read_only:
        kept = os.statvfs(target).f_flag & _KEPT_FLAGS
        _mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    _call("mount", text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))


def _call(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
