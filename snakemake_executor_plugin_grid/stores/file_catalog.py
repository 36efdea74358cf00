"""What a file catalog of the grid is: it knows files by name, and where their replicas are.

Names are those that a workflow uses: ``lfn:/vo/user/u/user/file`` for DIRAC's catalog,
``rucio://scope/name`` for Rucio, and URLs for files that no catalog knows. All methods take many
names at once, block, and may be called from any thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileFacts:
    """What a catalog knows of a file.

    Attributes:
        size: Bytes.
        mtime: Seconds since the epoch (UTC) at which this content got this name. Changes of
            metadata or replicas do not move it.
        adler32: Checksum in eight lower-case hex digits; empty if the catalog has none.
    """

    size: int
    mtime: float
    adler32: str = ""


class FileCatalog(ABC):
    """A file catalog and its storage elements.

    Errors are those of `model.errors`: an error is never the same as an absent file.

    Attributes:
        schemes: What its names begin with, before the colon.
        width: How many names ``facts`` takes at about the price of one.
    """

    schemes: tuple[str, ...]
    width: int = 1000

    @abstractmethod
    def facts(self, names: Collection[str]) -> dict[str, FileFacts | None]:
        """Return what is known of each file; None for those that do not exist.

        Raises:
            GridError: The catalog does not answer, or an answer cannot be understood.
        """

    @abstractmethod
    def replicas(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Return the storage elements with a replica of each file, and its URL there.

        A file without a replica has an empty mapping. A URL is empty if only the catalog's own
        tools reach the replica.

        Raises:
            GridError: The catalog does not answer.
        """

    @abstractmethod
    def listing(self, folder: str) -> list[str]:
        """Return the names of the files in a folder and below; none if it does not exist.

        Args:
            folder: Name of the folder, such as ``lfn:/vo/prod/run3``; ``rucio://scope`` for a
                scope, ``rucio://scope/dataset`` for the files of a dataset.

        Raises:
            GridError: The catalog does not answer.
        """

    @abstractmethod
    def get(self, name: str, path: Path) -> None:
        """Download a file, and check its size and checksum.

        Args:
            name: Of the file.
            path: Where to; the folder exists. It appears there only when it is whole.

        Raises:
            GridError: It cannot be had, or is damaged.
        """

    @abstractmethod
    def put(self, name: str, path: Path) -> FileFacts:
        """Upload and register a file, and see that it is there; it replaces one of that name.

        Raises:
            PermanentError: The catalog does not take it: it is empty, or its name is taken for
                other content that may not be replaced.
            GridError: It does not work now.
        """

    @abstractmethod
    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files and all their replicas; those that do not exist count as removed.

        Returns:
            Why, for each file that is still there, or of which a part is.

        Raises:
            GridError: The catalog does not answer.
        """

    @abstractmethod
    def close(self) -> None:
        """End what this object has started."""
