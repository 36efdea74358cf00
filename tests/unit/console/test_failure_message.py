from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import failure_message as messages
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.report import Report
from tests.unit.specs import spec

WORKDIR = Path("/home/me/analysis")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "payload.log"


def test_failure_tells_all(log: Path) -> None:
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    text = messages.failure(spec("j"), "17", "local", "it broke", log, ["logs/a", "logs/b"])
    lines = text.splitlines()
    assert lines[0] == "rule sort (sample=a), local job 17: it broke."
    assert lines[2] == "    line 80"
    assert lines[-3:] == [
        "    line 99",
        f"Its whole output: {log}",
        "Logs of the rule: logs/a, logs/b",
    ]
    assert text.endswith("\n")


def test_failure_before_submission() -> None:
    text = messages.failure(spec("j", wildcards=()), None, "local", "input x does not exist")
    assert text == "rule sort, not submitted: input x does not exist.\n"


def test_failure_without_output(log: Path) -> None:
    log.write_text("\n\n")
    assert messages.failure(spec("j"), "17", "local", "killed", log).splitlines() == [
        "rule sort (sample=a), local job 17: killed.",
        f"Its whole output: {log}",
    ]


def reason(log: Path, **fields: object) -> str:
    report = Report("j", host="node1")
    for name, value in fields.items():
        setattr(report, name, value)
    return messages.reason_of(report, WORKDIR, log)


def test_reason_names_host_and_site(log: Path) -> None:
    assert reason(log, reason=reports.KILLED) == "killed (host node1)"
    text = reason(log, reason=reports.KILLED, message="it was killed from outside", site="CERN")
    assert text == "killed: it was killed from outside (host node1, site CERN)"


def test_missing_output_names_what_was_made_instead(log: Path) -> None:
    text = reason(
        log,
        reason=reports.OUTPUT_MISSING,
        message="did not make a.txt",
        undeclared=["work/A.txt", "up1/b.txt"],
    )
    assert text.endswith("; files it made that no rule names: A.txt, b.txt")


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (f"open {WORKDIR}/data.csv failed", f"mentions {WORKDIR}, which exists on the submit host"),
        ("cat: x: No such file or directory", "--grid-include"),
        ("FileNotFoundError: x", "--grid-include"),
        ("MissingInputException in rule a", "--grid-include"),
        ("python: No module named snakemake", "--grid-runtime"),
    ],
)
def test_output_of_the_payload_gives_a_hint(log: Path, output: str, hint: str) -> None:
    log.write_text(output)
    assert hint in reason(log, reason=reports.PAYLOAD_FAILED)
    assert hint not in reason(log, reason=reports.KILLED)


def test_other_output_gives_no_hint(log: Path) -> None:
    log.write_text("ValueError: x")
    expected = "payload failed (host node1)"
    assert reason(log, reason=reports.PAYLOAD_FAILED) == expected
    log.unlink()
    assert reason(log, reason=reports.PAYLOAD_FAILED) == expected


def test_no_report() -> None:
    status = JobStatus(JobState.FAILED, "Stalled")
    assert messages.without_report(status) == "it ended as failed and no report came back: Stalled"
    done = messages.without_report(JobStatus(JobState.DONE))
    assert done == "it ended as done and no report came back"


def test_tail_of_a_long_log_is_read_from_its_end(log: Path) -> None:
    log.write_bytes(b"\xff" * 100_000 + b"\nlast but one\n\n  \nlast\n")
    assert messages.read_tail(log, 2) == ["last but one", "last"]


def test_tail_of_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    assert messages.read_tail(tmp_path / "missing") == []
    assert messages.read_tail(tmp_path) == []


def test_the_words_of_the_payload_are_shown_without_those_of_snakemake(log: Path) -> None:
    announced = (
        "[Sat Nov 21 01:24:50 2026]\nrule a:\n    reason: Forced execution\n    resources: x\n"
    )
    error = "[Sat Nov 21 01:24:51 2026]\nError in rule a:\n    jobid: 0\n"
    said = "Error in f(x) : as R says\nlast words\n"
    log.write_text(f"Building DAG of jobs...\n{announced}{said}{error}Removing output\n{error}")
    text = messages.failure(spec("a-1"), "7", "local", "it broke", log)
    shown = text.partition("Last lines of its output:\n")[2].partition("Its whole output")[0]
    assert shown.split("\n") == ["    Error in f(x) : as R says", "    last words", ""]


@pytest.mark.parametrize(
    "line",
    [
        "Error: The package snakemake-storage-plugin-s3 is not installed.",
        "No storage provider found for query s3://bucket/in.txt. Either install the required",
        "__main__.py: error: unrecognized arguments: --latency --storage-s3-retries=3",
    ],
)
def test_a_missing_storage_plugin_is_explained(log: Path, line: str) -> None:
    log.write_text(f"{line}\n")
    text = reason(log, reason=reports.PAYLOAD_FAILED)
    assert "lacks a storage plugin" in text
    assert "--grid-runtime wheels" in text
