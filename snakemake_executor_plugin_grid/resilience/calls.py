"""Calls to the outside: their time limits, and what their errors mean."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from ..console import error_log
from ..model.errors import DiskFullError, EndingError, GridError, PermanentError, TransientError
from ..model.untrusted import UntrustedError
from ..worker.transfer.retry import Errors
from .clock import SYSTEM_CLOCK, Clock

T = TypeVar("T")

CALL_TIMEOUT = 120.0
"""Seconds that one call to a backend may take."""
SANDBOX_TIMEOUT = 900.0
"""Seconds that the transfer of a sandbox may take: 10 MB over a slow line, several at a time."""
TRANSFER_TIMEOUT = 4 * 3600.0
"""Seconds that the transfer of a file may take."""
PASSING = (TransientError, TimeoutError, ConnectionError)
"""Errors after which the same call may succeed. Only these are retried."""
_PAUSES_AT_START = (1.0, 3.0)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AWAY = (errno.EIO, errno.ESTALE, errno.EROFS)


async def with_timeout(coroutine: Coroutine[Any, Any, T], limit: float | None = CALL_TIMEOUT) -> T:
    """Make one call. An error goes to the log as well.

    Args:
        coroutine: The call.
        limit: Seconds that it may take, None for no limit.

    Raises:
        TimeoutError: It took too long.
        PermanentError: The client library called ``exit``, as that of PanDA does; otherwise this
            would end the event loop.
    """
    try:
        return await asyncio.wait_for(exit_as_error(coroutine), limit)
    except EndingError:
        raise
    except Exception as error:
        error_log.write(getattr(coroutine, "__qualname__", "call"), error)
        raise


async def retry_async(
    call: Callable[[], Awaitable[T]],
    pauses: Iterable[float],
    passing: Errors,
    sleep: Callable[[float], Awaitable[object]],
) -> T:
    """Do the same as the worker's `retry`, for a coroutine function."""
    for pause in pauses:
        try:
            return await call()
        except passing:
            await sleep(pause)
    return await call()


async def retry_at_start(
    call: Callable[[], Coroutine[Any, Any, T]], clock: Clock = SYSTEM_CLOCK
) -> T:
    """Make a call that begins a run: a broken connection is tried again, but only for seconds."""
    return await retry_async(
        lambda: with_timeout(call(), None), _PAUSES_AT_START, PASSING, clock.sleep
    )


async def exit_as_error(coroutine: Coroutine[Any, Any, T]) -> T:
    """Turn the exit of a client library into an error."""
    try:
        return await coroutine
    except SystemExit as error:
        raise PermanentError(f"its client has exited with {error.code!r}") from error


def is_of_disk(error: BaseException) -> bool:
    """Return whether a disk of the submit host is full, or cannot be written now.

    Errors of a client in another process arrive as text.
    """
    if isinstance(error, OSError):
        return error.errno in (*_FULL, *_AWAY)
    # What a worker or a store has sent may hold any words.
    if isinstance(error, GridError) and not isinstance(error, UntrustedError):
        words = str(error)
        return isinstance(error, DiskFullError) or any(os.strerror(n) in words for n in _FULL)
    return False


def in_words(error: BaseException) -> str:
    """Return a text for the user, which is never empty.

    A bug goes to the log, with its traceback, and the text names the log.
    """
    if error_log.is_bug(error):
        path = error_log.write("unexpected error", error)
        where = f"; the traceback is in {path}" if path is not None else ""
        return error_log.redacted(f"unexpected error ({type(error).__name__}: {error}){where}")
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"the disk of the submit host is full ({error.filename or 'no space left'})"
    return error_log.redacted(str(error)) or type(error).__name__
