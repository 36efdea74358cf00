from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import failure_message as messages
from snakemake_executor_plugin_grid.console.hints import Maker
from snakemake_executor_plugin_grid.console.job_logs import JobLogs
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.report import Report
from tests.unit.specs import spec

from .worker_logs import failed_rule

WORKDIR = Path("/home/me/analysis")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "payload.log"


def test_failure_tells_all(log: Path) -> None:
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    rule_logs = {"logs/a": log.with_name("a"), "logs/b": log.with_name("b")}
    rule_logs["logs/a"].write_text("said in the log\n")
    rule_logs["logs/b"].write_text("\n")
    logs = JobLogs.read(log, rule_logs)
    text = messages.failure(spec("j"), "17", "local", "it broke", logs, "https://monitor/17")
    lines = text.splitlines()
    assert lines[:5] == [
        "rule sort (sample=a), local job 17: it broke.",
        "Last lines of logs/a:",
        "    said in the log",
        "Last lines of its output:",
        "    line 80",
    ]
    assert lines[-4:] == [
        "    line 99",
        "Other logs of the rule: logs/b",
        f"Its whole output: {log}",
        "On the web: https://monitor/17",
    ]
    assert text.endswith("\n")


def test_failure_before_submission() -> None:
    text = messages.failure(spec("j", wildcards=()), None, "local", "input x does not exist")
    assert text == "rule sort, not submitted: input x does not exist.\n"


def test_failure_without_output(log: Path) -> None:
    log.write_text("\n\n")
    text = messages.failure(spec("j"), "17", "local", "killed", JobLogs.read(log))
    assert text.splitlines() == [
        "rule sort (sample=a), local job 17: killed.",
        f"Its whole output: {log}",
    ]


def no_maker(path: str) -> str:
    return ""


def reason(log: Path, made_by: Maker = no_maker, **fields: object) -> str:
    report = Report("j", host="node1")
    for name, value in fields.items():
        setattr(report, name, value)
    return messages.reason_of(report, WORKDIR, JobLogs.read(log), made_by)


def test_reason_names_host_and_site(log: Path) -> None:
    assert reason(log, reason=reports.KILLED) == "killed (host node1)"
    text = reason(log, reason=reports.KILLED, message="it was killed from outside", site="CERN")
    assert text == "killed: it was killed from outside (host node1, site CERN)"


def test_no_report() -> None:
    status = JobStatus(JobState.FAILED, "Stalled")
    assert messages.without_report(status) == "it ended as failed and no report came back: Stalled"
    done = messages.without_report(JobStatus(JobState.DONE))
    assert done == "it ended as done and no report came back"


def test_the_reason_has_the_exit_status_of_the_command(log: Path) -> None:
    log.write_text(failed_rule(3))
    message = "the payload ended with exit code 1"
    text = reason(log, reason=reports.PAYLOAD_FAILED, message=message)
    assert text == "payload failed: exit status 3 (host node1)"
    killed = reason(log, reason=reports.KILLED, message="by SIGTERM")
    assert killed == "killed: by SIGTERM (host node1)", "the end of Snakemake counts"
