"""Outside calls: with a time limit, and their errors in words."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..model.errors import DiskFullError, GridError, PermanentError

T = TypeVar("T")

CALL_TIMEOUT = 120.0
"""Seconds that one call to a backend may take."""
SANDBOX_TIMEOUT = 900.0
"""Seconds that the transfer of a sandbox may take: 10 MB over a slow line, several at a time."""
TRANSFER_TIMEOUT = 4 * 3600.0
"""Seconds that the transfer of a file may take."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AWAY = (errno.EIO, errno.ESTALE, errno.EROFS)


async def once(coroutine: Coroutine[Any, Any, T], limit: float | None = CALL_TIMEOUT) -> T:
    """Make one call.

    Args:
        coroutine: The call.
        limit: Seconds that it may take, None for no limit.

    Raises:
        TimeoutError: It took too long.
        PermanentError: The client library tried to exit, as that of PanDA does; the exit itself
            would end the event loop.
    """
    return await asyncio.wait_for(spared(coroutine), limit)


async def spared(coroutine: Coroutine[Any, Any, T]) -> T:
    """Turn the exit of a client library into an error."""
    try:
        return await coroutine
    except SystemExit as error:
        raise PermanentError(f"its client has exited with {error.code!r}") from error


def is_of_disk(error: BaseException) -> bool:
    """Return whether a disk of the submit host is full, or cannot be written now.

    A client in a process of its own tells its errors in words.
    """
    if isinstance(error, OSError):
        return error.errno in (*_FULL, *_AWAY)
    if isinstance(error, GridError):
        words = str(error)
        return isinstance(error, DiskFullError) or any(os.strerror(n) in words for n in _FULL)
    return False


def in_words(error: BaseException) -> str:
    """Return what an error says, never nothing."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"the disk of the submit host is full ({error.filename or 'no space left'})"
    return str(error) or type(error).__name__
