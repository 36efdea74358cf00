"""What the engine makes of reports and files of workers that lie."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.engine import run
from snakemake_executor_plugin_grid.journal.reader import JournalReader
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.model.tracked import Outcome, TrackedJob
from snakemake_executor_plugin_grid.worker.description import Output
from tests.unit.fickle import Bench
from tests.unit.specs import spec, tracked

HOSTILE = "\x1b]0;title\x07\x1b[31mtext\r"


def job_of(bench: Bench, **fields: Any) -> TrackedJob:
    job = tracked(spec("j-1", **fields))
    bench.journal.submitting([job])
    bench.journal.submitted({"j-1": "id-1"})
    job.grid_id, job.status = "id-1", JobStatus(JobState.DONE)
    bench.outputs.incoming(job).mkdir(parents=True)
    return job


def install(bench: Bench, job: TrackedJob, report: object) -> Outcome:
    text = report if isinstance(report, str) else json.dumps(report)
    (bench.outputs.incoming(job) / "report.json").write_text(text)
    bench.outputs.fetch(job)
    return bench.outputs.install(job, bench.outcomes)


@pytest.mark.parametrize(
    "report",
    [
        '{"returned": ' + 100_000 * "[",
        {"name": "j-1", "reason": ["success"], "returned": []},
        {"name": "j-1", "reason": "success", "returned": [], "times": {"running": "x"}},
        {"name": ["j-1"], "reason": "success", "returned": []},
        {"name": "j-1", "reason": "success", "returned": [], "blobs": {"../../x": 1}},
        {"name": "j-1", "reason": "success", "returned": [], "undeclared": [["x"]]},
        [],
    ],
)
def test_damaged_report_fails_its_job_in_plain_words(
    bench: Bench, tmp_path: Path, report: object
) -> None:
    job = job_of(bench)
    before = sorted(path for path in tmp_path.rglob("*") if "incoming" not in path.parts)
    outcome = install(bench, job, report)
    assert not outcome.success
    assert "its report is damaged" in outcome.message
    for sign in ("operand", "recursion", "must be", "'list' object", "NoneType"):
        assert sign not in outcome.message
    assert sorted(path for path in tmp_path.rglob("*") if "incoming" not in path.parts) == before


def failed(**fields: Any) -> dict[str, Any]:
    return {"name": "j-1", "reason": "payload failed", "returned": [], **fields}


def test_texts_of_a_worker_are_clean_in_message_and_journal(bench: Bench, tmp_path: Path) -> None:
    job = job_of(bench)
    (bench.outputs.incoming(job) / "payload.log").write_text(f"{HOSTILE}\nlast\n")
    outcome = install(bench, job, failed(message=HOSTILE, host=HOSTILE, site=HOSTILE))
    assert outcome.message.replace("\n", "").isprintable()
    assert outcome.site == "text "
    with JournalReader(tmp_path) as reader:
        (record,) = reader.jobs()
    assert record.detail.isprintable()
    assert record.report["host"] == "text "


@pytest.mark.parametrize("size", [3, 5])
def test_blob_of_another_size_than_reported_is_refused(bench: Bench, size: int) -> None:
    data = b"made"
    digest = hashlib.sha256(data).hexdigest()
    job = job_of(bench, outputs=(Output("work/a"),))
    inbox = Path(bench.store.inbox("j-1").removeprefix("file://"))
    inbox.mkdir(parents=True)
    (inbox / digest).write_bytes(data)
    member = {"name": "work/a", "kind": "file", "mode": 0o644, "size": size, "mtime_ns": 1}
    entry = {"member": {**member, "sha256": digest}, "kind": "output", "blob": digest, "raw": True}
    report = {"name": "j-1", "reason": "success", "returned": [entry], "blobs": {digest: size}}
    with pytest.raises(GridError, match=f"has 4 bytes.*report says {size}"):
        install(bench, job, report)


def test_lines_to_the_user_do_not_command_the_terminal() -> None:
    said: list[str] = []
    run.clean(said.append)(f"ignored: {HOSTILE}\nnext")
    assert said == ["ignored: text \nnext"]
