"""A member of an archive, as packed, as listed in a manifest, or as unpacked."""

from __future__ import annotations

import re

from ..records import dataclass

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

MAX_SECONDS = 1 << 33
"""Limit of modification times, in seconds from the epoch; ``utime()`` accepts it."""
KINDS = ("file", "dir", "link")
_LONGEST_PART = 255
_LONGEST_NAME = 4095
"""Bytes of the longest file name and path of Linux."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class TarballError(Exception):
    """A damaged or hostile archive, or a file that changed while it was packed."""


class ChangedError(TarballError):
    """A file changed or vanished while it was packed."""


@dataclass(frozen=True)
class Member:
    """A file, folder or link in an archive.

    Attributes:
        name: Posix path in the archive, relative, such as ``work/data/a.txt``.
        kind: ``file``, ``dir`` or ``link``.
        mode: Permission bits.
        size: Bytes; 0 unless a file.
        mtime_ns: Modification time, nanoseconds since the epoch.
        sha256: Hex digest of a file's bytes in the archive, or empty if not known.
        target: Target of a link.
        holes: By how many bytes a file is smaller in the archive, because its holes are not stored;
            see `sparse`.
    """

    name: str
    kind: str
    mode: int
    size: int
    mtime_ns: int
    sha256: str = ""
    target: str = ""
    holes: int = 0

    @property
    def stored(self) -> int:
        """Bytes that it takes in the archive, and about those that it needs on disk."""
        return self.size - self.holes

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for `json.dumps`, without empty values."""
        found: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "mode": self.mode,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
        }
        if self.sha256:
            found["sha256"] = self.sha256
        if self.target:
            found["target"] = self.target
        if self.holes:
            found["holes"] = self.holes
        return found

    @classmethod
    def from_json(cls, value: Any) -> Member:
        """Check and read a value of `to_json` that comes from outside.

        Raises:
            TarballError: A field is missing, of the wrong type or out of range.
        """
        if not isinstance(value, dict):
            raise TarballError(f"a manifest's member is {value!r:.80}, not a JSON object")
        name = _text(value, "name", value)
        check_name(name)
        kind = _text(value, "kind", name)
        if kind not in KINDS:
            raise TarballError(f"member {name!r} of a manifest has the unknown kind {kind!r:.40}")
        sha256 = _text(value, "sha256", name, "")
        if sha256 and not _SHA256.fullmatch(sha256):
            raise TarballError(f"member {name!r} of a manifest has no SHA-256 in 'sha256'")
        far = MAX_SECONDS * 10**9
        size = _number(value, "size", name, 0, 1 << 62)
        return cls(
            name=name,
            kind=kind,
            mode=_number(value, "mode", name, 0, 0o7777),
            size=size,
            mtime_ns=_number(value, "mtime_ns", name, -far, far),
            sha256=sha256,
            target=_text(value, "target", name, ""),
            holes=_number({"holes": 0} | value, "holes", name, 0, size),
        )


def _text(value: dict[str, Any], key: str, name: object, default: str | None = None) -> str:
    found = value.get(key, default)
    if not isinstance(found, str):
        raise TarballError(f"member {name!r:.200} of a manifest has no text in {key!r}")
    return found


def _number(value: dict[str, Any], key: str, name: str, least: int, most: int) -> int:
    found = value.get(key)
    if type(found) is not int or not least <= found <= most:
        raise TarballError(f"member {name!r} of a manifest has an invalid number in {key!r}")
    return found


def check_name(name: str) -> list[str]:
    """Split a member's name into its components.

    Raises:
        TarballError: The name is absolute, leads up, has a redundant component, or no file system
            takes it.
    """
    parts = name.split("/")
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise TarballError(f"member {name!r:.200}: its name has a lone surrogate") from None
    if len(encoded) > _LONGEST_PART and (
        len(encoded) > _LONGEST_NAME or max(map(len, encoded.split(b"/"))) > _LONGEST_PART
    ):
        raise TarballError(f"member {name!r:.200}: its name is too long")
    if "" in parts or ".." in parts or "." in parts or "\0" in name:
        why = "absolute" if name.startswith("/") else "empty" if not name else "not a plain path"
        raise TarballError(f"member {name!r:.200}: its name is {why}; it was not unpacked")
    return parts
