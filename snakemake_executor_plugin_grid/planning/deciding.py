"""Decides what jobs run, as far as the user wants that; tells which jobs need Snakemake."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..console.format import listed
from ..model.errors import GridError
from ..settings.choices import DECIDE
from ..snakemake_api.deciding.decided import Decided, Unsupported
from ..snakemake_api.deciding.job import Decider
from ..snakemake_api.workflow import WorkflowApi
from ..staging.paths import Layout


class Deciding:
    """Applies ``--grid-decide`` to the jobs of a run."""

    def __init__(self, decider: Decider, mode: str, say: Callable[[str], None]) -> None:
        """Store the arguments.

        Args:
            decider: Turns jobs into decisions.
            mode: ``--grid-decide``: one of ``choices.DECIDE``.
            say: Shows a line to the user, the first time only.
        """
        self._decider = decider
        self._mode = mode
        self._say = say

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
            if mode == "always":
                raise GridError(
                    f"it needs Snakemake on the worker: {why}. --grid-decide always (or the "
                    "resource grid_decide) refuses that; with auto, Snakemake runs there"
                ) from None
            self._say(f"{_kind(job)} {job.name} needs Snakemake on the worker: {why}.")
            return None
        if decided.undeclared:
            files = listed(list(decided.undeclared))
            self._say(
                f"{_kind(job)} {job.name}: its command names {files}, which no rule declares as "
                "input. It is sent; declare it, so that Snakemake runs the rule again when it "
                "changes."
            )
        if decided.packages:
            self._say(
                f"{_kind(job)} {job.name}: the Python of the worker needs "
                f"{listed(list(decided.packages))} to read the params or the config of its script."
            )
        return decided


def make_decider(workflow: Any, workflow_api: WorkflowApi, layout: Layout) -> Decider:
    """Return what decides the jobs of a workflow."""

    def products() -> frozenset[str]:
        return frozenset(map(os.path.normpath, workflow_api.products()))

    return Decider(workflow, layout.on_worker, products)


def _kind(job: Any) -> str:
    return "group" if job.is_group() else "rule"
