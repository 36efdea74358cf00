"""What a store is: a place for blobs, each under the SHA-256 of its bytes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import GridError


@dataclass(frozen=True)
class Limits:
    """How much a job may bring back by the way that a store has for it.

    Attributes:
        delivered: Bytes of all outputs together, None for no limit.
        log: Bytes of the payload's log, None for no limit.
        hint: What the user can do when the outputs are larger.
    """

    delivered: int | None = None
    log: int | None = None
    hint: str = ""


class Store(ABC):
    """Blobs by digest. The methods block: they are called from the staging threads.

    Attributes:
        url: Where the store is, as the user names it.
        workspace: Local folder in which archives are built before they are stored.
        secret: Whether the URLs for workers are secrets: who has one can read, or deliver.
    """

    url: str
    workspace: Path
    secret: bool = False

    @property
    def limits(self) -> Limits:
        """How much a job may deliver."""
        return Limits()

    @abstractmethod
    def check(self) -> None:
        """Make sure that the store can be written and read.

        Raises:
            GridError: Says what is wrong and what to do.
        """

    @abstractmethod
    def has(self, digest: str, size: int) -> bool:
        """Return whether the blob is there, in its whole size."""

    @abstractmethod
    def put(self, digest: str, path: Path) -> None:
        """Store a file of the workspace under its digest; the file is gone afterwards."""

    @abstractmethod
    def put_file(self, path: Path) -> tuple[int, str]:
        """Store a copy of a user's file.

        Returns:
            Its size and SHA-256, of the bytes that were stored.
        """

    @abstractmethod
    def locate(self, digest: str) -> str:
        """Return the URL at which a worker finds the blob."""

    @abstractmethod
    def inbox(self, job: str) -> str:
        """Return the URL to which the worker of a job delivers blobs, under their digests.

        Each job has its own, so that two jobs with the same output do not meet there.
        """

    @abstractmethod
    def delivered(self, job: str, digest: str) -> Path:
        """Return a local file with what a job delivered; its bytes are not checked yet.

        Raises:
            GridError: It is not there.
        """

    def reports(self, job: str) -> str:
        """Return the URL to which the worker of a job delivers its report and its log."""
        return self.inbox(job)

    def brought(self, job: str, leaf: str, target: Path) -> bool:
        """Copy what the worker of a job left under a plain name, such as its report.

        Args:
            job: Its name.
            leaf: The plain name.
            target: Local file; replaced if it is there.

        Returns:
            Whether it was there.

        Raises:
            TransientError: That cannot be told now.
            GridError: The store takes no such files.
        """
        raise GridError(f"store {self.url}: it takes no files by name; give another --grid-store")

    def post(self, name: str, path: Path) -> str:
        """Store a small file for workers, readable as privately as the store can.

        Args:
            name: Plain name, for ``withdraw``.
            path: Local file.

        Returns:
            The URL by which they read it.

        Raises:
            GridError: The store takes no such files.
        """
        raise GridError(f"store {self.url}: it takes no files by name; give another --grid-store")

    def withdraw(self, names: Iterable[str]) -> None:
        """Remove files that were posted; those that are not there count as removed."""
        raise GridError(f"store {self.url}: it takes no files by name; give another --grid-store")

    @abstractmethod
    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Count blobs that a job delivered, and that were checked, among those of the store."""

    @abstractmethod
    def drop(self, job: str) -> None:
        """Remove what a job delivered, as far as it was not kept."""


def checked_digest(digest: str) -> str:
    """Return a digest that is safe as a file name: those of reports come from outside.

    Raises:
        GridError: It is none.
    """
    if not (len(digest) == 64 and digest.isalnum()):
        raise GridError(f"{digest!r} is no SHA-256")
    return digest


def checked_name(name: str) -> str:
    """Return a plain name, which leads to no other folder.

    Raises:
        GridError: It does.
    """
    if not re.fullmatch(r"\w[\w.+=@-]*", name, re.ASCII):
        raise GridError(f"{name!r} is no plain name")
    return name
