"""Decides what jobs run, as far as the user wants that; tells which jobs need Snakemake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..console.format import listed, sentence
from ..console.once import once
from ..model.errors import GridError
from ..settings.choices import DECIDE
from ..settings.options import ExecutorSettings
from ..snakemake_api.deciding.decided import Decided, NotYet, Unsupported
from ..snakemake_api.deciding.job import Decider, fixed_resource, needs_snakemake
from ..snakemake_api.workflow import WorkflowApi
from ..staging.paths import Layout
from .sources import Filters, filters_of

_MOST_LINES = 5


class Deciding:
    """Applies ``--grid-decide`` to the jobs of a run."""

    def __init__(
        self,
        decider: Decider,
        mode: str,
        filters: Filters,
        say: Callable[[str], None],
        *,
        early: bool = False,
    ) -> None:
        """Store the arguments.

        Args:
            decider: Turns jobs into decisions.
            mode: ``--grid-decide``: one of ``choices.DECIDE``.
            filters: Know which files must not be sent.
            say: Shows a line to the user.
            early: Whether inputs of jobs may be missing, as in a preview.
        """
        self._decider = decider
        self._mode = mode
        self._filters = filters
        self._say = once(say)
        self._early = early
        self._told: set[str] = set()
        self._lines: Counter[str] = Counter()

    def expects(self, job: Any) -> bool:
        """Return whether a job will be decided, as far as its rules tell before its inputs exist.

        The user is told why a job will not.

        Args:
            job: Snakemake's job or group.
        """
        mode = fixed_resource(job, "grid_decide") or self._mode
        if mode == "never":
            return False
        if why := needs_snakemake(job):
            if mode == "auto":
                self._say(_needs(job, why))
            return False
        return True

    def of(self, job: Any, own: str | None = None) -> Decided | None:
        """Return what a job runs; None if Snakemake on the worker decides that.

        Args:
            job: Snakemake's job or group.
            own: Value of its resource ``grid_decide``, None without.

        Raises:
            GridError: It cannot be decided, although it has to be; or the resource has no value
                that is known.
        """
        mode = self._mode if own is None else own
        if mode not in DECIDE:
            raise GridError(
                f"resource grid_decide: unknown value {mode!r}; choose from {', '.join(DECIDE)}"
            )
        if mode == "never":
            return None
        try:
            decided = self._decider.decide(job)
        except Unsupported as why:
            if self._early and isinstance(why, NotYet):
                self._say(f"{_kind(job)} {job.name}: what it runs is known later, as {why}.")
                return None
            if mode == "always":
                raise GridError(
                    f"it needs Snakemake on the worker: {why}. --grid-decide always (or the "
                    "resource grid_decide) refuses that; with auto, Snakemake runs there"
                ) from None
            self._say(_needs(job, str(why)))
            return None
        decided = self._without_excluded(decided)
        self._tell_undeclared(
            job,
            decided.undeclared,
            "This is sent; declare it, so that Snakemake runs the rule again when it changes",
        )
        self._tell_undeclared(
            job, decided.large, "This is not sent, as it is large; declare it, if the job reads it"
        )
        if decided.packages:
            self._say(
                f"{_kind(job)} {job.name}: the Python of the worker needs "
                f"{listed(list(decided.packages))} to read the params or the config of its script."
            )
        return decided

    def _tell_undeclared(self, job: Any, files: Iterable[str], what: str) -> None:
        """Name files that are not declared, each once, in few lines a rule; say what is done."""
        new = [file for file in files if file not in self._told]
        self._told.update(new)
        if not new or self._lines[job.name] == _MOST_LINES:
            return
        self._lines[job.name] += 1
        more = " (further ones are not listed)" if self._lines[job.name] == _MOST_LINES else ""
        self._say(
            f"{_kind(job)} {job.name}: its command, or a param of its script, names {listed(new)}, "
            f"which no rule declares as input. {what}{more}."
        )

    def _without_excluded(self, decided: Decided) -> Decided:
        """Leave out what ``--grid-exclude`` names, and files that hold credentials."""
        kept = {
            name: path
            for name, path in decided.files.items()
            if not self._filters.excludes(path, name)
        }
        undeclared = tuple(filter(kept.__contains__, decided.undeclared))
        return replace(decided, files=kept, undeclared=undeclared)


def make_deciding(
    workflow: Any,
    workflow_api: WorkflowApi,
    layout: Layout,
    say: Callable[[str], None],
    *,
    early: bool = False,
) -> Deciding:
    """Return what decides the jobs of a workflow; arguments as of `Deciding`."""
    settings: ExecutorSettings = workflow.executor_settings
    decider = Decider(workflow, layout.on_worker, workflow_api.product_names)
    return Deciding(decider, settings.decide, filters_of(settings), say, early=early)


def _needs(job: Any, why: str) -> str:
    return sentence(f"{_kind(job)} {job.name} needs Snakemake on the worker: {why}")


def _kind(job: Any) -> str:
    return "group" if job.is_group() else "rule"
