"""Moves files to and from a remote server; one class for each protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ..console.progress import NOTHING, Transfer
from .file_catalog import FileFacts


class Transport(ABC):
    """Access to the files at a URL, by their names relative to it, with ``/`` between folders.

    All methods block, each for a limited time, and may be called from several threads at once.
    They raise ``TransientError`` for temporary errors, ``CredentialsError`` if a token or proxy is
    missing, has expired or is refused, and ``PermanentError``, which says what to do, for all other
    errors. The caller repeats calls. Errors of the local disk are ``OSError``.

    Attributes:
        url: URL of the folder, without a slash at the end and without secrets.
        secret: Whether the URLs for workers are secrets, as signed ones are.
        element: Storage element, where the URL alone does not tell where files are.
    """

    url: str
    secret: bool = False
    element: str = ""

    @abstractmethod
    def check(self) -> None:
        """Make sure that the folder exists; make it if the protocol can.

        The store tries whether files can be put there.
        """

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, None if it does not exist."""

    @abstractmethod
    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        """Copy a local file there, with the folders above it; one that is there is replaced.

        Args:
            path: The file.
            name: Name of the file there.
            transfer: Is told how many bytes were sent.
        """

    @abstractmethod
    def download(
        self, name: str, path: Path, transfer: Transfer = NOTHING, most: int | None = None
    ) -> None:
        """Copy a file to a local path; after an error, the path may hold part of it.

        Args:
            name: Name of the file there.
            path: Where to.
            transfer: Is told how many bytes were received.
            most: Bytes after which to stop, None for any number: a server may send more than
                `size` said. XRootD's library cannot stop.

        Raises:
            MissingError: There is no such file.
        """

    @abstractmethod
    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files; missing files count as removed.

        Returns:
            The reason, for each file that could not be removed.
        """

    @abstractmethod
    def listing(self, folder: str) -> list[str]:
        """Return the plain names of what is directly in a folder: files and folders.

        A missing folder is empty.
        """

    def move(self, name: str, other: str) -> bool:
        """Give a file another name, without moving its bytes; return whether the server can.

        The folders above are made; a file that has the new name is replaced.

        Raises:
            MissingError: There is no such file.
        """
        return False

    def tidy(self, folder: str) -> None:
        """Remove a folder if it is empty; does nothing where folders are only part of names."""
        return

    @abstractmethod
    def source(self, name: str) -> str:
        """Return the URL by which a worker reads a file. No connection is made for it."""

    @abstractmethod
    def inbox(self, folder: str) -> str:
        """Return the URL to which a worker delivers files, under plain names, into a folder.

        No connection is made for it.
        """


class FileServer(Transport):
    """Access to a server that has files and folders, and knows more of them than their names."""

    @abstractmethod
    def facts(self, name: str) -> FileFacts | None:
        """Return what the server knows of a file, None if it does not exist.

        Raises:
            PermanentError: It is a folder, too.
        """

    @abstractmethod
    def entries(self, folder: str) -> dict[str, bool]:
        """Return what is directly in a folder, by plain names, and whether each is a folder.

        A missing folder is empty.
        """

    def close(self) -> None:
        """End what was started."""
        return

    def listing(self, folder: str) -> list[str]:
        """Return the plain names of what is directly in a folder."""
        return sorted(self.entries(folder))
