"""How a run ends before its workflow does: its jobs are cancelled, or left for the next run."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from snakemake_interface_common.exceptions import WorkflowError

from ..snakemake_api.scheduler import FAILURE_MESSAGES, TERMINATION_MESSAGES

if TYPE_CHECKING:
    from ..settings.options import ExecutorSettings
    from .run import Run

_TROUBLE_LIMIT = 60.0
"""Seconds for which a run that is to end soon waits for a server that does not answer."""
_DETACHED = "grid: detached"
_UNTRUE = (_DETACHED, *TERMINATION_MESSAGES)


class Shutdown:
    """Decides when a run ends early, and whether its jobs are left then.

    Attributes:
        ending: Whether the run ends early.
        leaves: Whether the jobs are left where they are.
        exit_code: With which the program is to end, None for Snakemake's own.
    """

    def __init__(self, settings: ExecutorSettings, run: Run) -> None:
        """Begin to follow a run.

        Args:
            settings: Its options.
            run: What is behind the executor.
        """
        self._detach = settings.detach
        self._keep = settings.on_interrupt == "keep" or settings.detach
        self._controller = run.controller
        self._scheduler_api = run.scheduler_api
        self._troubled_since: float | None = None
        self.ending = False
        self.leaves = False
        self.exit_code: int | None = None

    def heed_signals(self) -> None:
        """Let SIGTERM do what Ctrl-C does: Snakemake would wait for the jobs, perhaps for days."""
        if self._keep and threading.current_thread() is threading.main_thread():
            # Of a run that leaves its jobs Snakemake says that it terminates them.
            self._scheduler_api.suppress(_UNTRUE)
            signal.signal(signal.SIGTERM, signal.default_int_handler)

    def interrupted(self, *, crashed: bool) -> None:
        """Note that the run is ended from outside.

        Args:
            crashed: Whether Snakemake has met an error, rather than the user wants it: then there
                is no reason why the jobs should be lost.
        """
        self.ending = True
        self.leaves = self.leaves or self._keep or crashed
        if self.leaves and not crashed and not self._scheduler_api.has_failed:
            self._scheduler_api.suppress(FAILURE_MESSAGES)

    def look(self, *, quiet: bool) -> None:
        """End the run if it is time to; called after each round of polling.

        Args:
            quiet: Whether Snakemake has dealt with all jobs that have ended.
        """
        controller, scheduler_api = self._controller, self._scheduler_api
        if self.ending:
            return
        if controller.exhausted:
            self._leave(1)
            if not scheduler_api.has_failed:
                scheduler_api.suppress(FAILURE_MESSAGES)
            scheduler_api.interrupt(WorkflowError(f"The run ends: {controller.exhausted}."))
        elif self._detach and quiet and controller.at_rest and not scheduler_api.busy:
            self._leave(int(scheduler_api.has_failed))
            scheduler_api.interrupt(WorkflowError(_DETACHED))
        elif self._detach and self._is_troubled():
            self._leave(1)
            scheduler_api.interrupt(WorkflowError(_DETACHED))
            controller.abandon()  # the main thread may wait for what is in trouble

    def _leave(self, exit_code: int) -> None:
        self.ending = self.leaves = True
        if self._detach:
            self.exit_code = exit_code

    def _is_troubled(self) -> bool:
        if not self._controller.trouble:
            self._troubled_since = None
            return False
        if self._troubled_since is None:
            self._troubled_since = time.monotonic()
        return time.monotonic() > self._troubled_since + _TROUBLE_LIMIT
