"""An archive's bytes as a row of members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ustar
from .streams import SIZE, Fill, Ring
from .ustar import BLOCK, Header, TarballError

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {ustar.FILE: "file", ustar.DIR: "dir", ustar.LINK: "link"}
_MOST_EXTENSION = 1 << 20  # bytes of a PAX header or a GNU long name
_MOST_PADDING = 1 << 20  # zeros after the end, for tape's sake


class Blocks:
    """An archive's decompressed bytes, taken in pieces; ``hashed`` tells whether the ring sums."""

    def __init__(self, fill: Fill, ring: Ring, hashed: bool) -> None:
        self.position = 0
        self.hashed = hashed
        self.ring = ring
        self._fill = fill
        self._view = memoryview(b"")
        self._last = False

    def take(self, most: int) -> memoryview:
        """Up to ``most`` next bytes, good until the next call; none only at the end."""
        if not self._view:
            if self._last:
                return self._view
            buffer = self.ring.turn()
            self._view = buffer[: self._fill(buffer)]
            self._last = len(self._view) < SIZE
            self.ring.give(self._view, hashed=self.hashed)
        piece = self._view[:most]
        self._view = self._view[most:]
        self.position += len(piece)
        return piece

    def part(self, most: int, name: str) -> memoryview:
        """As `take`, but the archive must not end here."""
        piece = self.take(most)
        if not piece and most:
            raise TarballError(f"the archive is cut off within member {name!r}")
        return piece

    def skip(self, count: int, name: str) -> None:
        """Pass over bytes that must be there."""
        while count:
            count -= len(self.part(count, name))

    def whole(self, count: int, name: str) -> bytes:
        """So many bytes in one piece; for headers, not for files."""
        data = b""
        while len(data) < count:
            data += self.part(count - len(data), name)
        return data


def drain(blocks: Blocks) -> None:
    """Read on to the end, for the digest alone."""
    while blocks.take(SIZE):
        pass


def padding(blocks: Blocks) -> None:
    """Read what follows the archive's end: zeros, and not many.

    Raises:
        TarballError: It is something else.
    """
    start = blocks.position
    while piece := bytes(blocks.take(1 << 16)):
        if piece.count(0) != len(piece) or blocks.position - start > _MOST_PADDING:
            raise TarballError("there is more in the file after the archive's end")


def headers(blocks: Blocks) -> Iterator[Header]:
    """Read the members' headers; what the caller leaves of a member's bytes is passed over.

    Raises:
        TarballError: The archive is damaged, or a member is no file, directory or link.
    """
    path = link = pax = None
    name = ""
    while True:
        block = bytes(blocks.take(BLOCK))
        if block == bytes(BLOCK):
            if bytes(blocks.take(BLOCK)) != bytes(BLOCK) or path or link or pax:
                raise TarballError("the archive is damaged at its end")
            return
        if len(block) < BLOCK:
            after = f"after member {name!r}" if name else "before its first member"
            raise TarballError(f"the archive is cut off {after}")
        header = ustar.decode(block)
        if header.type in (ustar.PAX, ustar.GNU_NAME, ustar.GNU_LINK):
            if not 0 <= header.size <= _MOST_EXTENSION:
                raise TarballError(f"an extended header of {header.size} bytes")
            body = blocks.whole(header.size + -header.size % BLOCK, header.name)[: header.size]
            if header.type == ustar.PAX:
                pax = body
            elif header.type == ustar.GNU_NAME:
                path = ustar.to_text(body.split(b"\0", 1)[0])
            else:
                link = ustar.to_text(body.split(b"\0", 1)[0])
            continue
        if path is not None:
            header = header._replace(name=path)
        if link is not None:
            header = header._replace(link=link)
        if pax is not None:
            header = ustar.amend(header, pax)
        path = link = pax = None
        _check(header)
        if header.type == ustar.DIR and header.name.endswith("/"):
            header = header._replace(name=header.name[:-1])
        name = header.name
        end = blocks.position + header.size + -header.size % BLOCK
        yield header
        blocks.skip(end - blocks.position, name)


def _check(header: Header) -> None:
    if header.type not in KINDS:
        what = ustar.OTHER_TYPES.get(header.type, f"of the unknown type {header.type!r}")
        raise TarballError(
            f"member {header.name!r} is {what}; only files, directories and links are taken"
        )
    if not 0 <= header.size < 1 << 62 or (header.size and header.type != ustar.FILE):
        raise TarballError(f"member {header.name!r} cannot have {header.size} bytes")
    if abs(header.seconds) > ustar.MAX_SECONDS:
        raise TarballError(f"member {header.name!r} has an impossible modification time")
