"""Bytes on their way: buffers hashed in a thread beside the I/O, and compression."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import os
import queue
import shutil
import stat
import subprocess
import threading
import zlib
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .ustar import TarballError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMPRESSIONS = ("none", "gzip", "zstd")
GZIP_LEVEL = 3  # most of the gain of 6 at three times its speed
ZSTD_LEVEL = 3
SIZE = 1 << 20  # a multiple of tar's block, so that no header spans two buffers
COUNT = 4

Fill = Callable[[memoryview], int]


class Ring:
    """A few buffers used in turn, hashed by a thread while the caller reads and writes.

    The caller takes a buffer with `turn`, fills it and hands it back with `give`; until its next
    `turn` it may go on reading it.
    """

    def __init__(self) -> None:
        """Start the thread; use as a context manager, which ends it."""
        # Made when first needed: a small archive is through after one.
        self._buffers: list[memoryview] = []
        self._turn = COUNT - 1
        # One fewer than there are buffers: sums of the buffer before the last may still be queued.
        self._free = threading.Semaphore(COUNT - 1)
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
        self._whole = hashlib.sha256()

    def __enter__(self) -> Ring:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the thread finish what it has been given, and end it."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        for job in iter(self._jobs.get, None):
            job()

    def turn(self) -> memoryview:
        """The next buffer to fill."""
        self._free.acquire()
        if len(self._buffers) < COUNT:
            self._buffers.append(memoryview(bytearray(SIZE)))
            return self._buffers[-1]
        self._turn = (self._turn + 1) % COUNT
        return self._buffers[self._turn]

    def give(self, view: memoryview, *, hashed: bool = True) -> None:
        """Hand back a filled buffer; it counts in `hexdigest` unless ``hashed`` is false."""
        if hashed:
            self._jobs.put(lambda: self._whole.update(view))
        self._jobs.put(self._free.release)

    def update(self, sha256: Any, view: memoryview) -> None:
        """Have a part of the present buffer go into a sum of its own."""
        self._jobs.put(lambda: sha256.update(view))

    def wait(self) -> None:
        """Wait until all that was given is hashed."""
        done = threading.Event()
        self._jobs.put(done.set)
        done.wait()

    def hexdigest(self) -> str:
        """SHA-256 of all the buffers handed back so far."""
        self.wait()
        return self._whole.hexdigest()


def read_full(fd: int, view: memoryview) -> int:
    """Read until the buffer is full or the file ends; the number of bytes read."""
    got = 0
    while got < len(view):
        count = os.readv(fd, [view[got:]])
        if not count:
            break
        got += count
    return got


def write_all(fd: int, view: memoryview | bytes) -> None:
    """Write all of a buffer."""
    done = os.write(fd, view)
    while done < len(view):
        done += os.write(fd, view[done:])


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file for reading, never waiting for a fifo's other end.

    Raises:
        TarballError: It is not a regular file.
        OSError: It cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise TarballError(f"{path} is not a regular file")
    return fd, status


class Output:
    """The bytes of an archive on their way into a file descriptor."""

    def __init__(self, fd: int, ring: Ring, compression: str) -> None:
        """Write to ``fd`` through ``ring``; ``compression`` is one of `COMPRESSIONS`."""
        self._fd = fd
        self._ring = ring
        self._press = _compressor(compression, fd)
        self._view = ring.turn()
        self._used = 0

    def space(self) -> memoryview:
        """Where the next bytes go: fill from the start, then say how many with `filled`."""
        if self._used == SIZE:
            self._flush()
        return self._view[self._used :]

    def filled(self, count: int) -> None:
        """Take ``count`` bytes of what `space` gave."""
        self._used += count

    def write(self, data: bytes) -> None:
        """Take these bytes."""
        end = self._used + len(data)
        if end <= SIZE:
            self._view[self._used : end] = data
            self._used = end
            return
        view = memoryview(data)
        while view:
            room = self.space()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self._used += count
            view = view[count:]

    def _flush(self) -> None:
        full = self._view[: self._used]
        self._ring.give(full, hashed=self._press is None)
        data = full if self._press is None else self._press.compress(full)
        write_all(self._fd, data)
        self._view = self._ring.turn()
        self._used = 0

    def finish(self) -> None:
        """Write what is left."""
        self._flush()
        if self._press is not None:
            write_all(self._fd, self._press.flush())

    def close(self) -> None:
        """Stop a compressing program, if there is one."""
        if isinstance(self._press, _Program):
            self._press.close()


class _Program:
    """The ``zstd`` program, writing straight into the archive."""

    def __init__(self, fd: int) -> None:
        self._process = subprocess.Popen(
            [_zstd_program(), "-q", "-c", f"-{ZSTD_LEVEL}"],
            stdin=subprocess.PIPE,
            stdout=fd,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._pipe = self._process.stdin.fileno() if self._process.stdin else -1

    def compress(self, data: memoryview) -> bytes:
        try:
            write_all(self._pipe, data)
        except BrokenPipeError:
            self.flush()
        return b""

    def flush(self) -> bytes:
        _, said = self._process.communicate()
        if self._process.returncode:
            text = said.decode("utf-8", "replace").strip()
            raise OSError(f"zstd ended with code {self._process.returncode}: {text}")
        return b""

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def _compressor(compression: str, fd: int) -> Any:
    if compression == "none":
        return None
    if compression == "gzip":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)  # 31: gzip, no name, mtime 0
    check_compression(compression)
    module = _zstd_module()
    if module is None:
        return _Program(fd)
    made = module.ZstdCompressor(level=ZSTD_LEVEL)
    return made.compressobj() if hasattr(made, "compressobj") else made


@contextmanager
def reading(fd: int, compression: str) -> Iterator[Fill]:
    """Read an archive's decompressed bytes.

    Args:
        fd: The open archive; closed by the caller.
        compression: One of `COMPRESSIONS`.

    Yields:
        A function that fills a buffer and returns how many bytes went in; fewer than fit only at
        the end. It raises `TarballError` for damaged data.
    """
    check_compression(compression)
    if compression == "none":
        yield lambda view: read_full(fd, view)
        return
    module = _zstd_module() if compression == "zstd" else None
    if compression == "zstd" and module is None:
        with _decompressing(fd) as fill:
            yield fill
        return
    with os.fdopen(os.dup(fd), "rb") as raw:
        stream: Any
        bad: tuple[type[Exception], ...] = (EOFError,)
        if module is None:
            stream = gzip.GzipFile(fileobj=raw, mode="rb")
            bad += (zlib.error, gzip.BadGzipFile)
        else:
            bad += (module.ZstdError,)
            if hasattr(module, "ZstdFile"):
                stream = module.ZstdFile(raw)
            else:
                stream = module.ZstdDecompressor().stream_reader(raw, read_across_frames=True)

        def fill(view: memoryview) -> int:
            got = 0
            try:
                while got < len(view):
                    count = stream.readinto(view[got:])
                    if not count:
                        break
                    got += count
            except bad as error:
                raise TarballError(f"the {compression} data is damaged or cut: {error}") from error
            return got

        with stream:
            yield fill


@contextmanager
def _decompressing(fd: int) -> Iterator[Fill]:
    process = subprocess.Popen(
        [_zstd_program(), "-q", "-d", "-c"],
        stdin=fd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    pipe = process.stdout.fileno() if process.stdout else -1

    def fill(view: memoryview) -> int:
        got = read_full(pipe, view)
        if got < len(view):
            said = process.stderr.read() if process.stderr else b""
            if process.wait():
                text = said.decode("utf-8", "replace").strip()
                raise TarballError(f"the zstd data is damaged or cut: {text}")
        return got

    try:
        yield fill
    finally:
        if process.poll() is None:
            process.kill()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def check_compression(compression: str) -> None:
    """Refuse a compression that is unknown or cannot be had here.

    Raises:
        TarballError: It names the option to change.
    """
    if compression not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise TarballError(f"--grid-compression {compression} is unknown; choose one of {known}")
    if compression == "zstd" and _zstd_module() is None:
        _zstd_program()


def _zstd_module() -> Any:
    for name in ("compression.zstd", "zstandard"):
        with suppress(ImportError):
            return importlib.import_module(name)
    return None


def _zstd_program() -> str:
    found = shutil.which("zstd")
    if found is None:
        raise TarballError(
            "--grid-compression zstd needs the zstd program, the Python package zstandard or "
            "Python 3.14 here; none is there. Choose --grid-compression gzip or none"
        )
    return found


def digest_of(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a regular file.

    Raises:
        OSError: It cannot be read.
        TarballError: It is not a regular file.
    """
    return _pass_on(os.fspath(path), None, None)


def copy_to(source: Path, fd: int, limit: int | None) -> tuple[int, str]:
    """Copy a regular file into an open one; bytes and SHA-256. Errors as `digest_of`."""
    return _pass_on(os.fspath(source), fd, limit)


def _pass_on(source: str, out: int | None, limit: int | None) -> tuple[int, str]:
    total = 0
    fd, _ = open_regular(source)
    try:
        with Ring() as ring:
            while True:
                buffer = ring.turn()
                view = buffer[: read_full(fd, buffer)]
                total += len(view)
                if limit is not None and total > limit:
                    raise TarballError(f"{source} is bigger than the {limit} bytes allowed")
                ring.give(view)
                if out is not None and view:
                    write_all(out, view)
                if len(view) < SIZE:
                    return total, ring.hexdigest()
    finally:
        os.close(fd)
