"""Logger plugins (``--logger``) follow the jobs on the grid."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

PLUGIN = """
import json

from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    writes_to_stream = writes_to_file = False
    has_filter = has_formatter = True
    needs_rulegraph = False

    def emit(self, record):
        if event := getattr(record, "event", None):
            jobs = getattr(record, "jobs", [getattr(record, "jobid", getattr(record, "job_id", 0))])
            with open("events.jsonl", "a") as out:
                for job in jobs:
                    if isinstance(job, int):
                        print(json.dumps([event.value, job, record.created]), file=out)
"""
QUEUED = """
rule all:
    input: "1.txt", "2.txt"

rule one:
    output: "{i}.txt"
    shell: "sleep 2; touch {output}"
"""


def events(project: Project) -> dict[int, list[tuple[str, float]]]:
    """Return the events of each job of the grid, with their times."""
    found = defaultdict(list)
    for line in project.read("events.jsonl").splitlines():
        event, job, seconds = json.loads(line)
        if job and event.startswith("job_"):
            found[job].append((event, seconds))
    return found


def test_a_job_that_waits_in_a_queue_starts_when_it_runs(project: Project, tmp_path: Path) -> None:
    project.put("Snakefile", QUEUED)
    plugin = tmp_path / "plugins" / "snakemake_logger_plugin_events"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(PLUGIN)
    paths = [str(plugin.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    project.environment = {"PYTHONPATH": os.pathsep.join(paths)}
    project.run("--logger", "events", "--grid-local-cores", "1").succeeded()
    jobs = events(project)
    assert len(jobs) == 2
    waited = []
    for seen in jobs.values():
        # Snakemake reports the start before plugins know the job.
        assert [event for event, _ in seen] == [
            *("job_started", "job_info", "job_started", "job_finished")
        ]
        _, (_, described), (_, started), _ = seen
        waited.append(started - described)
    assert max(waited) > 2
