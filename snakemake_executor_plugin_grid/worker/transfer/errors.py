"""Errors of transfers, with messages for the user."""

from __future__ import annotations

from urllib.parse import urlsplit


class TransferError(Exception):
    """A file could not be transferred; the message contains no secret."""


class PassingError(TransferError):
    """A temporary error: the server is down or busy, or the connection broke."""


class RefusedError(TransferError):
    """There is no token or proxy, or the server rejects it."""


class AbsentError(TransferError):
    """The file does not exist."""


def shown(url: str) -> str:
    """Return a URL without its query, fragment, user and password, which may be secret."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url if parts.scheme in ("file", "lfn", "") else f"{parts.scheme}:…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
