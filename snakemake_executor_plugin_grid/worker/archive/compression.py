"""Compresses and decompresses archives: gzip, and zstd by a Python package or the program."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .files import SIZE
from .member import TarballError

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

COMPRESSIONS = ("none", "gzip", "zstd")
_GZIP_LEVEL = 3  # most of the gain of 6 at three times its speed
_ZSTD_LEVEL = 3  # named, as the program would take another one from the user's environment


@contextmanager
def compressing(file: Any, compression: str) -> Iterator[Any]:
    """Yield a stream that compresses what is written to it.

    Args:
        file: An open file, where the compressed bytes go; closed by the caller.
        compression: ``gzip`` or ``zstd``.

    Raises:
        OSError: The ``zstd`` program failed, or the file cannot be written.
    """
    import gzip
    import subprocess

    if compression == "gzip":
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream:
            yield stream
        return
    module = _zstd_module()
    if module is not None:
        with _zstd_writer(module, file) as stream:
            yield stream
        return
    with _zstd([f"-{_ZSTD_LEVEL}"], subprocess.PIPE, file) as process:
        try:
            yield process.stdin
            process.stdin.close()
        except BrokenPipeError as error:
            raise OSError(f"zstd failed: {_end(process)[1]}") from error
        code, words = _end(process)
        if code:
            raise OSError(f"zstd ended with code {code}: {words}")


@contextmanager
def decompressing(file: Any, compression: str) -> Iterator[io.BufferedReader]:
    """Yield a stream of an archive's decompressed bytes.

    It raises `TarballError` for damaged data.

    Args:
        file: The open archive; closed by the caller.
        compression: ``gzip`` or ``zstd``.
    """
    import gzip
    import subprocess
    import zlib

    errors: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    module = _zstd_module() if compression == "zstd" else None
    if compression == "gzip":
        stream: Any = gzip.GzipFile(fileobj=file, mode="rb")
    elif module is not None:
        stream = module.open(file, "rb")
        errors = (EOFError, module.ZstdError)
    else:
        with _zstd(["-d"], file, subprocess.PIPE) as process:
            problem = None
            try:
                yield process.stdout
            except TarballError as error:
                problem = error
            process.stdout.close()
            code, words = _end(process)
            if code > 0:  # it is negative where closing the pipe has ended the program
                raise TarballError(f"the zstd data is damaged or cut: {words}") from problem
            if problem is not None:
                raise problem
        return
    with stream:
        yield io.BufferedReader(_Checked(stream, compression, errors), SIZE)


class _Checked(io.RawIOBase):
    """Decompressed bytes, with errors of the decompressor as `TarballError`."""

    def __init__(self, stream: Any, compression: str, errors: tuple[type[Exception], ...]) -> None:
        super().__init__()
        self._stream = stream
        self._compression = compression
        self._errors = errors

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._stream.readinto(buffer))
        except self._errors as error:
            what = f"the {self._compression} data is damaged or cut"
            raise TarballError(f"{what}: {error}") from error


@contextmanager
def _zstd(options: list[str], source: Any, target: Any) -> Iterator[Any]:
    import subprocess

    process = subprocess.Popen(
        [_zstd_program(), "-q", "-c", *options],
        stdin=source,
        stdout=target,
        stderr=subprocess.PIPE,
        bufsize=SIZE,
    )
    try:
        yield process
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.wait()


def _end(process: Any) -> tuple[int, str]:
    """Wait for a program; return its exit code and its message."""
    words = process.stderr.read().decode("utf-8", "replace").strip()
    return process.wait(), words


def check_compression(compression: str) -> None:
    """Refuse a compression that is unknown or that this host cannot do.

    Raises:
        TarballError: It names the option to change.
    """
    if compression not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise TarballError(f"--grid-compression {compression} is unknown; choose one of {known}")
    if compression == "zstd" and _zstd_module() is None:
        _zstd_program()


def _zstd_module() -> Any:
    import importlib
    import sys

    if sys.flags.no_site:  # the worker is started without site-packages
        import site

        site.main()
    for name in ("compression.zstd", "zstandard"):
        with suppress(ImportError):
            return importlib.import_module(name)
    return None


def _zstd_writer(module: Any, file: Any) -> Any:
    if module.__name__ == "zstandard":
        return module.open(file, "wb", cctx=module.ZstdCompressor(level=_ZSTD_LEVEL))
    return module.open(file, "wb", level=_ZSTD_LEVEL)


def _zstd_program() -> str:
    import shutil

    found = shutil.which("zstd")
    if found is None:
        raise TarballError(
            "--grid-compression zstd needs the zstd program, the Python package zstandard or "
            "Python 3.14; this host has none of them. Choose --grid-compression gzip or none"
        )
    return found
