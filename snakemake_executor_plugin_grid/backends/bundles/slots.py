"""How many grid jobs should be made before bundles become larger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ...model.state import JobState


class Slots:
    """Counts grid jobs: as many as have been seen running find a slot, and some always do."""

    def __init__(self, least: int) -> None:
        """Count nothing yet.

        Args:
            least: Number of grid jobs that find a slot as far as one knows.
        """
        self._most = least
        self._open = 0

    @property
    def free(self) -> int:
        """Number of grid jobs to make: at least one, so that jobs of a busy run are bundled."""
        return max(1, self._most - self._open)

    def sent(self, count: int) -> None:
        """Count grid jobs that are on their way."""
        self._open += count

    def seen(self, states: Iterable[JobState]) -> None:
        """Learn from the states of the grid jobs of this run."""
        now = Counter(states)
        self._most = max(self._most, now[JobState.RUNNING])
        self._open = sum(count for state, count in now.items() if not state.ended)
