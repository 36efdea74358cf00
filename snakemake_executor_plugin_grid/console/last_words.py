"""The last line of a run: what has become of its jobs."""

from __future__ import annotations

import atexit
import contextlib
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping

from ..model.job import title
from ..snakemake_api.files_read import by_command_line


class Tally:
    """Counts the jobs of a run. Resubmissions and Snakemake's retries are not jobs of their own."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._jobs: set[object] = set()
        self._back: set[object] = set()
        self._succeeded: set[object] = set()
        self._failed: dict[object, str] = {}

    def began(self, jobs: Iterable[object]) -> None:
        """Count jobs; those that are tried again are known already."""
        self._jobs.update(jobs)

    @property
    def came_back(self) -> int:
        """How many jobs have come back from the grid."""
        return len(self._back)

    def returned(self, job: object) -> None:
        """Note that a job has come back; whether it has failed is what is said of it from now."""
        self._back.add(job)
        self._failed.pop(job, None)

    def has_failed(self, job: object) -> bool:
        """Return whether it is known why a job has failed."""
        return job in self._failed

    def succeeded(self, job: object) -> None:
        """Note that a job has succeeded, perhaps after it has failed."""
        self._succeeded.add(job)
        self._failed.pop(job, None)

    def failed(
        self, job: object, rule: str, wildcards: Mapping[str, str], cause: str, *, has_log: bool
    ) -> None:
        """Note that a job has failed; it may be tried again.

        Args:
            job: The job.
            rule: Its rule.
            wildcards: Their values.
            cause: Why, in a few words.
            has_log: Whether ``snakemake-grid logs`` can show its output.
        """
        text = f"{title(rule, wildcards.items())}, {cause.strip().rstrip('.')}."
        if has_log:
            values = [shlex.quote(f"{key}={value}") for key, value in wildcards.items()]
            text += f" {' '.join(['snakemake-grid logs', shlex.quote(rule), *values])}"
        self._failed[job] = text

    def failures(self, for_good: Callable[[object], bool]) -> str:
        """Return how many jobs failed for good, and the first one; empty if none did."""
        texts = [text for job, text in self._failed.items() if for_good(job)]
        if not texts:
            return ""
        return f"{len(texts)} failed for good{', the first' if texts[1:] else ''}: {texts[0]}"

    def summary(self, for_good: Callable[[object], bool]) -> str:
        """Return what has become of all jobs; empty if there was none.

        Args:
            for_good: Returns whether a job that has failed is not tried again.
        """
        if not self._jobs:
            return ""
        counts = f"{len(self._succeeded)} of {len(self._jobs)} jobs succeeded"
        failures = self.failures(for_good)
        return f"{counts}, {failures}" if failures else f"{counts}."


class LastWords:
    """Prints a line after everything that Snakemake prints."""

    def __init__(self) -> None:
        """Have nothing to print."""
        self._text = ""
        self.set = False

    def leave(self, text: str) -> None:
        """Print a text when the program ends; if it is not Snakemake's own, print it now."""
        self._text, self.set = text, True
        if by_command_line():
            atexit.register(self.print)
        else:
            self.print()

    def print(self) -> None:
        """Print the text, once."""
        text, self._text = self._text, ""
        if text:
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                print(f"grid: {text}", file=sys.stderr, flush=True)
