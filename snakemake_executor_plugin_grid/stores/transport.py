"""What moves files to and from a remote place; one class for each protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ..console.progress import NOTHING, Transfer


class Transport(ABC):
    """Access to the files at a URL, by their names relative to it, with ``/`` between folders.

    All methods block, each for a limited time, and may be called from several threads at once.
    They raise ``TransientError`` for what may pass by itself, ``CredentialsError`` where a token or
    proxy is missing, has expired or is refused, and ``PermanentError``, which says what to do, for
    all else. They do not repeat a call for long: who calls them does. Errors of the local disk are
    ``OSError``.

    Attributes:
        url: Of the place, without a slash at the end, and without secrets.
        secret: Whether the URLs for workers are secrets, as signed ones are.
    """

    url: str
    secret: bool = False

    @abstractmethod
    def check(self) -> None:
        """Make sure that the place is there, making it where that can be done.

        Whether files can be put there is tried by the store.
        """

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Return how many bytes a file has, None if it is not there."""

    @abstractmethod
    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        """Copy a local file there, with the folders above it; one that is there is replaced.

        Args:
            path: The file.
            name: Of the file there.
            transfer: Is told of bytes that are on their way.
        """

    @abstractmethod
    def download(self, name: str, path: Path, transfer: Transfer = NOTHING) -> None:
        """Copy a file to a local path; after an error, part of it may be there.

        Args:
            name: Of the file there.
            path: Where to.
            transfer: Is told of bytes that have come.

        Raises:
            MissingError: There is no such file.
        """

    @abstractmethod
    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files. Those that are not there count as removed.

        Returns:
            Why, for each file that could not be removed.
        """

    @abstractmethod
    def listing(self, folder: str) -> list[str]:
        """Return the plain names of what is directly in a folder: files and folders.

        A folder that is not there is empty.
        """

    def tidy(self, folder: str) -> None:
        """Remove a folder if it is empty; nothing where folders are no more than names."""
        return

    @abstractmethod
    def source(self, name: str) -> str:
        """Return the URL by which a worker reads a file. No connection is made for it."""

    @abstractmethod
    def inbox(self, folder: str) -> str:
        """Return the URL to which a worker delivers files, under plain names, into a folder.

        No connection is made for it.
        """
