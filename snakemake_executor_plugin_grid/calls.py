"""Outside calls: with a time limit, tried again where that may help, their errors in words."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .errors import PermanentError, TransientError

T = TypeVar("T")

CALL_TIMEOUT = 120.0
"""Seconds that one call to a backend may take."""

_TRIES = 4


async def once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Make one call.

    Raises:
        TimeoutError: It took too long.
        PermanentError: The client library tried to exit, as that of PanDA does; the exit itself
            would end the event loop.
    """
    return await asyncio.wait_for(spared(coroutine), CALL_TIMEOUT)


async def patiently(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Make a call a few times, with growing pauses, as long as its error may pass by itself."""
    for tried in range(1, _TRIES):
        try:
            return await once(call())
        except (TransientError, TimeoutError, ConnectionError):
            await asyncio.sleep(2**tried)
    return await once(call())


async def spared(coroutine: Coroutine[Any, Any, T]) -> T:
    """Turn the exit of a client library into an error."""
    try:
        return await coroutine
    except SystemExit as error:
        raise PermanentError(f"its client has exited with {error.code!r}") from error


def in_words(error: BaseException) -> str:
    """Return what an error says, never nothing."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of the submit host is full ({error.filename or 'no space left'})"
    return str(error) or type(error).__name__
