"""Downloads and uploads files by URL; the scheme selects the client."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import TransferError, shown

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
