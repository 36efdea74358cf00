"""What a store is: a place for blobs, each under the SHA-256 of its bytes.

There are three interfaces, as not every place serves for all files: `InputStore` for the inputs of
jobs, `ResultStore` for their outputs, and `PrivateFiles` for files under plain names. All methods
block: they are called from the staging threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """How much a job may bring back through a store.

    Attributes:
        outputs: Bytes of all outputs together, None for no limit.
        log: Bytes of the payload's log, None for no limit.
        hint: What the user can do when the outputs are larger.
    """

    outputs: int | None = None
    log: int | None = None
    hint: str = ""


class InputStore(ABC):
    """Holds the inputs of jobs.

    Attributes:
        url: Where the store is, as the user names it.
        workspace: Local folder in which archives are built before they are stored.
        secret: Whether the URLs for workers are secrets: they give access to whoever has them.
    """

    url: str
    workspace: Path
    secret: bool = False

    @abstractmethod
    def check(self) -> None:
        """Make sure that the store can be written and read.

        Raises:
            GridError: Says what is wrong and what to do.
        """

    @abstractmethod
    def has(self, digest: str, size: int) -> bool:
        """Return whether the store holds the whole blob."""

    @abstractmethod
    def put(self, digest: str, path: Path) -> None:
        """Move a file of the workspace into the store, under its digest."""

    @abstractmethod
    def put_file(self, path: Path) -> tuple[int, str]:
        """Store a copy of a user's file.

        Returns:
            Size and SHA-256 of the bytes that were stored.
        """

    @abstractmethod
    def locate(self, digest: str) -> str:
        """Return the URL from which a worker reads the blob; empty if it lies beside the job."""


class ResultStore(ABC):
    """Takes the outputs that jobs deliver.

    Attributes:
        url: Where the store is, as the user names it.
        by_system: Whether the workload management system takes files there, beside the report.
    """

    url: str
    by_system: bool = False

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
    def inbox(self, job: str) -> str:
        """Return the URL to which the worker of a job delivers blobs, under their digests.

        Each job has its own, so that equal outputs of two jobs do not collide.
        """

    @abstractmethod
    def fetch_output(self, job: str, digest: str, most: int | None = None) -> Path:
        """Return a local file with a blob that a job delivered; its bytes are not checked yet.

        Args:
            job: Name of the job.
            digest: Of the blob.
            most: Bytes that it may have, None for any number. A larger one is not downloaded;
                the file of a folder is returned as it is.

        Raises:
            GridError: The store does not have it.
            UntrustedError: It is larger than it may be.
        """

    @abstractmethod
    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Keep blobs that a job delivered, and that were checked, as inputs of other jobs."""

    @abstractmethod
    def drop(self, job: str) -> None:
        """Remove what a job delivered, except blobs that are kept."""


class PrivateFiles(ABC):
    """Exchanges small files with workers under plain names.

    Attributes:
        secret: Whether the URLs for workers are secrets: they give access to whoever has them.
    """

    secret: bool = False

    @abstractmethod
    def fetch_file(self, job: str, leaf: str, target: Path, most: int | None = None) -> bool:
        """Copy a file that the worker of a job delivered into its inbox, such as its report.

        Args:
            job: Name of the job.
            leaf: Plain name of the file.
            target: Local file; it is replaced.
            most: Bytes that it may have, None for any number.

        Returns:
            Whether the file exists.

        Raises:
            TransientError: The store does not answer.
        """

    @abstractmethod
    def post(self, name: str, path: Path) -> str:
        """Store a file for workers, readable by as few others as the store allows.

        Args:
            name: Plain name, for ``withdraw``.
            path: Local file.

        Returns:
            The URL from which workers read it.
        """

    def post_text(self, name: str, text: str, folder: Path) -> str:
        """Store a text as ``post`` stores a file.

        Args:
            name: Plain name, for ``withdraw``.
            text: Its text.
            folder: Has it meanwhile, readable by its owner only; it is made if it does not exist.

        Returns:
            The URL from which workers read it.
        """
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            path.write_text(text)
            return self.post(name, path)
        finally:
            path.unlink(missing_ok=True)

    @abstractmethod
    def fetch_posted(self, name: str, target: Path, most: int | None = None) -> bool:
        """Copy a file that was posted; the rest is as for ``fetch_file``."""

    @abstractmethod
    def withdraw(self, names: Iterable[str]) -> None:
        """Remove files that were posted; missing files count as removed."""


class Store(InputStore, ResultStore, PrivateFiles):
    """A place that serves for all files, as ``--grid-store`` names it."""


@dataclass(frozen=True)
class Stores:
    """The stores of a run; both may be the same.

    Attributes:
        inputs: Holds the inputs of jobs.
        results: Takes their outputs.
    """

    inputs: InputStore
    results: ResultStore

    @property
    def url(self) -> str:
        """Where the outputs go, as the user names it."""
        return self.results.url

    def check(self) -> None:
        """Check each store once.

        Raises:
            GridError: Says what is wrong and what to do.
        """
        stores: tuple[InputStore | ResultStore, ...] = (self.inputs, self.results)
        for store in dict.fromkeys(stores):
            store.check()
