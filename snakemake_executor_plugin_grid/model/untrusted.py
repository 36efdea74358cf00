"""Checks of what workers and stores send: names, files, texts and JSON documents.

Whatever comes from outside becomes a path, is opened, or is shown to the user only through these
functions.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..worker.archive.files import SIZE, open_regular
from ..worker.archive.member import TarballError, check_name
from ..worker.archive.sparse import parts_of
from .errors import PermanentError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"\w[\w.+=@-]{,254}", re.ASCII)
# Escape sequences of terminals: colours and cursor (CSI), titles and links (OSC), others.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -~]"
)


class UntrustedError(PermanentError):
    """A worker or a store sent something damaged or hostile."""


def path_below(folder: Path, name: str) -> Path:
    """Return the path that a name from outside has in a folder; it cannot be elsewhere.

    Every path that is made of a name or digest from outside is made here.

    Args:
        folder: The folder.
        name: Relative posix path, such as a digest or the name of a member of a tarball.

    Raises:
        UntrustedError: The name is absolute, leads up, or is no legal path.
    """
    try:
        check_name(name)
    except TarballError as error:
        raise UntrustedError(str(error)) from error
    return folder / name


def check_size(what: str, size: int, most: int | None) -> None:
    """Refuse a file from outside that is larger than it may be.

    Args:
        what: Path or URL of the file.
        size: Bytes that it has.
        most: Bytes that it may have, None for any number.

    Raises:
        UntrustedError: It is larger.
    """
    if most is not None and size > most:
        raise UntrustedError(f"{what} has {size:,} bytes, more than the {most:,} that it may have")


def is_digest(text: str) -> bool:
    """Return whether a text is a SHA-256 in lower-case hex digits."""
    return bool(_DIGEST.fullmatch(text))


def checked_digest(text: str) -> str:
    """Return a SHA-256 in lower-case hex digits, which is safe as a file name.

    Raises:
        UntrustedError: It is none.
    """
    if not is_digest(text):
        raise UntrustedError(f"{text!r:.100} is no SHA-256")
    return text


def checked_name(text: str) -> str:
    """Return a plain file name, which cannot lead to another folder.

    Raises:
        UntrustedError: It can.
    """
    if not _PLAIN.fullmatch(text):
        raise UntrustedError(f"{text!r:.300} is no plain name")
    return text


def open_untrusted(path: Path) -> BinaryIO:
    """Open a file that a worker may have made; links are not followed, and fifos do not block.

    Raises:
        UntrustedError: It is not a regular file.
        OSError: It cannot be opened.
    """
    try:
        return os.fdopen(open_regular(os.fspath(path), follow=False)[0], "rb")
    except TarballError:
        raise UntrustedError(f"{path} is not a regular file") from None


def read_untrusted(path: Path, most: int) -> bytes:
    """Return the contents of a file that a worker may have made.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        UntrustedError: It is larger, or not a regular file.
        OSError: It cannot be read.
    """
    with open_untrusted(path) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise UntrustedError(f"{path} is larger than {most} bytes")
    return data


def copy_untrusted(source: Path, target: Path) -> None:
    """Copy a file that a worker may have made; the target is replaced.

    Holes stay holes: a file of 20 kB can look as if it had 40 GiB.

    Raises:
        UntrustedError: It is not a regular file.
        OSError: It cannot be read or written.
    """
    with open_untrusted(source) as stream, target.open("wb") as out:
        file = stream.fileno()
        size = os.fstat(file).st_size
        for at, left in parts_of(file, size):
            out.seek(at)
            while data := os.pread(file, min(SIZE, left), at):
                written = out.write(data)
                at, left = at + written, left - written
            if left:
                break  # it has become shorter
        out.truncate(size)


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file, and not a link to one.

    Raises:
        OSError: The folder cannot be read.
    """
    return path.is_file() and not path.is_symlink()


def parse_json(data: bytes) -> Any:
    """Read a JSON document.

    Raises:
        UntrustedError: It is not one, names a key twice, or holds what JSON does not have.
    """
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant
        )
    except RecursionError:
        raise UntrustedError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise UntrustedError("it is not a text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise UntrustedError(f"it is not JSON: {error}") from None
    except ValueError:  # more digits than Python takes
        raise UntrustedError("it has a number with too many digits") from None


def _no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UntrustedError("it has the same key twice")
    return found


def _no_constant(text: str) -> None:
    raise UntrustedError(f"it has {text} in place of a number")


def printable(text: str, most: int | None = None) -> str:
    """Return a text as one line that is safe on a terminal.

    Escape sequences are removed; white space becomes blanks; other characters that cannot be
    printed, such as controls, changes of direction and lone surrogates, become U+FFFD.

    Args:
        text: Comes from a worker or a store.
        most: Characters to keep; the rest is replaced by an ellipsis.
    """
    if most is not None and len(text) > most:
        text = text[:most] + "…"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in _ESCAPES.sub("", text)
    )


def printable_lines(text: str) -> str:
    """Return a text whose lines and tabs stay, and the rest is as `printable` returns it."""
    if text.isprintable():
        return text
    return "".join(
        part if part in ("\n", "\t") else printable(part) for part in re.split("([\n\t])", text)
    )
