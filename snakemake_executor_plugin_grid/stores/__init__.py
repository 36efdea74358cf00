"""Stores: where tarballs live, addressed by URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import PermanentError
from .base import Store
from .directory import DirectoryStore

__all__ = ["Store", "open_store"]


def open_store(url: str, workdir: Path) -> Store:
    """Return the store at a URL.

    Args:
        url: As given by ``--grid-store``.
        workdir: Working directory of the workflow, which no worker sees.

    Raises:
        PermanentError: The URL cannot be understood, or cannot serve as a store.
    """
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise PermanentError(
            f"--grid-store {url}: no store of this kind; give file:///absolute/path."
        )
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise PermanentError(
            f"--grid-store {url}: has to name an absolute path with three slashes, as in "
            "file:///shared/scratch/me."
        )
    folder = Path(unquote(parts.path))
    if folder.resolve().is_relative_to(workdir.resolve()):
        raise PermanentError(
            f"--grid-store {url}: is below the working directory, which jobs must not see; "
            "choose a folder elsewhere."
        )
    return DirectoryStore(folder)
