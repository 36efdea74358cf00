"""What tests put in the way of a call: errors, and gates that hold it."""

from __future__ import annotations

import threading

from snakemake_executor_plugin_grid.model.errors import TransientError

DOWN = TransientError("the server is down")


class Times:
    """Raises an error some times, then nothing."""

    def __init__(self, error: Exception, times: int = 1, *, after: int = 0) -> None:
        self.error = error
        self.left = times
        self.after = after

    def __call__(self) -> None:
        if self.after:
            self.after -= 1
        elif self.left:
            self.left -= 1
            raise self.error


def down() -> None:
    """Fail as long as a test lets it."""
    raise DOWN


class Gate:
    """Holds whoever comes to it until it is opened."""

    def __init__(self) -> None:
        self._came, self._opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self._came.set()
        assert self._opened.wait(30)

    def reached(self) -> bool:
        """Wait until somebody has come; return whether one has."""
        return self._came.wait(10)

    def open(self) -> None:
        """Let all go on."""
        self._opened.set()

    def open_later(self) -> bool:
        """Let all go on once a run waits for it, which asks whether to give up."""
        self.open()
        return False
