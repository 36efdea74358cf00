"""Tar headers: members to 512-byte blocks and back, for archives that nobody vouches for."""

from __future__ import annotations

import struct
from typing import NamedTuple

BLOCK = 512
FILE, DIR, LINK = b"0", b"5", b"2"
PAX, GNU_NAME, GNU_LINK = b"x", b"L", b"K"
OTHER_TYPES = {
    b"1": "a hard link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
    b"S": "a sparse file",
    b"g": "a global header",
}
MAX_SECONDS = 1 << 33  # beyond any real time, within what utime() takes

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_NUMBER = b"0000000\0"
_OCTAL_12 = 8**11


class TarballError(Exception):
    """A damaged or hostile archive, or a file that changed while it was packed."""


class Header(NamedTuple):
    """One tar header as read; ``name`` and ``link`` are exactly what the archive says."""

    name: str
    type: bytes
    mode: int
    size: int
    seconds: int
    link: str


def to_bytes(text: str) -> bytes:
    """The bytes of a file name; the inverse of `to_text`."""
    return text.encode("utf-8", "surrogateescape")


def to_text(raw: bytes) -> str:
    """A file name from its bytes, whatever they are."""
    return raw.decode("utf-8", "surrogateescape")


def encode(name: str, type_: bytes, mode: int, size: int, seconds: int, link: str = "") -> bytes:
    """The header blocks of one member.

    Args:
        name: Posix path in the archive.
        type_: One of `FILE`, `DIR`, `LINK`.
        mode: Permission bits.
        size: Bytes that follow.
        seconds: Modification time, whole seconds since the epoch.
        link: Target of a symbolic link.

    Returns:
        One ustar block, with a PAX header before it if a value does not fit.
    """
    raw, target = to_bytes(name), to_bytes(link)
    if type_ == DIR:
        raw += b"/"
    records: list[tuple[bytes, bytes]] = []
    prefix, base = b"", raw
    if len(raw) > 100:
        cut = raw.rfind(b"/", 0, min(156, len(raw) - 1))
        if cut > 0 and len(raw) - cut - 1 <= 100:
            prefix, base = raw[:cut], raw[cut + 1 :]
        else:
            records.append((b"path", raw))
    if len(target) > 100:
        records.append((b"linkpath", target))
    if size >= _OCTAL_12:
        records.append((b"size", b"%d" % size))
    if not 0 <= seconds < _OCTAL_12:
        records.append((b"mtime", b"%d" % seconds))
    if not records:
        return _block(base, prefix, type_, mode, size, seconds, target)
    block = _block(
        base[:100],
        prefix,
        type_,
        mode,
        size if size < _OCTAL_12 else 0,
        seconds if 0 <= seconds < _OCTAL_12 else 0,
        target[:100],
    )
    return _pax(records) + block


def _block(
    base: bytes, prefix: bytes, type_: bytes, mode: int, size: int, seconds: int, target: bytes
) -> bytes:
    block = _FIELDS.pack(
        base,
        b"%07o\0" % (mode & 0o7777),
        _NUMBER,
        _NUMBER,
        b"%011o\0" % size,
        b"%011o\0" % seconds,
        b"        ",
        type_,
        target,
        b"ustar\x0000",
        b"",
        b"",
        _NUMBER,
        _NUMBER,
        prefix,
    )
    return block[:148] + b"%06o\0 " % _checksum(block) + block[156:]


def _checksum(block: bytes) -> int:
    return sum(block.translate(None, b"\0"))  # the zeros are most of it, and slow to add


def _pax(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b""
    try:
        for _, value in records:
            value.decode("utf-8")
    except UnicodeDecodeError:
        body = b"21 hdrcharset=BINARY\n"
    for key, value in records:
        rest = b" %s=%s\n" % (key, value)
        length = len(rest)
        while length != len(rest) + len(str(length)):
            length = len(rest) + len(str(length))
        body += b"%d%s" % (length, rest)
    head = _block(b"././@PaxHeader", b"", PAX, 0o644, len(body), 0, b"")
    return head + body + bytes(-len(body) % BLOCK)


def decode(block: bytes) -> Header:
    """Read one header block.

    Raises:
        TarballError: The block is not a tar header.
    """
    fields = _FIELDS.unpack(block)
    name, mode, _, _, size, seconds, check, type_, link, magic = fields[:10]
    if _number(check) != _checksum(block[:148] + b"        " + block[156:]):
        raise TarballError("a member's header has a wrong checksum: damaged, or not a tar archive")
    name = name.split(b"\0", 1)[0]
    if magic[:6] == b"ustar\0" and fields[14][:1] != b"\0":
        name = fields[14].split(b"\0", 1)[0] + b"/" + name
    if type_ == b"\0":  # before POSIX, a directory was a file with a slash at the end
        type_ = DIR if name.endswith(b"/") else FILE
    return Header(
        to_text(name),
        type_,
        _number(mode) & 0o7777,
        _number(size),
        _number(seconds),
        to_text(link.split(b"\0", 1)[0]),
    )


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU's base 256
        if field[0] == 0xFF:
            return int.from_bytes(field, "big", signed=True)
        return int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
    text = field.strip(b"\0 ")
    return _integer(text, 8) if text else 0


def _integer(text: bytes, base: int) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    try:
        if digits.isdigit() and len(digits) < 40:
            return int(text, base)
    except ValueError:
        pass
    raise TarballError(f"a member's header has {text[:40]!r} where a number belongs")


def amend(header: Header, body: bytes) -> Header:
    """The header with the values of a PAX header's body in place of its own.

    Raises:
        TarballError: The body is damaged, or describes a sparse file.
    """
    at = 0
    while at < len(body):
        length, space, _ = body[at : at + 20].partition(b" ")
        end = at + _integer(length, 10) if space else 0
        key, equals, value = body[at + len(length) + 1 : end - 1].partition(b"=")
        if end <= at or end > len(body) or not equals or body[end - 1 : end] != b"\n":
            raise TarballError("a PAX header is damaged")
        if key == b"path":
            header = header._replace(name=to_text(value))
        elif key == b"linkpath":
            header = header._replace(link=to_text(value))
        elif key == b"size":
            header = header._replace(size=_integer(value, 10))
        elif key == b"mtime":
            header = header._replace(seconds=_integer(value.partition(b".")[0], 10))
        elif key.startswith(b"GNU.sparse"):
            raise TarballError(f"member {header.name!r} is a sparse file; only whole files go")
        at = end
    return header
