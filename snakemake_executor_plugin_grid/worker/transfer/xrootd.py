"""File transfers to and from XRootD servers (``root://``) by ``xrdcp``, which finds credentials.

Messages of the client by exit code, and what they mean here; seen with xrdcp 5.5.3 (Debian 12) and
the Python library 6.2.1, which has the same messages, against a server 5.5.3:

===  ==============================================================  =============================
 51  ``[FATAL] Connection error``: nobody listens, server gone       passes
 51  ``[FATAL] Socket timeout``, ``[ERROR] Socket error``            passes
 51  ``[FATAL] Invalid address``: no such host, or no name service   passes
 52  ``[ERROR] Operation expired``: nothing came for a while         passes
 52  ``[FATAL] Auth failed: No protocols left to try``               credentials
 53  ``[ERROR] CheckSum error``; also for a file that was replaced
     within a second: the server keeps checksums by the second       passes: sent again
 54  ``[3003] … already opened by 1 writer; open denied``            passes
 54  ``[3005] … file path marked read/only``                         stays
 54  ``[3009] … no space left on device``                            stays
 54  ``[3010] … permission denied``, ``… is disallowed``             stays
 54  ``[3011] … no such file or directory``                          absent
 54  ``[3013] query chksum is not supported``, after the upload      only the size is checked
 54  ``Local error: …``                                              an error of the local disk
===  ==============================================================  =============================

A server that is asked for more checksums at a time than it computes (5.5.3: ``xrootd.chksum max``)
has the others wait for 30 s. The other numbers of server errors are those of the protocol
(XErrorCode in XProtocol.hh).
"""

from __future__ import annotations

import calendar
import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from ..processes import die_with_parent
from .errors import AbsentError, PassingError, RefusedError, TransferError
from .facts import Facts
from .retry import retry_transfer

LIMITS = {
    # Seconds and attempts to connect; the defaults take ten minutes.
    "XRD_CONNECTIONWINDOW": "30",
    "XRD_CONNECTIONRETRY": "2",
    # Seconds to wait for the answer to a request, such as for a block of the file; default 1800.
    "XRD_REQUESTTIMEOUT": "300",
    # Seconds without any data from or to the network during a transfer.
    "XRD_STREAMTIMEOUT": "60",
    # Seconds to wait before a failed server is tried again; default 1800.
    "XRD_STREAMERRORWINDOW": "0",
    # After a server restart, send the whole file again: the server refuses to resume ([3003]).
    "XRD_WRITERECOVERY": "0",
}
"""Settings of XRootD clients; variables of the user override them."""

_TIME_LIMIT = 4 * 3600.0  # seconds for one file, in case the limits of the client fail
_STAT_LIMIT = 300.0  # seconds
_LAST_WORDS = 2000  # characters

_PASSING_NUMBERS = {
    "3003": "locked",
    "3007": "I/O error",
    "3008": "no memory",
    "3012": "server error",
    "3014": "no server",
    "3017": "cancelled",
    "3019": "checksum error",
    "3020": "in progress",
    "3024": "overloaded",
    "3034": "timed out",
    "3035": "timer expired",
}
_PASSING_WORDS = (
    "Connection error",
    "Socket error",
    "Socket timeout",
    "Invalid address",
    "Operation expired",
    "Operation interrupted",
    "CheckSum error",
    "Invalid response",
    "Invalid session",
    "Hand shake failed",
    "stream disconnect",
    "Poller error",
)
_REFUSED_WORDS = ("Auth failed", "Login failed", "[3030]")
_EXISTS = "[3018]"
_NO_CHECKSUM = ("[3013]", "querying the checksum")
_NUMBER = re.compile(r"\[(3\d\d\d)\]")
_LOCAL = re.compile(r"Local error: ([^:\n]+)")
_LOCAL_ERRORS = {
    "no space left on device": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "permission denied": errno.EACCES,
    "no such file or directory": errno.ENOENT,
}


def get(url: str, path: Path) -> None:
    """Download a file, with retries.

    Args:
        url: ``root://host[:port]//path``; nothing in it is quoted (xrdcp 5.5.3).
        path: Local file; replaced if it exists.

    Raises:
        TransferError: The download failed.
        OSError: The local disk is full, and the like.
    """

    def attempt() -> None:
        with plain(path) as local:
            code, words = _run(["xrdcp", "-N", "-f", url, str(local)], _TIME_LIMIT)
        if code:
            fail(words, f"{url}: xrdcp ended with exit code {code}")
        if not path.is_file():
            raise TransferError(f"{url}: xrdcp left no file")

    retry_transfer(attempt)


def put(path: Path, folder_url: str, name: str) -> None:
    """Upload a file to a folder, with retries; the server checks the checksum.

    Args:
        path: Local file.
        folder_url: Same form as for ``get``; the folder is created if missing.
        name: Plain name in the folder; a file of that name is replaced.

    Raises:
        TransferError: The upload failed.
        OSError: The local file cannot be read.
    """
    url = f"{folder_url.rstrip('/')}/{name}"

    def attempt() -> None:
        size = path.stat().st_size
        # --posc: the server removes incomplete files after some time.
        options = ["-N", "-f", "-p", "--posc", "--cksum", "adler32"]
        with plain(path) as local:
            code, words = _run(["xrdcp", *options, str(local), url], _TIME_LIMIT)
        if code and any(sign in words for sign in _NO_CHECKSUM):
            _check_size(url, size)
        elif code:
            fail(words, f"{url}: xrdcp ended with exit code {code}")

    retry_transfer(attempt)


def facts(url: str) -> Facts | None:
    """Return what the server knows of a file, None if it does not exist; one attempt.

    Raises:
        TransferError: The server does not tell it, or it is a folder.
    """
    try:
        size, mtime = _stat(url)
    except AbsentError:
        return None
    told = None
    with contextlib.suppress(TransferError):  # many servers have none
        told = re.match(r"(?i)adler32 ([0-9a-f]{1,8})\b", _at_server(url, "query", "checksum"))
    return Facts(size, mtime, told[1].lower().zfill(8) if told else "")


def move(source: str, target: str, *, replace: bool) -> None:
    """Rename a file; one attempt.

    Raises:
        TransferError: It cannot be done.
    """
    path = _split(target)[1]
    try:
        _at_server(source, "mv", more=(path,))
    except TransferError as error:
        if not replace or _EXISTS not in str(error):
            raise
        remove(target)
        _at_server(source, "mv", more=(path,))


def remove(url: str) -> None:
    """Remove a file; one that does not exist counts as removed; one attempt.

    Raises:
        TransferError: It cannot be done.
    """
    with contextlib.suppress(AbsentError):
        _at_server(url, "rm")


def environment() -> dict[str, str]:
    """Return the environment of an XRootD client: that of this process, and time limits."""
    return {**LIMITS, **os.environ}


def fail(words: str, what: str) -> NoReturn:
    """Raise the error that the client's output indicates.

    Args:
        words: Output of the client.
        what: What failed, for the message.

    Raises:
        PassingError: It may work later.
        RefusedError: The server needs credentials, or rejects these.
        AbsentError: The file does not exist.
        TransferError: Any other error of the transfer.
        OSError: An error of the local disk.
    """
    text = f"{what}: {_brief(words)}"
    local = _LOCAL.search(words)
    if local is not None:
        raise OSError(_LOCAL_ERRORS.get(local[1].strip(), errno.EIO), text)
    if any(word in words for word in _REFUSED_WORDS):
        raise RefusedError(f"{text} (no proxy or token that the server accepts)")
    number = _NUMBER.search(words)
    if number is None:
        kind = PassingError if any(word in words for word in _PASSING_WORDS) else TransferError
        raise kind(text)
    if number[1] in _PASSING_NUMBERS:
        raise PassingError(text)
    if number[1] == "3011":
        raise AbsentError(text)
    raise TransferError(text)


@contextlib.contextmanager
def plain(path: Path) -> Iterator[Path]:
    """Yield a path without question marks, with which a query begins for XRootD clients."""
    if "?" not in str(path):
        yield path.absolute()
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "file")
        link.symlink_to(path.absolute())
        yield link


def _check_size(url: str, size: int) -> None:
    there, _ = _stat(url)
    if there != size:
        raise PassingError(f"{url}: incomplete: {there} of {size} bytes arrived")


def _stat(url: str) -> tuple[int, int]:
    """Return size and time of a file; the time is 0 if the server does not tell it."""
    words = _at_server(url, "stat")
    found = dict(re.findall(r"^(Size|MTime|Flags):\s+(.*)$", words, re.MULTILINE))
    if "IsDir" in found.get("Flags", ""):
        raise TransferError(f"{url}: is a folder")
    if not found.get("Size", "").isdigit():
        raise TransferError(f"{url}: the server does not tell the size")
    mtime = 0
    with contextlib.suppress(KeyError, ValueError):
        mtime = calendar.timegm(time.strptime(found["MTime"], "%Y-%m-%d %H:%M:%S"))
    return int(found["Size"]), mtime


def _at_server(url: str, *command: str, more: Sequence[str] = ()) -> str:
    """Run a command of ``xrdfs`` on the path of a URL; return its output."""
    server, path = _split(url)
    code, words = _run(["xrdfs", server, *command, path, *more], _STAT_LIMIT)
    if code:
        fail(words, f"{url}: xrdfs ended with exit code {code}")
    return words


def _split(url: str) -> tuple[str, str]:
    """Return the server of a URL, and the path there."""
    parts = urlsplit(url)
    path = url.partition(parts.netloc)[2].replace("//", "/", 1)
    return f"{parts.scheme}://{parts.netloc}", path


def _run(command: Sequence[str], limit: float) -> tuple[int, str]:
    """Run a client in a process group of its own; return exit code and output."""
    program = shutil.which(command[0])
    if program is None:
        raise TransferError(
            f"root:// URLs need {command[0]}, which this host does not have; it is in the package "
            "xrootd-client, or in software of the site or on /cvmfs"
        )
    with tempfile.TemporaryFile() as output:
        # The worker has one thread here, so preexec_fn is safe.
        process = subprocess.Popen(
            [program, *command[1:]],
            env=environment(),
            stdin=subprocess.DEVNULL,  # no prompt for a password
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            code = process.wait(limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise PassingError(f"{command[0]} took longer than {limit:g} s") from None
            raise
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _brief(words: str) -> str:
    """Return the end of the client's output in one line."""
    return " ".join(words.replace("\0", " ")[-_LAST_WORDS:].split()) or "no output"
