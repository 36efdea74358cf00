"""Waits for a disk of the submit host that is full, or that cannot be written for other reasons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from ..console.format import duration
from ..model.errors import EndingError
from .backoff import is_over
from .calls import in_words
from .clock import Clock

_PAUSE = 5.0


class DiskFullWait:
    """Reports once that the disk cannot be written, and once that it can be written again.

    Attributes:
        exhausted: Why the run has to end, if the wait has exceeded its limit; else empty.
    """

    def __init__(
        self,
        limit: float,
        say: Callable[[str], None],
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Start with free space.

        Args:
            limit: Seconds to wait for free space.
            say: Shows a line to the user.
            clock: Measures the wait.
            pause: Waits for some seconds; raises ``EndingError`` when the run ends.
        """
        self._limit = limit
        self._say = say
        self._clock = clock
        self._pause = pause
        self._waiting: set[object] = set()
        self._since = 0.0
        self._why = ""
        self.exhausted = ""

    @property
    def trouble(self) -> str:
        """What the run waits for, in words; empty if nothing waits."""
        return f"waiting for the disk: {self._why}" if self._waiting else ""

    @contextmanager
    def call(self) -> Iterator[object]:
        """Return a token for a call that may have to wait; valid until the call ends."""
        token, success = object(), False
        try:
            yield token
            success = True
        finally:
            self._ended(token, success=success)

    async def wait(self, token: object, error: BaseException) -> None:
        """Pause before the next try of a call that found the disk full.

        Args:
            token: Of the call.
            error: Its error.

        Raises:
            EndingError: The limit is exceeded, or the run is ending.
        """
        if not self._waiting:
            self._since = self._clock.monotonic()
            self._why = in_words(error)
            self._say(
                f"Waiting for the disk: {self._why}. The run continues by itself when it can "
                "be written; jobs on the grid are not affected."
            )
        self._waiting.add(token)
        if is_over(self._since, self._limit, self._clock.monotonic()):
            self.exhausted = (
                f"the disk could not be written for {duration(self._limit)}, which is the limit "
                f"(--grid-outage-limit): {in_words(error)}"
            )
            raise EndingError(self.exhausted) from error
        await self._pause(_PAUSE)

    def _ended(self, token: object, *, success: bool) -> None:
        if token in self._waiting:
            self._waiting.remove(token)
            if success and not self._waiting:
                seconds = self._clock.monotonic() - self._since
                self._say(
                    f"There is room on the disk again after {duration(seconds)}; the run continues."
                )
