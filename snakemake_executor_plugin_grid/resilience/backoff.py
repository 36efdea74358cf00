"""When to try again: pauses and deadlines, computed from times that the caller passes."""

from __future__ import annotations

import random
from dataclasses import dataclass

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@dataclass
class Backoff:
    """Pauses between the tries of one call, which double up to a maximum.

    Attributes:
        since: When the first try failed.
        pause: Seconds between the last try and the next one.
        retry_at: When the next try is due.
    """

    since: float
    pause: float = 0.0
    retry_at: float = 0.0

    def failed(self, now: float) -> None:
        """Schedule the next try. Tries that fail before it is due do not lengthen the pause."""
        if now >= self.retry_at:
            self.pause = min(LONGEST_PAUSE, 2 * self.pause or FIRST_PAUSE)
            self.retry_at = now + self.pause


def is_over(since: float, limit: float, now: float) -> bool:
    """Return whether a limit of time has been exceeded."""
    return now > since + limit


def spread(seconds: float) -> float:
    """Return a random time around this one, so that the users of a server do not return at once."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
