"""Stores: places for tarballs and files, addressed by URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ..journal.catalog import Catalog
from ..model.errors import PermanentError
from ..resilience.outages import Outages
from .base import InputStore, PrivateFiles, ResultStore, Store, Stores
from .directory import DirectoryStore
from .transport import Transport

if TYPE_CHECKING:
    from .rucio.address import Address
    from .rucio.transport import RucioTransport

__all__ = [
    "InputStore",
    "Means",
    "PrivateFiles",
    "ResultStore",
    "Store",
    "Stores",
    "check_store",
    "open_rucio",
    "open_store",
    "open_transport",
]

_KINDS = (
    "file:///absolute/path, s3://bucket/prefix, davs://host/path, root://host//path or "
    "rucio://scope/prefix?rse=RSE"
)
_S3 = ("s3",)
_WEBDAV = ("davs", "dav", "https", "http")
XROOTD = ("root", "roots", "xroot")
"""Schemes of XRootD."""
RUCIO = "rucio"
REMOTE = (*_S3, *_WEBDAV, *XROOTD)
"""Schemes of remote stores, which all backends can use."""


@dataclass(frozen=True)
class Means:
    """What a remote store needs from the run.

    Attributes:
        folder: Local folder for transfers; the store empties it.
        catalog: Remembers what is where.
        outages: Those of the run.
        token_file: Bearer token for WebDAV and XRootD; None for the usual places.
        rucio_python: Has rucio-clients; None for that of the storage plugin, or this one.
    """

    folder: Path
    catalog: Catalog
    outages: Outages
    token_file: Path | None = None
    rucio_python: Path | None = None


def open_store(url: str, workdir: Path, means: Means) -> Store:
    """Return the store at a URL; no connection is made yet.

    Args:
        url: As given by ``--grid-store``.
        workdir: Working directory of the workflow, which no worker sees.
        means: For a remote store.

    Raises:
        PermanentError: The URL is wrong, or cannot serve as a store.
    """
    if urlsplit(url).scheme == "file":
        return DirectoryStore(_folder(url, workdir), means.catalog)
    if urlsplit(url).scheme == RUCIO:
        from .rucio import address, store

        return store.RucioStore(
            open_rucio(
                *(address.parse(url), means.folder.parent, means.rucio_python, means.token_file)
            ),
            *(means.folder, means.outages, means.catalog),
        )
    from .remote import RemoteStore

    transport = open_transport(url, means.token_file, means.folder.with_name("xrootd.log"))
    return RemoteStore(transport, means.folder, means.outages, means.catalog)


def check_store(url: str, workdir: Path) -> None:
    """Make sure that a URL names a store; no connection is made.

    Raises:
        PermanentError: It does not, or a package is missing for it.
    """
    if urlsplit(url).scheme == "file":
        _folder(url, workdir)
    elif urlsplit(url).scheme == RUCIO:
        from .rucio import address

        address.parse(url)
    else:
        open_transport(url)


def open_transport(
    url: str,
    token_file: Path | None = None,
    log: Path = Path(os.devnull),
    origin: str = "--grid-store ",
) -> Transport:
    """Return the transport of a remote store; no connection is made yet.

    Args:
        url: As given by ``--grid-store``.
        token_file: See `Means`.
        log: File for the output of XRootD's library.
        origin: Where the user gave the URL, for messages.

    Raises:
        PermanentError: The URL is wrong, or a package is missing for it.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise PermanentError(f"{origin}{url}: {error}") from error
    if parts.scheme not in REMOTE:
        raise PermanentError(f"{origin}{url}: no store of this kind; give {_KINDS}.")
    if not host:
        raise PermanentError(f"{origin}{url}: names no host or bucket; give {_KINDS}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise PermanentError(
            f"{origin}{parts.scheme}://{host}{parts.path}: must hold no user, password, query "
            "or fragment, as it is shown and noted; give credentials by a token or proxy file."
        )
    if parts.scheme in _S3:
        _need(origin + url, "boto3", "s3")
        from .s3 import S3Transport

        return S3Transport(url)
    if parts.scheme in _WEBDAV:
        from .webdav import WebDavTransport

        return WebDavTransport(url, token_file)
    _need(origin + url, "XRootD", "xrootd")
    from .xrootd import XRootDTransport

    return XRootDTransport(url, token_file, log)


def open_rucio(
    address: Address, folder: Path, python: Path | None = None, token_file: Path | None = None
) -> RucioTransport:
    """Return the transport of a store in Rucio; no connection is made yet.

    Args:
        address: Of the store.
        folder: This package's own, for the clients' output.
        python: See `Means`.
        token_file: See `Means`.
    """
    from .rucio.client import RucioClient
    from .rucio.transport import RucioTransport

    client = RucioClient.shared(python, folder / "rucio.log")
    log = folder / "xrootd.log"
    return RucioTransport(address, client, lambda url: open_transport(url, token_file, log))


def _folder(url: str, workdir: Path) -> Path:
    parts = urlsplit(url)
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
    return folder


def _need(what: str, package: str, extra: str) -> None:
    """Make sure that a package is there, without importing it."""
    if find_spec(package) is None:
        raise PermanentError(
            f"{what}: needs {package}: pip install 'snakemake-executor-plugin-grid[{extra}]'"
        )
