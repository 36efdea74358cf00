"""What a failed job leaves to read is shown, and noted in the journal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console.job_logs import JobLogs
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.description import (
    DELIVERY_FOLDER,
    LOG_FILE,
    REPORT_FILE,
    Output,
)
from snakemake_executor_plugin_grid.worker.report import Report, Returned
from tests.unit.console.worker_logs import failed_rule
from tests.unit.fickle import Bench
from tests.unit.specs import spec, tracked


def test_the_logs_of_a_failed_rule_are_shown_and_noted(bench: Bench) -> None:
    text = b"fit did not converge\n"
    digest = hashlib.sha256(text).hexdigest()
    member = Member("work/logs/a.log", "file", 0o644, len(text), 0, digest)
    report = Report(
        "a-1",
        reports.PAYLOAD_FAILED,
        "the payload ended with exit code 1",
        returned=[Returned(member, "log", digest, raw=True)],
        blobs={digest: len(text)},
    )
    job = tracked(spec("a-1", outputs=(Output("work/logs/a.log", "log", required=False),)))
    bench.journal.submitting([job])
    folder = bench.outputs.incoming(job)
    (folder / DELIVERY_FOLDER).mkdir(parents=True)
    (folder / DELIVERY_FOLDER / digest).write_bytes(text)
    (folder / LOG_FILE).write_text(failed_rule(3))
    report.write(folder / REPORT_FILE)
    outcome = bench.outputs.install(job, bench.outcomes)
    assert not outcome.success
    assert "payload failed: exit status 3" in outcome.message
    assert "Last lines of logs/a.log:\n    fit did not converge\n" in outcome.message
    ((detail, noted),) = bench.database.query("SELECT detail, report FROM jobs")
    assert "exit status 3" in detail
    assert json.loads(noted)["logs"] == ["logs/a.log"]


@pytest.mark.parametrize("success", [False, True])
def test_many_logs_fill_neither_the_journal_nor_the_message(bench: Bench, success: bool) -> None:
    names = [f"logs/{number}.log" for number in range(50_000)]
    job, report = tracked(spec("a-1")), Report("a-1", reports.PAYLOAD_FAILED)
    bench.journal.submitting([job])
    if success:
        bench.outcomes.success(job, report, names)
    else:
        logs = JobLogs(rule_logs={name: Path(name) for name in names})
        assert len(bench.outcomes.failure(job, "it failed", logs, report).message) < 1000
    ((noted,),) = bench.database.query("SELECT report FROM jobs")
    assert json.loads(noted)["logs"] == names[:100]
