"""Unpacks output sandboxes, which workers have made; in the process of the DIRAC client.

It imports nothing of this package but its neighbours.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 30
"""Bytes that a sandbox may have when it is decompressed; DIRAC's own limit is 10 MiB by default."""
MOST_MEMBERS = 10_000
_ZSTD = b"\x28\xb5\x2f\xfd"
_LONGEST_NAME = 255  # bytes


class SandboxError(Exception):
    """A sandbox is damaged or hostile, and is so at each attempt."""


def unpack(path: Path, folder: Path) -> list[str]:
    """Unpack the regular files with plain names; other members are no outputs of jobs.

    Args:
        path: Tarball: of zstd, bzip2, gzip, or not compressed.
        folder: Where to.

    Returns:
        Names of the files.

    Raises:
        SandboxError: The tarball is damaged or too large.
        OSError: It cannot be read, or the files cannot be written.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        opener = _opener(magic)
        try:
            with opener(file) as stream, _tarball(_Bounded(stream)) as archive:
                return _unpack_all(archive, folder)
        except SandboxError:
            raise
        except Exception as error:
            # Without a number, an OSError is one of a decompressor.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SandboxError(
                f"the output sandbox of the job is damaged: {type(error).__name__}: {error}"
            ) from error


def _unpack_all(archive: tarfile.TarFile, folder: Path) -> list[str]:
    names: dict[str, None] = {}
    for count, member in enumerate(archive):
        if count >= MOST_MEMBERS:
            raise _too_large(f"{MOST_MEMBERS} members")
        # A file with holes may be larger than what was read.
        stream = archive.extractfile(member) if member.isfile() and not member.issparse() else None
        if stream is None or not _is_plain(member.name):
            continue
        with (folder / member.name).open("wb") as target:
            shutil.copyfileobj(stream, target)
        names[member.name] = None
    return list(names)


def _is_plain(name: str) -> bool:
    return (
        "/" not in name
        and name not in ("", ".", "..")
        and len(name.encode("utf-8", "surrogateescape")) <= _LONGEST_NAME
    )


def _tarball(stream: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|")


def _opener(magic: bytes) -> Any:
    """Return the function that opens a compressed file by its first bytes."""
    if magic == _ZSTD:
        return _zstd
    if magic.startswith(b"BZh"):
        return bz2.open
    return gzip.open if magic.startswith(b"\x1f\x8b") else io.BufferedReader


def _zstd(file: Any) -> Any:
    for name in ("compression.zstd", "zstandard"):
        with suppress(ImportError):
            return importlib.import_module(name).open(file, "rb")
    raise ImportError("DIRAC's Python has no zstandard")


class _Bounded:
    """A stream that ends with an error where a sandbox is too large: a bomb, most likely."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(f"{MOST_BYTES >> 20} MiB")
        return data


def _too_large(most: str) -> SandboxError:
    return SandboxError(f"the output sandbox of the job is damaged: it has more than {most}")
