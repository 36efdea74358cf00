"""What logger plugins are told: breaks when Snakemake changes its events."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.jobs import GroupJob
from snakemake.logging import ColorizingTextHandler, DefaultFormatter, logger
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_executor_plugin_grid.snakemake_api.log_events import StartedJobs
from tests.unit.snakemake_api.conftest import Build


class Recorder(logging.Handler):
    """A logger plugin that keeps the jobs that have started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[list[int]] = []

    def emit(self, record: Any) -> None:
        if getattr(record, "event", None) is LogEvent.JOB_STARTED:
            self.started.append(record.jobs)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    handler = Recorder()
    monkeypatch.setattr(logger, "handlers", [handler])
    return handler


def info(number: int) -> SubmittedJobInfo:
    job: Any = SimpleNamespace(jobid=number, is_group=lambda: False)
    return SubmittedJobInfo(job)


def test_a_job_starts_once(recorder: Recorder) -> None:
    started, infos = StartedJobs(), {"a": info(1), "b": info(2), "c": info(3)}
    started.report([], infos)
    started.report(["b"], infos)
    started.report(["a", "b", "gone"], infos)
    started.report(["b"], infos)
    assert recorder.started == [[2], [1]]


def test_the_members_of_a_group_start(build: Build, request: pytest.FixtureRequest) -> None:
    workflow = build()
    recorder: Recorder = request.getfixturevalue("recorder")  # after Snakemake has set its handlers
    members = [workflow.job("show", sample="one"), workflow.job("show", sample="two")]
    group = GroupJob("pair", members, {})
    StartedJobs().report(["g"], {"g": SubmittedJobInfo(group)})
    assert recorder.started == [[member.jobid for member in members]]


def test_nothing_is_shown_and_nothing_goes_to_the_log_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, shown = logging.FileHandler(tmp_path / "log"), io.StringIO()
    file.setLevel(logging.INFO)  # as Snakemake does
    handlers = [ColorizingTextHandler(stream=shown), file]
    for handler in handlers:
        handler.setFormatter(DefaultFormatter(set()))
    monkeypatch.setattr(logger, "handlers", handlers)
    StartedJobs().report(["a"], {"a": info(1)})
    file.close()
    assert (tmp_path / "log").read_text() == shown.getvalue() == ""
