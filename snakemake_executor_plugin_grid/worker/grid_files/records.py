"""The files on the grid that a job reads and writes, in ``job.json`` and ``report.json``."""

from __future__ import annotations

from ..records import dataclass

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

PART = ".{}.part"
"""Name of a file that is being uploaded, by the guid of the attempt."""


@dataclass(frozen=True)
class GridInput:
    """A file that the worker fetches.

    Attributes:
        name: Name in the tree.
        query: How the workflow names it, such as ``lfn:/vo/prod/file``.
        size: Bytes.
        adler32: Checksum in eight hex digits; empty if the catalog has none.
        mtime_ns: Time that the file gets, as the catalog has it.
        urls: Where it can be had, the best first: ``lfn:/vo/…`` for DIRAC's tools, or a URL that
            `transfer.urls` reads.
    """

    name: str
    query: str
    size: int
    adler32: str
    mtime_ns: int
    urls: tuple[str, ...]

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> GridInput:
        """Return what a JSON object holds."""
        return cls(**{**fields, "urls": tuple(fields["urls"])})


@dataclass(frozen=True)
class GridOutput:
    """A file that the worker stores.

    Attributes:
        name: Name in the tree.
        query: How the workflow names it.
        url: Where it goes: ``lfn:/vo/…`` for DIRAC's tools, or a URL to which `transfer.urls`
            uploads.
        element: Storage element, for DIRAC.
        guid: Of this attempt; DIRAC's catalog keeps it with the file.
        before: Size and Adler-32, ``123:0a1b2c3d``, of the file that was there when the job was
            planned, which it may replace; empty if there was none. On a server without a catalog
            the time in whole seconds as well, ``123:0a1b2c3d:1700000000``.
        may_replace: Guids of earlier attempts, whose files it may replace, too.
    """

    name: str
    query: str
    url: str
    element: str = ""
    guid: str = ""
    before: str = ""
    may_replace: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """URL under which this attempt uploads a file that no catalog knows."""
        return f"{self.url.rpartition('/')[0]}/{PART.format(self.guid)}"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> GridOutput:
        """Return what a JSON object holds."""
        return cls(**{**fields, "may_replace": tuple(fields["may_replace"])})


@dataclass(frozen=True)
class Stored:
    """A file that the worker has stored and has seen in its place.

    Attributes:
        query: How the workflow names it.
        size: Bytes.
        adler32: Checksum in eight lower-case hex digits.
    """

    query: str
    size: int
    adler32: str
