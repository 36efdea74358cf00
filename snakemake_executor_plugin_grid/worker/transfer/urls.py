"""Downloads and uploads files by URL; the scheme selects the client."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import TransferError, shown
from .retry import retry_transfer

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from .facts import Facts

SIGNED = "signed"
_WEBDAV = ("dav", "davs")
_XROOTD = ("root", "roots", "xroot")
READABLE = ("http", "https", *_WEBDAV, *_XROOTD)
"""Schemes of URLs from which files can be downloaded."""
WRITABLE = (*_WEBDAV, *_XROOTD, SIGNED)
"""Schemes of URLs to which files can be uploaded."""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, empty if it has none."""
    return url.partition(":")[0] if ":" in url else ""


def get(url: str, path: Path, *, public: bool = False) -> None:
    """Download a file, with retries.

    Args:
        url: ``http(s)://`` without credentials (it may be a signed URL), ``dav(s)://`` and
            ``root://`` with the credentials of the worker node, ``file://`` as a copy.
        path: Local file; replaced if it exists.
        public: Whether the contents are not secret and the caller checks their digest; then the
            server need not be verified.

    Raises:
        TransferError: The download failed.
        OSError: The local disk is full, and the like.
    """
    import shutil

    scheme = scheme_of(url)
    if scheme in ("http", "https"):
        from . import http as web

        web.get(url, path, public=public)
    elif scheme in _WEBDAV:
        from . import http as web

        web.get(url, path, with_credentials=True)
    elif scheme in _XROOTD:
        from . import xrootd

        xrootd.get(url, path)
    elif scheme == "file":
        try:
            shutil.copyfile(unquote(urlsplit(url).path), path)
        except FileNotFoundError as error:
            raise TransferError(f"no file at {url}") from error
    else:
        raise TransferError(f"the worker cannot read {scheme}:// URLs")


def put(path: Path, folder_url: str, name: str) -> None:
    """Upload a file to a folder, with retries.

    Args:
        path: Local file.
        folder_url: ``dav(s)://``, ``root://``, ``file://``; or ``signed:…``, a JSON object in
            URL-safe Base64 with the URL and the form fields of a signed POST to S3.
        name: Plain name in the folder; a file of that name is replaced.

    Raises:
        TransferError: The upload failed.
        OSError: The local file cannot be read.
    """
    scheme = scheme_of(folder_url)
    if scheme == SIGNED:
        from . import http as web

        web.post(path, folder_url.partition(":")[2], name)
    elif scheme in _WEBDAV:
        from . import http as web

        web.put(path, folder_url, name)
    elif scheme in _XROOTD:
        from . import xrootd

        xrootd.put(path, folder_url, name)
    elif scheme == "file":
        _copy(path, Path(unquote(urlsplit(folder_url).path)), name)
    else:
        raise TransferError(f"the worker cannot write to {shown(folder_url)}")


def facts(url: str) -> Facts | None:
    """Return what the server knows of a file, None if it does not exist; with retries.

    Raises:
        TransferError: The server does not tell it.
    """
    if scheme_of(url) in _XROOTD:
        from . import xrootd

        return retry_transfer(lambda: xrootd.facts(url))
    from . import http as web

    return retry_transfer(lambda: web.facts(url, web.CREDENTIALS))


def move(source: str, target: str, *, replace: bool) -> None:
    """Rename a file on its server, with retries.

    Args:
        source: URL of the file.
        target: Its new URL.
        replace: Whether one of that name may be replaced. XRootD servers do so anyway.

    Raises:
        TransferError: It cannot be done.
    """
    if scheme_of(source) in _XROOTD:
        from . import xrootd

        retry_transfer(lambda: xrootd.move(source, target, replace=replace))
    else:
        from . import http as web

        retry_transfer(lambda: web.move(source, target, web.CREDENTIALS, replace=replace))


def remove(url: str) -> None:
    """Remove a file; one that does not exist counts as removed; one attempt.

    Raises:
        TransferError: It cannot be done.
    """
    if scheme_of(url) in _XROOTD:
        from . import xrootd

        xrootd.remove(url)
    else:
        from . import http as web

        web.remove(url, web.CREDENTIALS)


def require_store(folder: Path) -> None:
    """Check that the store of a job's folder (``delivered/<name>``) exists on this node.

    It may not be mounted here; nobody else would see a new folder.

    Raises:
        OSError: It does not exist.
    """
    folder.parent.parent.stat()


def _copy(path: Path, folder: Path, name: str) -> None:
    import shutil

    part = folder / f".{name}.part"
    try:
        require_store(folder)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        part.replace(folder / name)
    except OSError as error:
        raise TransferError(f"{folder / name}: {error.strerror}") from error
