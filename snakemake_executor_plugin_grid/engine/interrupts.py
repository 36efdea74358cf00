"""A second Ctrl-C while jobs are being cancelled must neither be lost nor break the first."""

from __future__ import annotations

import contextlib
import signal
import time
from types import FrameType
from typing import Any

_ECHO = 2.0
_HEEDED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, Ctrl-C and SIGTERM are noted rather than raised."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self._since = 0.0
        self._impatient = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        """Begin to note."""
        self._since = time.monotonic()
        with contextlib.suppress(ValueError):  # not in the main thread
            for number in _HEEDED:
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Let Ctrl-C do again what it did."""
        for number, former in self._former.items():
            signal.signal(number, former)

    def impatient(self) -> bool:
        """Return whether the user has pressed Ctrl-C again and meant it.

        A signal within two seconds is taken for an echo of the first: wrappers send it to the
        process and to its group.
        """
        return self._impatient

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._impatient |= time.monotonic() - self._since > _ECHO
