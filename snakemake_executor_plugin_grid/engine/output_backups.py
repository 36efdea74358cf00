"""Keeps outputs of earlier runs that Snakemake deletes when a job fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..journal.backups import Backups
from ..snakemake_api.records import protect_outputs, record_again, records_of
from ..snakemake_api.workflow import WorkflowApi, is_flagged, is_local_file


class OutputBackups:
    """Backs these outputs up before Snakemake deletes them, and restores them afterwards.

    Those on the grid stay where they are.
    """

    def __init__(
        self, workflow_api: WorkflowApi, workdir: Path, backups: Backups, *, enabled: bool
    ) -> None:
        """Use backups.

        Args:
            workflow_api: Snakemake's workflow.
            workdir: Working directory.
            backups: Where the outputs are kept.
            enabled: Whether Snakemake deletes them.
        """
        self._workflow_api = workflow_api
        self._workdir = workdir
        self._backups = backups
        self._enabled = enabled
        self._records: dict[Any, list[tuple[Any, Any, Any]]] = {}

    def keep(self, job: Any, *, never_ran: bool) -> None:
        """Keep outputs that the failed job has not changed, before Snakemake deletes them.

        Args:
            job: The job.
            never_ran: Whether it was not even submitted: then all its old outputs are kept,
                otherwise only those that it updates in place.
        """
        members = self._workflow_api.members(job)
        if never_ran:
            protect_outputs(members)
        self._records[job] = records_of(members)
        if self._enabled:
            self._backups.keep(self._outputs(job, only_updated=not never_ran))

    def restore(self, job: Any) -> None:
        """Put them back, and what was recorded of those that stay."""
        record_again(self._records.pop(job, ()))
        self._backups.restore(self._outputs(job))

    def _outputs(self, job: Any, *, only_updated: bool = False) -> list[Path]:
        return [
            self._workdir / str(path)
            for member in self._workflow_api.members(job)
            for path in member.output
            if is_local_file(path) and (not only_updated or is_flagged(path, "update"))
        ]
