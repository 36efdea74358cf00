"""Errors of transfers, with texts for the person at the terminal."""

from __future__ import annotations

from urllib.parse import urlsplit


class TransferError(Exception):
    """A file could not be transferred: the text says why, and holds no secret."""


class PassingError(TransferError):
    """It may pass by itself: a server that is down or busy, a connection that broke."""


class RefusedError(TransferError):
    """There is no token or proxy, or the server takes it for no good."""


class AbsentError(TransferError):
    """The file is not there."""


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: query, fragment, user and password."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url if parts.scheme in ("file", "lfn", "") else f"{parts.scheme}:…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
