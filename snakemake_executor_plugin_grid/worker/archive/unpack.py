"""Take an archive apart without trusting a byte of it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .compression import check_compression, decompressing
from .files import NEW, SIZE, HashedFile, file_digest, write_all
from .member import Member, TarballError, check_name
from .reader import KINDS, Source, headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from tarfile import TarInfo

_MOST_MEMBERS = 2_000_000
_UP = re.compile(r"up([1-9][0-9]*)")
# What the file system says to a name or target that is itself at fault.
_NAME_ERRNOS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ}


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    Attributes:
        members: What was written, in the archive's order.
        extra: Names in the archive that the manifest does not have; not written.
    """

    members: list[Member] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)


def unpack(
    archive: Path,
    roots: Mapping[str, Path],
    *,
    digest: str | None = None,
    compression: str = "none",
    manifest: Mapping[str, Member] | None = None,
    wanted: Callable[[str], bool] | None = None,
    limit: int | None = None,
    not_after_ns: int | None = None,
) -> Unpacked:
    """Write an archive's members below the roots; nothing else, whatever the archive says.

    After an error, what was written before it is still there: unpack into a directory of its own
    where that matters. Directories may exist already; files and links may not.

    Args:
        archive: The archive file.
        roots: First components of names, and the directories they stand for. ``up1`` is the folder
            that ``work`` is in, ``up2`` the one ``up1`` is in, and so on: links may lead as far up
            as the highest root. They are written with ``a/..`` taken out.
        digest: SHA-256 the archive file must have.
        compression: ``none``, ``gzip`` or ``zstd``.
        manifest: What to take, by name; all of it must be there, with its kind and target, size
            and, if known, SHA-256. Its times are used rather than the archive's.
        wanted: Tells which names to take; others are passed over.
        limit: Bytes that all files together may have at most.
        not_after_ns: Latest modification time to set, nanoseconds since the epoch.

    Raises:
        TarballError: The archive is damaged, hostile or not the one that was meant.
        OSError: Something cannot be read or written.
    """
    tree = _Tree(roots, manifest, limit, not_after_ns)
    check_compression(compression)
    try:
        if compression == "none":
            _unpack_plain(archive, tree, wanted, digest)
        else:
            if digest is not None:
                _compare(file_digest(archive)[1], digest)
            with archive.open("rb") as file, decompressing(file, compression) as stream:
                tree.take_all(Source(stream), wanted)
        tree.check_all_there(wanted)
        return tree.unpacked
    except TarballError as error:
        raise TarballError(f"{archive}: {error}") from error


def _unpack_plain(
    archive: Path, tree: _Tree, wanted: Callable[[str], bool] | None, digest: str | None
) -> None:
    """Unpack, and take the archive's digest in the same pass."""
    with archive.open("rb") as file:
        hashed = HashedFile(file.fileno())
        source = Source(io.BufferedReader(hashed, SIZE))
        try:
            tree.take_all(source, wanted)
        except TarballError:
            if digest is not None:
                # That it is not the expected archive explains all other damage.
                while source.take(SIZE):
                    pass
                _compare(hashed.sha256.hexdigest(), digest)
            raise
        if digest is not None:
            _compare(hashed.sha256.hexdigest(), digest)


def _compare(found: str, digest: str) -> None:
    if found != digest.lower():
        raise TarballError(
            f"its SHA-256 is {found}, but {digest} was meant: damaged or cut on its way, or "
            "another file. Fetch it again"
        )


class _Tree:
    """Where members are written, and what is known of it."""

    def __init__(
        self,
        roots: Mapping[str, Path],
        manifest: Mapping[str, Member] | None,
        limit: int | None,
        not_after_ns: int | None,
    ) -> None:
        self.unpacked = Unpacked()
        self._manifest = manifest
        self._limit = limit
        self._not_after_ns = not_after_ns
        self._written = 0
        self._seen: set[str] = set()
        self._links: set[str] = set()
        self._clear: set[str] = set()  # folders' names that have no link above
        self._dirs: dict[str, str] = {}  # real directories that we may write to
        self._final: dict[str, tuple[int, int | None]] = {}  # directories' modes and times
        ups = [int(found[1]) for found in map(_UP.fullmatch, roots) if found]
        self._height = max(ups, default=0)
        for name, path in roots.items():
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
            self._dirs[name] = os.fspath(path)

    def take_all(self, source: Source, wanted: Callable[[str], bool] | None) -> None:
        """Check all members, and write those that are wanted."""
        try:
            for info in headers(source):
                self._take(info, source, wanted)
        finally:
            self._finish_folders()

    def _take(self, header: TarInfo, source: Source, wanted: Callable[[str], bool] | None) -> None:
        name = header.name
        kind = KINDS[header.type]
        self._admit(name)
        target = self._confined(header) if kind == "link" else ""
        if wanted is not None and not wanted(name):
            return
        said = None
        if self._manifest is not None:
            said = self._manifest.get(name)
            if said is None:
                self.unpacked.extra.append(name)
                return
            _agree(header, kind, said)
        mtime_ns = int(header.mtime) * 10**9 if said is None else said.mtime_ns
        if self._not_after_ns is not None:
            mtime_ns = min(mtime_ns, self._not_after_ns)
        mode = header.mode & 0o1777  # no set-user-id from outside
        sha256 = said.sha256 if said is not None else ""
        link = header.linkname if kind == "link" else ""
        member = Member(name, kind, mode, header.size, mtime_ns, sha256, link)
        try:
            self._write(member, target, source)
        except OSError as error:
            if error.errno not in _NAME_ERRNOS:
                raise
            raise TarballError(f"member {name!r} cannot be written: {error}") from error
        self.unpacked.members.append(member)

    def _admit(self, name: str) -> None:
        parts = check_name(name)
        if parts[0] not in self._dirs:
            raise TarballError(f"member {name!r:.200} is in none of {', '.join(self._dirs)}")
        if name in self._seen:
            raise TarballError(f"member {name!r} is there twice")
        if len(self._seen) >= _MOST_MEMBERS:
            raise TarballError(f"there are more than {_MOST_MEMBERS} members")
        self._seen.add(name)
        folder = name.rpartition("/")[0]
        if folder not in self._clear:
            for depth in range(1, len(parts)):
                if "/".join(parts[:depth]) in self._links:
                    raise TarballError(f"member {name!r} is below a link")
            self._clear.add(folder)

    def _confined(self, header: TarInfo) -> str:
        """A link's target with ``a/..`` taken out, if it stays within the roots."""
        name, target = header.name, header.linkname
        if not target or "\0" in target or target.startswith("/"):
            raise TarballError(f"member {name!r} is a link to {target!r:.200}, not a relative path")
        root, *below = name.split("/")
        up = _UP.fullmatch(root)
        depth = len(below) - 1 + (self._height - int(up[1]) if up else 0)
        if root == "work":
            depth += self._height
        climbs = 0
        down: list[str] = []
        for part in target.split("/"):
            if part == "..":
                if down:
                    down.pop()
                else:
                    climbs += 1
            elif part not in ("", "."):
                down.append(part)
        if not below or climbs > depth:
            raise TarballError(f"member {name!r} is a link out of the tree, to {target!r:.200}")
        self._links.add(name)
        self._clear.clear()
        return "/".join([".."] * climbs + down) or "."

    def _write(self, member: Member, target: str, source: Source) -> None:
        folder, _, leaf = member.name.rpartition("/")
        if member.kind == "dir":
            self._final[self._folder(member.name)] = (member.mode, member.mtime_ns)
            return
        if not folder:
            raise TarballError(f"member {member.name!r} takes the place of a folder of the tree")
        path = f"{self._folder(folder)}/{leaf}"
        if member.kind == "file":
            self._write_file(member, path, source)
        else:
            os.symlink(target, path)  # noqa: PTH211
            times = (member.mtime_ns, member.mtime_ns)
            os.utime(path, ns=times, follow_symlinks=False)

    def _folder(self, name: str) -> str:
        """The path of a directory; made if need be, never reached through a link."""
        known = self._dirs.get(name)
        if known is not None:
            return known
        parts = name.split("/")
        so_far = parts[0]
        path = self._dirs[so_far]
        for part in parts[1:]:
            so_far = f"{so_far}/{part}"
            path = f"{path}/{part}"
            if so_far not in self._dirs:
                self._make(path, so_far)
                self._dirs[so_far] = path
        return path

    def _make(self, path: str, name: str) -> None:
        try:
            os.mkdir(path)  # noqa: PTH102
        except FileExistsError:
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                raise TarballError(
                    f"member {name!r} is to be a directory, but {path} exists and is none"
                ) from None
            if status.st_mode & 0o700 != 0o700:
                with suppress(PermissionError):  # not ours; writing to it will tell
                    os.chmod(path, stat.S_IMODE(status.st_mode) | 0o700)  # noqa: PTH101
                    self._final[path] = (stat.S_IMODE(status.st_mode), None)

    def _write_file(self, member: Member, path: str, source: Source) -> None:
        self._written += member.size
        if self._limit is not None and self._written > self._limit:
            raise TarballError(
                f"with member {member.name!r} the files have more than the "
                f"{self._limit} bytes allowed"
            )
        sha256 = hashlib.sha256()
        fd = os.open(path, NEW, 0o600)
        try:
            left = member.size
            while left:
                data = source.part(left)
                left -= len(data)
                if member.sha256:
                    sha256.update(data)
                write_all(fd, data)
            if member.sha256 and sha256.hexdigest() != member.sha256:
                raise TarballError(
                    f"member {member.name!r} has the SHA-256 {sha256.hexdigest()}, but the "
                    f"manifest says {member.sha256}"
                )
            os.fchmod(fd, member.mode)
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        except BaseException:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            raise
        finally:
            os.close(fd)

    def check_all_there(self, wanted: Callable[[str], bool] | None) -> None:
        """See that nothing of the manifest is missing."""
        missing = [
            name
            for name in self._manifest or ()
            if name not in self._seen and (wanted is None or wanted(name))
        ]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            names = ", ".join(map(repr, missing[:3]))
            raise TarballError(f"{names}{more} should be in it but is not")

    def _finish_folders(self) -> None:
        """Give directories their modes and times, the deepest first."""
        for path in sorted(self._final, key=lambda path: -path.count("/")):
            mode, mtime_ns = self._final[path]
            os.chmod(path, mode)  # noqa: PTH101
            if mtime_ns is not None:
                os.utime(path, ns=(mtime_ns, mtime_ns))


def _agree(header: TarInfo, kind: str, said: Member) -> None:
    if kind != said.kind:
        raise TarballError(f"member {said.name!r} is a {kind}, but the manifest says {said.kind}")
    if header.size != said.size:
        raise TarballError(
            f"member {said.name!r} has {header.size} bytes, but the manifest says {said.size}"
        )
    if kind == "link" and said.target and header.linkname != said.target:
        raise TarballError(
            f"member {said.name!r} is a link to {header.linkname!r}, but the manifest says "
            f"{said.target!r}"
        )
