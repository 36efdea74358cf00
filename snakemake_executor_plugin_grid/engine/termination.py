"""Ends the run on SIGTERM, within seconds, whatever is going on.

Batch systems, ``systemctl stop`` and a shutdown send SIGTERM, and SIGKILL some seconds later;
wrappers such as ``timeout`` send it twice, to the process and to its group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

from ..resilience.clock import SYSTEM_CLOCK, Clock

EXIT_CODE = 128 + signal.SIGTERM
"""As of a program that SIGTERM has ended."""
_PATIENCE = 2.0
"""Seconds after which the main thread is interrupted, if it has not begun to end the run."""
_GRACE = 4.0
"""Seconds in which submissions and transfers may be completed."""
_LIMIT = 8.0
"""Seconds after which the process ends, even if threads hang."""
_WORDS = 1.0
"""Seconds for the last words: nobody may read standard error, or a thread may hold its lock."""


class Termination:
    """Handles SIGTERM. A thread does the work: the handler itself must take no lock.

    Attributes:
        requested: Whether SIGTERM has come.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        last_words: Callable[[], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
        interrupt: Callable[[], None] | None = None,
        end_process: Callable[[int], object] = os._exit,
    ) -> None:
        """Start the thread, which waits for the signal.

        Args:
            begin: Makes the main thread end the run. Called in a thread of its own; it may block.
            last_words: Tells the user how to continue, unless that has been done.
            clock: Measures the seconds since the signal.
            interrupt: Sends the signal to the main thread again, which then raises ``SystemExit``.
            end_process: Ends the process at once.
        """
        self.requested = False
        self._begin = begin
        self._last_words = last_words
        self._clock = clock
        self._interrupt = interrupt or _signal_main_thread
        self._end_process = end_process
        self._since = 0.0
        self._raises = False
        self._ending = threading.Event()
        self._signals: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._watch, name="termination", daemon=True).start()

    def handle(self, *_: object) -> None:
        """Handle the signal; it may come again before this function has returned."""
        if self._raises:
            self._raises = False
            raise SystemExit(EXIT_CODE)
        self._signals.put(None)  # the only queue whose put() may interrupt itself

    def ending(self) -> None:
        """Note that the main thread ends the run: it must not be interrupted any more."""
        self._ending.set()

    def over(self) -> None:
        """Leave the process, if SIGTERM has ended the run.

        Raises:
            SystemExit: It has.
        """
        if self.requested:
            raise SystemExit(EXIT_CODE)
        self._ending.clear()  # Snakemake may go on for long, such as with uploads of its own

    def hurries(self) -> bool:
        """Return whether there is no more time to complete anything."""
        return self.requested and self._clock.monotonic() > self._since + _GRACE

    def _watch(self) -> None:
        self._signals.get()
        self._since = self._clock.monotonic()
        self.requested = True
        try:
            threading.Thread(target=self._begin, name="terminating", daemon=True).start()
            if not self._ending.wait(_PATIENCE):
                self._raises = True
                self._interrupt()
            threading.Event().wait(max(0.0, self._since + _LIMIT - self._clock.monotonic()))
            words = threading.Thread(target=self._speak, name="last words", daemon=True)
            words.start()
            words.join(_WORDS)
        finally:
            self._end_process(EXIT_CODE)

    def _speak(self) -> None:
        with contextlib.suppress(Exception):  # such as a pipe that is closed
            self._last_words()
            sys.stdout.flush()


def _signal_main_thread() -> None:
    """Interrupt whatever the main thread waits for."""
    ident = threading.main_thread().ident
    if ident is not None:
        signal.pthread_kill(ident, signal.SIGTERM)
