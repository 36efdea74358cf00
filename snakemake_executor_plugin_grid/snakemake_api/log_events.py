"""Events for the logger plugins of Snakemake (``--logger``)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo


class StartedJobs:
    """Reports that jobs run on the grid.

    Snakemake reports that jobs have started when it selects them, before it describes them: logger
    plugins then do not know these jobs. They would count the time in the queue as running time.
    """

    def __init__(self) -> None:
        """Start without jobs."""
        self._reported: set[str] = set()

    def report(self, running: Iterable[str], infos: Mapping[str, SubmittedJobInfo]) -> None:
        """Report the jobs that run now and did not run before.

        Args:
            running: Names of the jobs that run.
            infos: The jobs that Snakemake waits for, by name.
        """
        new = [name for name in running if name in infos and name not in self._reported]
        if not new:
            return
        self._reported.update(new)
        from snakemake.logging import logger
        from snakemake_interface_logger_plugins.common import LogEvent

        ids = [number for name in new for number in _ids(infos[name].job)]
        # The user reads about these jobs in other lines: this record shows neither in the terminal,
        # which leaves out empty messages, nor in the log file, which begins at INFO.
        record = logger.makeRecord(
            logger.name,
            logging.DEBUG,
            __file__,
            0,
            "",
            (),
            None,
            extra={"event": LogEvent.JOB_STARTED, "jobs": ids},
        )
        logger.handle(record)


def _ids(job: Any) -> list[int]:
    """Return the ids by which Snakemake describes a job, or the members of a group."""
    return [member.jobid for member in job.jobs] if job.is_group() else [job.jobid]
