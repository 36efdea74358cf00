from __future__ import annotations

import time

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.report import Report


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
