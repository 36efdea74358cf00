"""Which ``temp()`` files Snakemake removes when a job has ended (``DAG.handle_temp``, 9.27)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def removed_files(workflow: Any, job: Any, members: Iterable[Any]) -> list[Any]:
    """Return the temporary outputs of a job that Snakemake removes at its end.

    ``DAG.get_unneeded_temp_files`` names more: outputs of jobs that are the targets of the run
    (``--until``, ``--batch``), outputs of checkpoints, and all of them with ``--notemp``. Those
    stay, and later runs may use them.

    Args:
        workflow: ``snakemake.workflow.Workflow``.
        job: ``snakemake.jobs.Job`` or ``GroupJob``.
        members: The job, or the members of the group.
    """
    storage = workflow.storage_settings
    if storage is not None and storage.notemp:
        return []
    dag = workflow.dag
    unneeded = list(dag.get_unneeded_temp_files(job))
    if not unneeded:
        return []
    staying = set(dag.targetfiles)
    read = set()
    for member in members:
        is_target = member in dag.targetjobs and member.rule.name != workflow.default_target
        if member.is_checkpoint or is_target:
            staying.update(member.output)
        read.update(member.input)
    # What a member of a group reads of another one is removed in any case.
    return [path for path in unneeded if path in read or path not in staying]
