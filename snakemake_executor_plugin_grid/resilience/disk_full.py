"""Waits for a disk of the submit host that is full, or cannot be written for another reason."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from ..model.errors import EndingError
from .calls import in_words

_PAUSE = 5.0


class Room:
    """Says once that there is no room, and once that there is some again.

    Attributes:
        exhausted: Why the run has to end, when it has lasted too long; else empty.
    """

    def __init__(self, limit: float, say: Callable[[str], None]) -> None:
        """Begin with room.

        Args:
            limit: Seconds for which it is waited for.
            say: Shows a line to the user.
        """
        self._limit = limit
        self._say = say
        self._waiting: set[object] = set()
        self._since = 0.0
        self._why = ""
        self.exhausted = ""

    @property
    def trouble(self) -> str:
        """What is waited for, in words; empty when there is room."""
        return f"waiting for the disk: {self._why}" if self._waiting else ""

    @contextmanager
    def call(self) -> Iterator[object]:
        """Return what stands for a call that may have to wait, for as long as it goes on."""
        call, good = object(), False
        try:
            yield call
            good = True
        finally:
            self._over(call, good=good)

    async def wait(
        self, call: object, error: BaseException, pause: Callable[[float], Awaitable[None]]
    ) -> None:
        """Wait a little for somebody to make room.

        Args:
            call: That it has failed; the same object each time.
            error: How.
            pause: Sleeps for some seconds.

        Raises:
            EndingError: The limit is over, or the run is ending.
        """
        if not self._waiting:
            self._since = time.monotonic()
            self._why = in_words(error)
            self._say(
                f"Waiting for the disk: {self._why}. The run goes on by itself when there is "
                "room; jobs that are on the grid are not touched."
            )
        self._waiting.add(call)
        if time.monotonic() > self._since + self._limit:
            self.exhausted = (
                f"the disk could not be written for {hours(self._limit)}, which is the limit "
                f"(--grid-outage-limit): {in_words(error)}"
            )
            raise EndingError(self.exhausted) from error
        await pause(_PAUSE)

    def _over(self, call: object, *, good: bool) -> None:
        if call in self._waiting:
            self._waiting.remove(call)
            if good and not self._waiting:
                seconds = time.monotonic() - self._since
                self._say(f"There is room on the disk again after {seconds:.0f} s; going on.")


def hours(seconds: float) -> str:
    """Return a time for people to read."""
    return f"{seconds / 3600:.2g} h" if seconds >= 360 else f"{seconds:.0f} s"
