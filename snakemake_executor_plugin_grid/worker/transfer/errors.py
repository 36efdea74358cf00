"""Errors of transfers, in words for the person at the terminal, and the patience with them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Callable, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

PAUSES = (1.0, 5.0, 15.0, 60.0, 180.0)
"""Seconds between the tries of a transfer."""


class TransferError(Exception):
    """A file could not be transferred: the text says why, and holds no secret."""


class PassingError(TransferError):
    """It may pass by itself: a server that is down or busy, a connection that broke."""


class RefusedError(TransferError):
    """There is no token or proxy, or the server takes it for no good."""


class AbsentError(TransferError):
    """The file is not there."""


def persistently(attempt: Callable[[], T], pauses: Sequence[float] | None = None) -> T:
    """Call a function until it works, with pauses after errors that may pass.

    Args:
        attempt: The function.
        pauses: Seconds after each try but the last, by default ``PAUSES``.

    Raises:
        TransferError: Of the last try; one that will not pass, at once.
    """
    for pause in PAUSES if pauses is None else pauses:
        try:
            return attempt()
        except PassingError:
            time.sleep(pause)
    return attempt()


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: query, fragment, user and password."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url if parts.scheme in ("file", "lfn", "") else f"{parts.scheme}:…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
