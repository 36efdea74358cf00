from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.report import Report, Returned

FULL = Report(
    name="j",
    reason=reports.SUCCESS,
    message="ü",
    exit_code=0,
    host="node",
    wms_id="12",
    times={"received": 1.5},
    cpu_seconds=2.5,
    peak_memory_mb=10.0,
    bytes_in=1,
    bytes_out=2,
    returned=[
        Returned(Member("work/a", "file", 0o644, 3, 123456789, "a" * 64), "output", "b" * 64),
        Returned(Member("work/l", "link", 0o777, 0, 1, target="a"), "log", "c" * 64, raw=True),
    ],
    missing=["work/m"],
    undeclared=["work/u"],
    undeclared_count=5,
    left_out=["work/x: link"],
    blobs={"b" * 64: 4},
)


@pytest.mark.parametrize("report", [FULL, Report("j")])
def test_submit_host_reads_what_was_written(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.json"
    report.write(path)
    assert load_report(path) == report
    assert list(tmp_path.iterdir()) == [path]


def damage(**changes: object) -> str:
    fields = {"name": "j", "returned": []}
    return json.dumps({**fields, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"name": "j", ',
        "[]",
        "null",
        '"text"',
        "{",
        "{}",
        '{"name": "j"}',
        '{"name": "\\ud800',
        damage(returned=None),
        damage(returned=1),
        damage(returned=[1]),
        damage(returned=[{"kind": "output"}]),
        damage(returned=[{"kind": "output", "blob": ""}]),
        damage(returned=[{"member": 3, "kind": "output", "blob": ""}]),
        damage(returned=[{"member": None, "kind": "output", "blob": ""}]),
        damage(returned=[{"member": {"name": "a"}, "kind": "output", "blob": ""}]),
        damage(returned=[{"member": FULL.returned[0].member.to_json(), "surprise": 1}]),
        damage(surprise=1),
        damage(times={"ended": float("inf")}),
        damage(times=[1]),
        '{"returned": ' + 100_000 * "[",
        json.dumps({"returned": []}),
    ],
)
def test_damaged_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        load_report(path)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00{}", b"\x80\x81"])
def test_report_that_is_not_text_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"report\.json: damaged report"):
        load_report(path)


@pytest.mark.parametrize("blob", ["/etc/passwd", "../../x", 7, None, ["a"], "a" * 63])
def test_report_cannot_name_a_file_of_the_submit_host(tmp_path: Path, blob: object) -> None:
    path = tmp_path / "report.json"
    Report("n").write(path)
    fields = json.loads(path.read_text())
    member = {"name": "work/a", "kind": "file", "mode": 0, "size": 0, "mtime_ns": 0}
    fields["returned"] = [{"member": member, "kind": "output", "blob": blob, "raw": False}]
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="damaged"):
        load_report(path)


def test_missing_report_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_report(tmp_path / "report.json")


def test_first_failure_is_kept() -> None:
    report = Report("j")
    report.reason = reports.SUCCESS
    report.fail(reports.OUTPUT_MISSING, "a")
    report.fail(reports.OUT_OF_DISK, "b")
    assert (report.reason, report.message) == (reports.OUTPUT_MISSING, "a")


def test_report_that_tells_nothing_is_no_success() -> None:
    assert Report("j").reason == reports.WORKER_FAILED


@pytest.mark.parametrize("variable", ["DIRACSITE", "PANDA_RESOURCE", "SITE_NAME"])
def test_start_names_the_site(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("DIRACSITE", "PANDA_RESOURCE", "SITE_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert Report.start("j").site == ""
    monkeypatch.setenv(variable, "CERN")
    report = Report.start("j")
    assert report.site == "CERN"
    assert report.host
    assert time.time() - 60 < report.times["received"] <= time.time()


@pytest.mark.parametrize(
    ("environment", "wms_id"),
    [
        ({}, ""),
        ({"JOBID": "12"}, "12"),
        ({"PANDAID": "34"}, "34"),
        ({"PandaID": "56"}, "56"),
        ({"JOBID": "0"}, ""),
        ({"JOBID": ""}, ""),
    ],
)
def test_start_names_the_grid_job(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wms_id: str
) -> None:
    for name in ("JOBID", "PANDAID", "PandaID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Report.start("j").wms_id == wms_id


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (99_999, "99999 bytes"), (100_000, "0.1 MB"), (12_345_678, "12.3 MB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert reports.megabytes(size) == text


def test_undeclared_files_are_cut_but_counted() -> None:
    report = Report("j")
    report.list_undeclared([f"work/{number:03}" for number in reversed(range(150))])
    assert report.undeclared_count == 150
    assert report.undeclared == [f"work/{number:03}" for number in range(100)]
