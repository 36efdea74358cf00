"""Ends a run before its workflow is complete: jobs are cancelled, or left for the next run.

This module decides whether a run ends early and whether its jobs stay. The executor does it
(``cancel``, ``shutdown``, ``_cancel_all``, ``_leave``), with ``Controller.cancel`` and
``Controller.leave``.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import WorkflowError

from ..console.format import sentence
from ..resilience.clock import SYSTEM_CLOCK, Clock
from ..snakemake_api.scheduler import FAILURE_MESSAGES, TERMINATION_MESSAGES

if TYPE_CHECKING:
    from ..settings.options import ExecutorSettings
    from .run import Run

_TROUBLE_LIMIT = 60.0
"""Seconds for which a detached run waits for a server that does not answer."""
_DETACHED = "grid: detached"
_ECHO = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_UNTRUE = (_DETACHED, *TERMINATION_MESSAGES)


class Shutdown:
    """Decides when a run ends early, and whether its jobs are left then.

    Attributes:
        ending: Whether the run ends early.
        leaves: Whether the jobs stay on the grid then.
        exit_code: Of the program, None for Snakemake's own.
    """

    def __init__(self, settings: ExecutorSettings, run: Run, clock: Clock = SYSTEM_CLOCK) -> None:
        """Watch a run.

        Args:
            settings: Its options.
            run: The run.
            clock: Measures outages.
        """
        self._clock = clock
        self._detach = settings.detach
        self._keep = settings.on_interrupt == "keep" or settings.detach
        self._controller = run.controller
        self._scheduler_api = run.scheduler_api
        self._troubled_since: float | None = None
        self.ending = False
        self.leaves = False
        self.exit_code: int | None = None

    def heed_signals(self) -> None:
        """Make SIGTERM do what Ctrl-C does; Snakemake would wait for the jobs, perhaps for days."""
        if self._keep and threading.current_thread() is threading.main_thread():
            # Snakemake says that it terminates the jobs, which stay on the grid.
            self._scheduler_api.suppress(_UNTRUE)
            signal.signal(signal.SIGTERM, signal.default_int_handler)

    def interrupted(self, *, crashed: bool) -> None:
        """Note that the run is ended from outside.

        Args:
            crashed: Whether an error, not the user, ends the run; its jobs then stay on the grid.
        """
        self.ending = True
        self.leaves = self.leaves or self._keep or crashed
        if self.leaves and not crashed and not self._scheduler_api.has_failed:
            self._scheduler_api.suppress(FAILURE_MESSAGES)

    def look(self, *, quiet: bool) -> None:
        """End the run if it is time; called after each poll.

        Args:
            quiet: Whether Snakemake has handled all jobs that have ended.
        """
        controller, scheduler_api = self._controller, self._scheduler_api
        if self.ending:
            return
        if controller.exhausted:
            self._leave(1)
            if not scheduler_api.has_failed:
                scheduler_api.suppress(FAILURE_MESSAGES)
            scheduler_api.interrupt(
                WorkflowError(sentence(f"The run ends: {controller.exhausted}"))
            )
        elif self._detach and quiet and controller.at_rest and not scheduler_api.busy:
            self._leave(int(scheduler_api.has_failed))
            scheduler_api.interrupt(WorkflowError(_DETACHED))
        elif self._detach and self._is_troubled():
            self._leave(1)
            scheduler_api.interrupt(WorkflowError(_DETACHED))
            controller.abandon()  # the main thread may be waiting for this server

    def _leave(self, exit_code: int) -> None:
        self.ending = self.leaves = True
        if self._detach:
            self.exit_code = exit_code

    def _is_troubled(self) -> bool:
        if not self._controller.trouble:
            self._troubled_since = None
            return False
        if self._troubled_since is None:
            self._troubled_since = self._clock.monotonic()
        return self._clock.monotonic() > self._troubled_since + _TROUBLE_LIMIT


class Interrupts:
    """Records Ctrl-C and SIGTERM while jobs are being cancelled, instead of raising an error."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        """Record no signal yet."""
        self._clock = clock
        self._since = 0.0
        self._impatient = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        """Replace the handlers of the signals."""
        self._since = self._clock.monotonic()
        with contextlib.suppress(ValueError):  # not in the main thread
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the former handlers back."""
        for number, former in self._former.items():
            signal.signal(number, former)

    def impatient(self) -> bool:
        """Return whether the user has pressed Ctrl-C a second time.

        A signal within two seconds is an echo of the first one: wrappers send it both to the
        process and to its group.
        """
        return self._impatient

    def _record(self, _number: int, _frame: FrameType | None) -> None:
        self._impatient |= self._clock.monotonic() - self._since > _ECHO
