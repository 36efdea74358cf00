"""One step at work: what comes before its commands, the commands, and what comes after."""

from __future__ import annotations

import os

from ..processes import signal_name
from ..report import PAYLOAD_FAILED
from .commands import Line, compose, filled
from .decision import Step
from .errors import StepError, failed, lacking
from .outputs import check_outputs, make_folder, make_logs, prepare_outputs, remove
from .place import Place
from .result import Result
from .spawn import signal_group, spawn

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

    from .benchmark import Sampler


class Work:
    """A step at work.

    Attributes:
        step: The step, with paths in the place of marks.
        pid: Process and process group of the command that runs; 0 without.
        sampler: Measures it for a benchmark.
        stopped: Whether it was ended because it is no longer needed.
        over: Whether all its commands have ended, or one has failed.
    """

    def __init__(self, step: Step, place: Place) -> None:
        """Begin nothing yet."""
        self.step = filled(step, place.values(step))
        self.pid = 0
        self.sampler: Sampler | None = None
        self.stopped = False
        self.over = False
        self._place = place
        self._line: Line | None = None
        self._left = list(step.commands)
        self._rows: list[dict[str, Any]] = []

    @property
    def concurrent(self) -> bool:
        """Whether it has to run at the same time as others of its layer."""
        step = self.step
        return bool(
            step.service or step.awaited or any(one.pipe or one.service for one in step.outputs)
        )

    @property
    def name(self) -> str:
        """Rule and wildcards."""
        values = ", ".join(f"{key}={value}" for key, value in self.step.wildcards)
        return f"{self.step.rule} ({values})" if values else self.step.rule

    def prepare(self) -> None:
        """Make folders and FIFOs, and check that the inputs exist.

        Raises:
            StepError: An input is missing, or a folder cannot be made.
            OSError: Disk full, and the like.
        """
        step = self.step
        if step.commands:
            tmpdir = self._place.environment(step)["TMPDIR"]
            os.makedirs(tmpdir, exist_ok=True)
            prepare_outputs(step.outputs, step.inputs)
            for path in step.logs:
                if path not in step.inputs:
                    remove(path)
                make_folder(path)
            if step.benchmark:
                make_folder(step.benchmark.path)
        if missing := [path for path in step.inputs if not os.path.exists(path)]:
            raise failed(
                f"inputs are missing on the worker node: {', '.join(missing)}; declare what the "
                "rule reads as input"
            )

    @property
    def awaits(self) -> list[str]:
        """Pipes and files of services that do not exist yet."""
        return [path for path in self.step.awaited if not os.path.exists(path)]

    def advance(self) -> bool:
        """Start the next command; return whether there was one.

        Raises:
            StepError: The node lacks a program.
            FolderError: The value of a mark cannot stand where the mark does.
            OSError: Disk full, and the like.
        """
        if not self._left:
            self.over = True
            return False
        self._line = compose(self._left.pop(0), self.step, self._place)
        try:
            self.pid = spawn(self._line.argv, self._line.env)
        except BaseException:
            self._line.clean()
            raise
        if self.step.benchmark:
            from .benchmark import Sampler

            self.sampler = Sampler(self.pid)
        return True

    def ended(self, status: int) -> None:
        """Take the end of a command.

        Args:
            status: From `os.waitpid`.

        Raises:
            StepError: It failed.
        """
        self.pid = 0
        if self.sampler is not None:
            self._rows.append(self.sampler.row())
            self.sampler = None
        begun = self._line is None or self._line.has_begun
        if self._line is not None:
            self._line.clean()
        self.over = self.stopped
        if not self.stopped and not begun and os.WIFEXITED(status):
            self.over = True
            raise lacking(
                f"the command was not reached (exit code {os.WEXITSTATUS(status)}): the container "
                "engine or the lines of --grid-runtime-setup failed, see the log; or these have "
                "replaced the shell, as exec does"
            )
        if status and not self.stopped:
            self.over = True
            raise StepError(_result(status))

    def finish(self) -> None:
        """Check the outputs when the last command has ended.

        Raises:
            StepError: An output is missing or wrong.
            OSError: Disk full, and the like.
        """
        step = self.step
        benchmark = ""
        if step.benchmark and step.commands and not self.stopped:
            from .benchmark import write_benchmark

            benchmark = step.benchmark.path
            write_benchmark(step.benchmark, benchmark, self._rows, step.inputs)
        check_outputs(step.outputs, step.logs, benchmark)

    def abandon(self) -> None:
        """Make the logs of a step that failed, or that others have ended."""
        if self._line is not None:
            self._line.clean()
        try:
            make_logs(self.step.logs)
        except OSError as error:
            os.write(2, f"grid: no log of rule {self.name}: {error}\n".encode())

    def stop(self, number: int) -> None:
        """Send a signal to the processes of the command."""
        if self.pid:
            self.stopped = True
            signal_group(self.pid, number)


def _result(status: int) -> Result:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return Result(PAYLOAD_FAILED, f"was killed by {signal_name(number)}", None, number)
    code = os.WEXITSTATUS(status)
    return Result(PAYLOAD_FAILED, f"ended with exit code {code}", code)
