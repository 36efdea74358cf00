"""Unpacks an untrusted archive."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from contextlib import suppress
from tarfile import BLOCKSIZE
from typing import TYPE_CHECKING

from ..records import dataclass, field
from .compression import check_compression, decompressing
from .files import NEW, SIZE, HashedFile, file_digest, open_regular
from .member import Member, TarballError, check_name
from .reader import KINDS, Source, headers
from .sparse import read_map, write_holes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from tarfile import TarInfo
    from typing import BinaryIO

_MOST_MEMBERS = 2_000_000
_UP = re.compile(r"up([1-9][0-9]*)")
NAME_ERRNOS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ}
"""Errors of the file system that are due to the name or target of a member."""
_MEMBER_ERRNOS = {*NAME_ERRNOS, errno.EFBIG}
_UNLISTED = 1 << 21  # bytes in an archive besides the members of its manifest


@dataclass(frozen=True)
class Unpacked:
    """The result of unpacking an archive.

    Attributes:
        members: Members that were written, in the order of the archive.
        extra: Names in the archive that the manifest lacks; they were not written.
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
    not_after_ns: int | None = None,
    follow: bool = True,
) -> Unpacked:
    """Write the members of an archive below the roots, and nothing anywhere else.

    After an error, members before it may be there: use a new directory if that matters.
    Directories may exist already; files and links may not. Blocks of zeros become holes.

    Args:
        archive: The archive file.
        roots: Directories by the first component of names. ``up1`` is the parent of ``work``,
            ``up2`` the parent of ``up1``, and so on. Links may lead as far up as the highest root;
            they are written without ``a/..``.
        digest: SHA-256 the archive file must have.
        compression: ``none``, ``gzip`` or ``zstd``.
        manifest: Members to unpack, by name. All must be in the archive, with the same kind,
            target, size and, if known, SHA-256. Its times are used instead of the archive's. An
            archive that holds much more than these members is not read further.
        wanted: Tells which names to unpack; others are skipped.
        not_after_ns: Latest modification time to set, nanoseconds since the epoch.
        follow: Whether the archive file may be a link.

    Raises:
        TarballError: The archive is damaged, hostile or not the expected one.
        OSError: Something cannot be read or written.
    """
    tree = _Tree(roots, manifest, not_after_ns)
    most = None if manifest is None else most_bytes(manifest.values())
    check_compression(compression)
    try:
        if digest is not None and compression != "none":
            _compare(file_digest(archive, follow=follow)[1], digest)
        with os.fdopen(open_regular(os.fspath(archive), follow=follow)[0], "rb") as file:
            if compression == "none":
                _unpack_plain(file, tree, wanted, digest, most)
            else:
                with decompressing(file, compression) as stream:
                    tree.take_all(Source(stream, most), wanted)
        tree.check_all_there(wanted)
        return tree.unpacked
    except TarballError as error:
        raise TarballError(f"{archive}: {error}") from error


def most_bytes(members: Iterable[Member]) -> int:
    """Return how many bytes an archive of these members takes at most, not compressed."""
    return _UNLISTED + sum(map(_most, members))


def _most(member: Member) -> int:
    """Return how many bytes of an archive a member takes at most, with its headers."""
    names = len(os.fsencode(member.name)) + len(os.fsencode(member.target))
    return member.stored + names + 6 * BLOCKSIZE


def _unpack_plain(
    file: BinaryIO,
    tree: _Tree,
    wanted: Callable[[str], bool] | None,
    digest: str | None,
    most: int | None,
) -> None:
    """Unpack, and take the archive's digest in the same pass."""
    hashed = HashedFile(file.fileno())
    source = Source(io.BufferedReader(hashed, SIZE), most)
    try:
        tree.take_all(source, wanted)
    except TarballError:
        if digest is not None:
            # If it is not the expected archive, say so instead: that explains the damage.
            while source.take(SIZE):
                pass
            _compare(hashed.sha256.hexdigest(), digest)
        raise
    if digest is not None:
        _compare(hashed.sha256.hexdigest(), digest)


def _compare(found: str, digest: str) -> None:
    if found != digest.lower():
        raise TarballError(
            f"expected SHA-256 {digest}, found {found}: it is damaged, cut off, or another file"
        )


class _Tree:
    """The directories below the roots, and what was written to them."""

    def __init__(
        self,
        roots: Mapping[str, Path],
        manifest: Mapping[str, Member] | None,
        not_after_ns: int | None,
    ) -> None:
        self.unpacked = Unpacked()
        self._manifest = manifest
        self._not_after_ns = not_after_ns
        self._seen: set[str] = set()
        self._links: set[str] = set()
        self._clear: set[str] = set()  # names of folders that are not below a link
        self._dirs: dict[str, str] = {}  # paths of directories that exist, by name
        self._final: dict[
            str, tuple[int, int | None]
        ] = {}  # modes and times of directories, set at the end
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
        size = header.size if source.real_size is None else source.real_size
        holes = size - header.size
        listed = None
        if self._manifest is not None:
            listed = self._manifest.get(name)
            if listed is None:
                self.unpacked.extra.append(name)
                return
            _agree(header, kind, size, listed)
        mtime_ns = int(header.mtime) * 10**9 if listed is None else listed.mtime_ns
        if self._not_after_ns is not None:
            mtime_ns = min(mtime_ns, self._not_after_ns)
        mode = header.mode & 0o1777  # no set-user-id from outside
        sha256 = listed.sha256 if listed is not None else ""
        link = header.linkname if kind == "link" else ""
        member = Member(name, kind, mode, size, mtime_ns, sha256, link, holes)
        try:
            self._write(member, target, source)
        except OSError as error:
            if error.errno not in _MEMBER_ERRNOS:
                raise
            raise TarballError(f"member {name!r} cannot be written: {error}") from error
        self.unpacked.members.append(member)

    def _admit(self, name: str) -> None:
        parts = check_name(name)
        if parts[0] not in self._dirs:
            raise TarballError(f"member {name!r:.200} is in none of {', '.join(self._dirs)}")
        if name in self._seen:
            raise TarballError(f"member {name!r} appears twice")
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
        """Return the target of a link without ``a/..``; refuse one that leads out of the roots."""
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
        """Return the path of a directory, which is created if missing; it is not below a link."""
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
                    f"member {name!r} should be a directory, but {path} exists and is not one"
                ) from None
            if status.st_mode & 0o700 != 0o700:
                with suppress(PermissionError):  # of another user; writing to it may work
                    os.chmod(path, stat.S_IMODE(status.st_mode) | 0o700)  # noqa: PTH101
                    self._final[path] = (stat.S_IMODE(status.st_mode), None)

    def _write_file(self, member: Member, path: str, source: Source) -> None:
        sha256 = hashlib.sha256()
        fd = os.open(path, NEW, 0o600)
        try:
            parts = [(0, member.size)]
            if member.holes:
                head, parts = read_map(source.part, member.stored, member.size)
                sha256.update(head)
            for start, left in parts:
                if start:
                    os.lseek(fd, start, os.SEEK_SET)
                while left:
                    data = source.part(left)
                    left -= len(data)
                    if member.sha256:
                        sha256.update(data)
                    write_holes(fd, data, len(data))
            os.ftruncate(fd, member.size)
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
        """Raise an error if a member of the manifest is missing."""
        missing = [
            name
            for name in self._manifest or ()
            if name not in self._seen and (wanted is None or wanted(name))
        ]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            names = ", ".join(map(repr, missing[:3]))
            raise TarballError(f"{names}{more} should be in the archive, but is missing")

    def _finish_folders(self) -> None:
        """Set the modes and times of directories, the deepest first."""
        for path in sorted(self._final, key=lambda path: -path.count("/")):
            mode, mtime_ns = self._final[path]
            os.chmod(path, mode)  # noqa: PTH101
            if mtime_ns is not None:
                os.utime(path, ns=(mtime_ns, mtime_ns))


def _agree(header: TarInfo, kind: str, size: int, listed: Member) -> None:
    if kind != listed.kind:
        raise TarballError(
            f"member {listed.name!r} is a {kind}, but the manifest says {listed.kind}"
        )
    for what, found, said in (
        ("has", size, listed.size),
        ("takes", header.size, listed.stored),
    ):
        if found != said:
            raise TarballError(
                f"member {listed.name!r} {what} {found} bytes, but the manifest says {said}"
            )
    if kind == "link" and listed.target and header.linkname != listed.target:
        raise TarballError(
            f"member {listed.name!r} is a link to {header.linkname!r}, but the manifest says "
            f"{listed.target!r}"
        )
