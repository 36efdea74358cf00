"""Ends a run before its workflow is complete: jobs are cancelled, or left for the next run.

This module decides whether a run ends early and whether its jobs stay. The executor does it
(``cancel``, ``shutdown``). SIGTERM: ``termination``.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import WorkflowError

from ..console.format import listed, sentence
from ..resilience.clock import SYSTEM_CLOCK, Clock
from ..snakemake_api.scheduler import FAILURE_MESSAGES, TERMINATION_MESSAGES

if TYPE_CHECKING:
    from ..console.last_words import Tally
    from ..settings.options import ExecutorSettings
    from .run import Run

_TROUBLE_LIMIT = 60.0
"""Seconds for which a detached run waits for a server that does not answer."""
_STUCK_LIMIT = 5.0
"""Seconds in which Snakemake finds more jobs for the backends that can go on."""
_CANCEL_TIMEOUT = 60.0
_SHOWN = 5
DETACHED = "grid: detached"
"""Text of the error by which a run is ended that leaves its jobs; the user does not see it."""
_ECHO = 2.0
UNTRUE = (DETACHED, *TERMINATION_MESSAGES)
"""Messages that are wrong for such a run."""


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
        self._run = run
        self._controller = run.controller
        self._scheduler_api = run.scheduler_api
        self._troubled_since: float | None = None
        self._stuck_since: float | None = None
        self._at_once = False
        self.ending = False
        self.leaves = False
        self.exit_code: int | None = None
        if self._keep:
            # Snakemake says that it terminates the jobs, which stay on the grid.
            self._scheduler_api.suppress(UNTRUE)

    def terminate(self) -> None:
        """Leave the jobs at once, because of SIGTERM; from any thread, also more than once."""
        self.ending = self._at_once = True
        self.leaves = self.leaves or self._controller.outlives_run
        self._scheduler_api.suppress(UNTRUE)
        self._controller.abandon()

    def finish(self, tally: Tally, give_up: Callable[[], bool]) -> str:
        """Cancel or leave the jobs that have not ended, and close the run.

        Args:
            tally: Counts the jobs.
            give_up: Returns whether to stop waiting.

        Returns:
            The last line of the run, perhaps empty.
        """
        run, controller = self._run, self._controller
        for_good = self._scheduler_api.has_failed_for_good
        if self.leaves:
            controller.leave(give_up, at_once=self._at_once)
            run.close("left", give_up)
            return self._farewell(tally)
        early = self.ending
        if early or controller.active:
            unconfirmed = controller.cancel(_CANCEL_TIMEOUT, give_up)
            if unconfirmed:
                run.say(
                    f"Not confirmed to be cancelled: {', '.join(unconfirmed)}. The next run in "
                    "this directory cancels them, or `snakemake-grid cancel`."
                )
        failed = self._scheduler_api.has_failed
        run.close("cancelled" if early else "failed" if failed else "finished", give_up)
        summary = tally.summary(for_good)
        return f"cancelled; {summary}" if early and summary else summary

    def _farewell(self, tally: Tally) -> str:
        """Return how many jobs are left, and how to continue."""
        left = self._controller.on_the_grid
        count = max(len(left), self._run.left_open)
        if not (count or tally.came_back or self._at_once):
            return ""
        failures = tally.failures(self._scheduler_api.has_failed_for_good)
        shown = f": {listed(left, _SHOWN)}" if left else ""
        commands = "`snakemake-grid status` shows them, `snakemake-grid cancel` ends them."
        words = (
            f"{tally.came_back} job(s) came back in this run; {count} stay on the grid{shown}.",
            f"To continue, run the same command again in this directory{'; ' if count else '.'}"
            f"{commands if count else ''}",
            failures,
        )
        return " ".join(filter(None, words))

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
        if reason := controller.exhausted or self._stuck(quiet=quiet):
            self._leave(1)
            if not scheduler_api.has_failed:
                scheduler_api.suppress(FAILURE_MESSAGES)
            scheduler_api.interrupt(WorkflowError(sentence(f"The run ends: {reason}")))
        elif self._detach and quiet and controller.at_rest and not scheduler_api.busy:
            self._leave(int(scheduler_api.has_failed))
            scheduler_api.interrupt(WorkflowError(DETACHED))
        elif self._detach and self._is_troubled():
            self._leave(1)
            scheduler_api.interrupt(WorkflowError(DETACHED))
            controller.abandon()  # the main thread may be waiting for this server

    def _leave(self, exit_code: int) -> None:
        self.ending = self.leaves = True
        if self._detach:
            self.exit_code = exit_code

    def _stuck(self, *, quiet: bool) -> str:
        """Return why the run has to end although a backend could go on; empty if it has not to."""
        reason = self._controller.stuck if quiet and not self._scheduler_api.busy else ""
        if not reason:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = self._clock.monotonic()
        elif self._clock.monotonic() > self._stuck_since + _STUCK_LIMIT:
            return reason
        return ""

    def _is_troubled(self) -> bool:
        if not self._controller.trouble:
            self._troubled_since = None
            return False
        if self._troubled_since is None:
            self._troubled_since = self._clock.monotonic()
        return self._clock.monotonic() > self._troubled_since + _TROUBLE_LIMIT


class Interrupts:
    """Records Ctrl-C while jobs are being cancelled, instead of raising an error."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        """Record no signal yet."""
        self._clock = clock
        self._since = 0.0
        self._impatient = False
        self._former: Any = None

    def __enter__(self) -> Interrupts:
        """Replace the handler of the signal."""
        self._since = self._clock.monotonic()
        with contextlib.suppress(ValueError):  # not in the main thread
            self._former = signal.signal(signal.SIGINT, self._record)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the former handler back."""
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def impatient(self) -> bool:
        """Return whether the user has pressed Ctrl-C a second time.

        A signal within two seconds is an echo of the first one: wrappers send it both to the
        process and to its group.
        """
        return self._impatient

    def _record(self, _number: int, _frame: FrameType | None) -> None:
        self._impatient |= self._clock.monotonic() - self._since > _ECHO
