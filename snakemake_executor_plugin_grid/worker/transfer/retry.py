"""Repeats calls that fail with errors that may pass by themselves."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Callable, TypeVar, Union

from .errors import PassingError

T = TypeVar("T")
Errors = Union[type[BaseException], tuple[type[BaseException], ...]]

PAUSES = (1.0, 5.0, 15.0, 60.0, 180.0)
"""Seconds between the attempts of a transfer."""


def retry(
    call: Callable[[], T],
    pauses: Iterable[float],
    passing: Errors,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Call a function until it succeeds or the pauses are used up.

    Args:
        call: The function.
        pauses: Seconds to wait after each failed attempt. There is one attempt more than pauses.
        passing: Errors after which to try again. All others are raised at once.
        sleep: Waits for some seconds.

    Returns:
        The result of the first attempt that succeeds. The error of the last attempt is raised.
    """
    for pause in pauses:
        try:
            return call()
        except passing:
            sleep(pause)
    return call()


def retry_transfer(call: Callable[[], T]) -> T:
    """Repeat a transfer while its error may pass.

    Raises:
        TransferError: Of the last attempt.
    """
    return retry(call, PAUSES, PassingError)
