"""Carries out a decision: the layers of its steps, one after the other.

A fork of the worker does it, or a process that the setup lines of the runtime have started. It has
one thread; the commands are its children, each the leader of a process group.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .. import processes
from ..description import WORKDIR, FolderError
from ..records import replace
from ..report import KILLED, OUT_OF_DISK, PAYLOAD_FAILED, WORKER_FAILED
from .decision import Decision
from .errors import StepError, failed
from .marks import fill_path
from .outputs import remove
from .place import Place
from .result import Result
from .spawn import Children, keep_descriptors, signal_group
from .step import Work

_POLL = 0.02
_AWAIT = 60.0
"""Seconds that a service has to make what others wait for."""
_GRACE = 10.0
"""Seconds that a service has to end after SIGTERM."""


def carry_out(decision: Decision, place: Place) -> int:
    """Carry out a decision in this process, write its result, and return the exit code.

    Args:
        decision: What to do.
        place: Where; its working directory becomes that of this process.
    """
    keep_descriptors()
    runner = Runner(decision, place)
    signal.signal(signal.SIGTERM, runner.terminate)
    processes.die_with_parent(signal.SIGTERM)
    try:
        os.chdir(place.cwd)
        if decision.umask is not None:
            os.umask(decision.umask)
        result = runner.run()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = OUT_OF_DISK if full else WORKER_FAILED
        result = Result(reason, f"{type(error).__name__}: {error}")
    except FolderError as error:
        result = Result(WORKER_FAILED, str(error))
    except Exception as error:
        result = Result(WORKER_FAILED, f"{type(error).__name__}: {error}")
    finally:
        runner.end()
    if result.message:
        sys.stderr.write(f"grid: {result.message}\n")
    try:
        result.write(Path(place.scratch))
    except OSError as error:
        sys.stderr.write(f"grid: the result cannot be written: {error}\n")
    return result.status


class _FailedError(Exception):
    def __init__(self, work: Work, result: Result) -> None:
        super().__init__(result.message)
        self.work = work
        self.result = result


class Runner:
    """Runs the layers of a decision."""

    def __init__(self, decision: Decision, place: Place) -> None:
        """Start nothing yet."""
        self._decision = decision
        self._name = place.name
        self._layers = [[Work(step, place) for step in layer] for layer in decision.layers]
        self._alone = len(decision.steps) == 1
        self._temporary = {fill_path(path, {WORKDIR: place.cwd}) for path in decision.temporary}
        self._running: list[Work] = []
        """Steps with a command that runs."""
        self._children = Children()
        self._parent = os.getppid()
        self._terminated = False

    def terminate(self, _number: int, _frame: object) -> None:
        """Pass SIGTERM on to the commands, and start no more; kill all when the worker is dead."""
        self._terminated = True
        orphaned = os.getppid() != self._parent
        for work in self._running:
            if work.pid:
                signal_group(work.pid, signal.SIGKILL if orphaned else signal.SIGTERM)
        if orphaned:
            processes.kill_marked(self._name)
            os._exit(1)

    def run(self) -> Result:
        """Run all layers.

        Raises:
            FolderError: The value of a mark cannot stand where the mark does.
            OSError: Disk full, and the like.
        """
        for number, layer in enumerate(self._layers):
            try:
                self._run_layer(layer)
                self._end_services(number)
            except _FailedError as error:
                self.end()
                error.work.abandon()
                return self._named(error.work, error.result)
            self._remove_temporary(number)
        return Result()

    def end(self) -> None:
        """Kill all commands; their steps leave logs."""
        for work in self._running:
            work.stop(signal.SIGKILL)
        for work in self._running:
            if work.pid:
                os.waitpid(work.pid, 0)
            work.abandon()
        self._running.clear()

    def _run_layer(self, layer: list[Work]) -> None:
        for work in layer:
            self._try(work, work.prepare)
        waiting = sorted(layer, key=lambda work: not work.concurrent)
        until = time.monotonic() + _AWAIT
        while waiting or any(not work.step.service for work in self._running):
            free = self._decision.cores - sum(map(self._cores, self._running))
            for work in list(waiting):
                if work.awaits:
                    self._still_coming(work, until)
                elif self._cores(work) <= free:
                    waiting.remove(work)
                    if self._advance(work):
                        free -= self._cores(work)
            if self._running:
                self._wait(_POLL if any(work.awaits for work in waiting) else None)
            elif waiting:
                time.sleep(_POLL)

    def _cores(self, work: Work) -> int:
        return 0 if work.concurrent else min(work.step.threads, self._decision.cores)

    def _advance(self, work: Work) -> bool:
        """Start the next command of a step, or finish it; return whether a command runs."""
        if self._terminated:
            raise _FailedError(work, Result(KILLED, "it was killed from outside"))
        if self._try(work, work.advance):
            self._running.append(work)
            if self._terminated:  # SIGTERM came while it was started
                signal_group(work.pid, signal.SIGTERM)
            return True
        try:
            self._try(work, work.finish)
        except _FailedError as error:
            error.result = replace(error.result, exit_code=0)  # of the last command
            raise
        return False

    def _wait(self, timeout: float | None) -> None:
        """Wait for the end of a command, and go on with its step.

        Args:
            timeout: Seconds to wait at most; None without limit.
        """
        due = [work.sampler.due for work in self._running if work.sampler is not None]
        now = time.monotonic()
        limits = [one - now for one in due] + ([] if timeout is None else [timeout])
        ended = self._children.wait(min(limits) if limits else None)
        for work in list(self._running):
            if ended is not None and work.pid == ended[0]:
                self._running.remove(work)
                self._ended(work, ended[1])
            elif work.sampler is not None and work.sampler.due <= time.monotonic():
                work.sampler.sample()

    def _ended(self, work: Work, status: int) -> None:
        try:
            work.ended(status)
        except StepError as error:
            if not work.step.service:
                raise _FailedError(work, error.result) from error
            # What it served may be complete. If not, those that read it fail.
            work.abandon()
            sys.stderr.write(f"grid: {self._named(work, error.result).message}\n")
            return
        if work.stopped:
            work.abandon()
        else:
            self._advance(work)

    def _still_coming(self, work: Work, until: float) -> None:
        """Check that what a step waits for may still come."""
        for path in work.awaits:
            makers = [
                one
                for layer in self._layers
                for one in layer
                if any(output.path == path for output in one.step.outputs)
            ]
            why = "but no rule of the group makes it"
            if makers:
                if not makers[0].over and time.monotonic() < until:
                    continue
                end = "ended without making it" if makers[0].over else f"took over {_AWAIT:g} s"
                why = f"but rule {makers[0].name} {end}"
            raise _FailedError(work, failed(f"it waits for {path}, {why}").result)

    def _end_services(self, number: int) -> None:
        """End the services that no later layer reads."""
        needed = self._read_after(number)
        for work in self._running:
            if not any(output.path in needed for output in work.step.outputs):
                work.stop(signal.SIGTERM)
        until = time.monotonic() + _GRACE
        while stopping := [work for work in self._running if work.stopped]:
            left = until - time.monotonic()
            if left <= 0:
                for work in stopping:
                    work.stop(signal.SIGKILL)
            self._wait(left if left > 0 else None)

    def _read_after(self, number: int) -> set[str]:
        return {
            path
            for layer in self._layers[number + 1 :]
            for work in layer
            for path in (*work.step.inputs, *work.step.awaited)
        }

    def _remove_temporary(self, number: int) -> None:
        """Remove the files that no later layer reads, in a group."""
        if self._alone or not self._temporary:
            return
        needed = self._read_after(number)
        for work in self._layers[number]:
            for path in (*work.step.inputs, *(output.path for output in work.step.outputs)):
                if path in self._temporary and path not in needed:
                    remove(path, directory=True)

    def _try(self, work: Work, action: Callable[[], object]) -> object:
        try:
            return action()
        except StepError as error:
            raise _FailedError(work, error.result) from error

    def _named(self, work: Work, result: Result) -> Result:
        """Return a result whose message names the rule, if there are several."""
        ended = result.exit_code or result.signal
        if result.reason == PAYLOAD_FAILED and ended:
            subject = "the command" if self._alone else f"rule {work.name}"
            return replace(result, message=f"{subject} {result.message}")
        if self._alone or result.reason == KILLED:
            return result
        return replace(result, message=f"rule {work.name}: {result.message}")
