"""Reads an archive with `tarfile`, in one pass, and refuses what `tarfile` overlooks."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from ..interruption import InterruptionError, between_blocks
from .files import SIZE
from .member import MAX_SECONDS, TarballError
from .sparse import REAL_SIZE, SPARSE

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
}
_OTHER_TYPES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
    tarfile.GNUTYPE_SPARSE: "a sparse file of an old format",
}
_MOST_HEADER = 1 << 14  # bytes of all headers of a member: two of the longest paths
_MOST_PADDING = 1 << 20  # zeros after the end, as tapes need them
_SPARSE_PREFIX = b"GNU.sparse."


class Source:
    """The bytes of an archive in their order: the file that `tarfile` reads headers from."""

    def __init__(self, stream: BinaryIO, most: int | None = None) -> None:
        """Read from a buffered stream.

        Args:
            stream: Of decompressed bytes.
            most: Bytes that it may have; None for no limit.
        """
        self._stream = stream
        self._most = most
        self._position = 0
        self._pax_size = 0
        self._sparse: dict[str, str] = {}
        self._header_bytes = 0
        self.header = b""
        """The header that was read last."""

    def begin_member(self) -> None:
        """Forget the headers of the member before."""
        self._header_bytes = 0
        self._sparse = {}

    @property
    def real_size(self) -> int | None:
        """Bytes of the file of this member if it is a sparse one, else None."""
        if not self._sparse:
            return None
        size = self._sparse.get(REAL_SIZE, "")
        if self._sparse != {**SPARSE, REAL_SIZE: size} or not re.fullmatch("[0-9]{1,19}", size):
            raise TarballError("a member is a sparse file of an unknown format")
        return int(size)

    def tell(self) -> int:
        """Return the number of bytes read so far."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip the bytes up to a position."""
        if position < self._position:
            raise TarballError("a member has an impossible size")
        while position > self._position:
            self.part(position - self._position)

    def read(self, size: int) -> bytes:
        """Read a header, or what follows it; refuse what `tarfile` would read without a limit."""
        self._header_bytes += size
        if size < 0 or self._header_bytes > _MOST_HEADER:
            raise TarballError("the headers of a member are too large")
        self.header = self.take(size)
        if self._pax_size:
            records, self._pax_size = self.header[: self._pax_size], 0
            return self._without_sparse(records) + self.header[len(records) :]
        if self.header[156:157] == tarfile.XHDTYPE:
            self._pax_size = tarfile.nti(self.header[124:136])  # type: ignore[attr-defined]
        elif self.header[156:157] == tarfile.XGLTYPE:
            raise TarballError("the archive has a global header; no member is taken from it")
        return self.header

    def _without_sparse(self, records: bytes) -> bytes:
        """Check the records of a PAX header, and hide those of a sparse file from `tarfile`.

        It would read a map of any length, and believe what is in it. Python before 3.13 also takes
        damaged records.
        """
        hidden = bytearray(records)
        position = 0
        while position < len(records):
            blank = records.find(b" ", position, position + 8)
            digits = records[position:blank]
            end = position + int(digits) if digits.isdigit() else 0
            name, equals, value = records[blank + 1 : max(end - 1, 0)].partition(b"=")
            if not name or not equals or records[end - 1 : end] != b"\n":
                raise TarballError("the archive is damaged: a PAX header has a bad record")
            if name == b"size" and not value.isdigit():
                raise TarballError("the archive is damaged: a PAX header has a bad size")
            if name.startswith(_SPARSE_PREFIX):
                self._sparse[name.decode("latin-1")] = value.decode("latin-1")
                hidden[blank + 1 : blank + 4] = b"gnu"
            position = end
        return bytes(hidden)

    def take(self, most: int) -> bytes:
        """Return some of the next bytes; none at the end of the archive only."""
        between_blocks()
        data = self._stream.read(min(most, SIZE))
        self._position += len(data)
        if self._most is not None and self._position > self._most:
            raise TarballError(f"it holds more than the {self._most} bytes that it may have")
        return data

    def part(self, most: int) -> bytes:
        """Return some of the next bytes.

        Raises:
            TarballError: The archive ends here.
        """
        data = self.take(most)
        if not data:
            raise TarballError("the archive is cut off within a member")
        return data


def headers(source: Source) -> Iterator[tarfile.TarInfo]:
    """Read the members' headers; the caller may read a member's bytes from the source.

    Raises:
        TarballError: The archive is damaged, or a member is not a file, directory or link.
    """
    file: Any = source  # has all that tarfile calls
    try:
        with tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape") as tar:
            for info in tar:
                _check(info, source.real_size)
                yield info
                source.begin_member()
                tar.members.clear()  # type: ignore[attr-defined] # memory must not grow
    except (OSError, TarballError, InterruptionError):
        raise
    except Exception as error:  # a hostile header can make tarfile raise anything
        raise TarballError(f"the archive is damaged: {error}") from error
    # tarfile takes a damaged header, unless it is the first, for the end of the archive.
    if source.header != bytes(tarfile.BLOCKSIZE):
        raise TarballError("the archive is damaged or cut off")
    _check_padding(source)


def _check(info: tarfile.TarInfo, real_size: int | None) -> None:
    name = info.name
    if info.type not in KINDS:
        what = _OTHER_TYPES.get(info.type, f"of the unknown type {info.type!r}")
        raise TarballError(
            f"member {name!r:.200} is {what}; only files, directories and links are taken"
        )
    is_file = KINDS[info.type] == "file"
    if not 0 <= info.size < 1 << 62 or (info.size and not is_file):
        raise TarballError(f"member {name!r:.200} cannot have {info.size} bytes")
    if real_size is not None and not (is_file and info.size < real_size < 1 << 62):
        raise TarballError(f"member {name!r:.200} cannot be a sparse file of {real_size} bytes")
    if not abs(info.mtime) <= MAX_SECONDS:  # also not for NaN
        raise TarballError(f"member {name!r:.200} has an impossible modification time")


def _check_padding(source: Source) -> None:
    """Read what follows the first block of zeros: one more, and not many."""
    zeros = 0
    while data := source.take(SIZE):
        zeros += len(data)
        if data.count(0) != len(data) or zeros > _MOST_PADDING:
            raise TarballError("there is more in the file after the archive's end")
    if zeros < tarfile.BLOCKSIZE:
        raise TarballError("the archive is cut off at its end")
