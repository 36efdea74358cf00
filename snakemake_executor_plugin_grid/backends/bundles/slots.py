"""How many grid jobs should be made before bundles become larger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...model.state import JobState


class Slots:
    """Assumes as many slots as grid jobs were seen running at a time, at least some."""

    def __init__(self, least: int) -> None:
        """Start with all of them free.

        Args:
            least: Number of slots before jobs were seen.
        """
        self._most = least
        self._states: dict[str, JobState] = {}
        self._under_way = 0

    @property
    def free(self) -> int:
        """Number of grid jobs to make: at least one, so that jobs of a busy run are bundled."""
        return max(1, self._most - len(self._states) - self._under_way)

    def begin(self, count: int) -> None:
        """Count grid jobs that are being submitted."""
        self._under_way += count

    def answered(self, count: int, accepted: Iterable[str]) -> None:
        """Take the answer about so many: the ids of those that the system has."""
        self._under_way -= count
        self._states |= dict.fromkeys(accepted, JobState.QUEUED)

    def seen(self, states: Mapping[str, JobState]) -> None:
        """Learn the states of grid jobs of this run, perhaps not of all."""
        self._states |= states
        self.forget([one for one, state in states.items() if state.ended])
        running = sum(state is JobState.RUNNING for state in self._states.values())
        self._most = max(self._most, running)

    def forget(self, ids: Iterable[str]) -> None:
        """Count grid jobs no more."""
        for one in ids:
            self._states.pop(one, None)
