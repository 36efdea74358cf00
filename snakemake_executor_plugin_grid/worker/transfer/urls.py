"""Files at remote places: to whom a URL is given depends on its scheme."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import TransferError, shown

SIGNED = "signed"
_WEBDAV = ("dav", "davs")
_XROOTD = ("root", "roots", "xroot")
READABLE = ("http", "https", *_WEBDAV, *_XROOTD)
"""Of URLs from which files can be read."""
WRITABLE = (*_WEBDAV, *_XROOTD, SIGNED)
"""Of URLs to which files can be delivered."""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, empty if it has none."""
    return url.partition(":")[0] if ":" in url else ""


def get(url: str, path: Path, *, public: bool = False) -> None:
    """Copy a file from a URL, with retries.

    Args:
        url: ``http(s)://`` is read without credentials, as URLs are that carry a signature;
            ``dav(s)://`` and ``root://`` with those of the worker node; ``file://`` is copied.
        path: Where to; replaced if it is there.
        public: Whether its contents are checked by their digest afterwards and are no secret, so
            that it does not matter who the server is.

    Raises:
        TransferError: It cannot be had.
        OSError: The local disk is full, and the like.
    """
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
    """Copy a file into a folder, with retries.

    Args:
        path: Local file.
        folder_url: ``dav(s)://``, ``root://``, ``file://``; or ``signed:…``, which holds in Base64
            (for URLs) a JSON object with the URL and the form fields of a signed POST to S3.
        name: Plain name in the folder; a file of that name is replaced.

    Raises:
        TransferError: It cannot be done.
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
    """See that the store is there which a job's folder (``delivered/<name>``) is in.

    What is mounted on other nodes may not be on this one: a new folder would be seen by nobody.

    Raises:
        OSError: It is not there.
    """
    folder.parent.parent.stat()


def _copy(path: Path, folder: Path, name: str) -> None:
    part = folder / f".{name}.part"
    try:
        require_store(folder)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        part.replace(folder / name)
    except OSError as error:
        raise TransferError(f"{folder / name}: {error.strerror}") from error
