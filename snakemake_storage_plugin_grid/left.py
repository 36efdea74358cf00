"""Files that jobs of earlier runs may have made: this run has to ask these jobs first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import queries

if TYPE_CHECKING:
    from collections.abc import Iterable


class LeftOutputs:
    """Finds the outputs of jobs that earlier runs have left, where this run can ask these jobs.

    Without the executor ``grid`` nobody would ask them, so then there are none. A file that no rule
    makes any more has no job in this run, so it is what the catalog says.
    """

    def __init__(self) -> None:
        """Remember the workflow for which Snakemake makes a provider now."""
        from snakemake_executor_plugin_grid.snakemake_api.producers import workflow_being_parsed

        self._workflow: Any = workflow_being_parsed()

    def unheld(self, prefix: Path) -> Iterable[str]:
        """Return the names of such files, the first time only.

        Args:
            prefix: Folder of local copies.
        """
        workflow, self._workflow = self._workflow, None
        if workflow is None:
            return ()
        from snakemake_executor_plugin_grid.journal.database import FOLDER
        from snakemake_executor_plugin_grid.journal.left_outputs import left_outputs
        from snakemake_executor_plugin_grid.settings.base import ObservedSettings
        from snakemake_executor_plugin_grid.snakemake_api.producers import is_made

        settings = ObservedSettings.latest
        if settings is None:
            return ()
        return [
            name
            for name in left_outputs(FOLDER.absolute(), settings.backend)
            if not queries.problem_with(name)
            and is_made(workflow, str(prefix / queries.local_suffix(name)))
        ]
