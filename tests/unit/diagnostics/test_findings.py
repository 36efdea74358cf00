"""The list of findings and the times of the test job."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from snakemake_executor_plugin_grid.backends.diagnostics import Told
from snakemake_executor_plugin_grid.cli.check import check
from snakemake_executor_plugin_grid.diagnostics import hello
from snakemake_executor_plugin_grid.diagnostics.findings import Findings
from snakemake_executor_plugin_grid.model.errors import EndingError, TransientError
from tests.unit.reporting.fabricated_runs import a_job


def test_findings_are_printed_without_unicode(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = ["--grid-local-dir", str(workdir.parent / "sites")]
    result = CliRunner(charset="ascii").invoke(check, ["-d", str(workdir), *local])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ok options")


def test_finding_shows_the_cause_of_the_outage() -> None:
    async def check() -> Told:
        raise EndingError("the run is ending") from TransientError("connection refused")

    async def other() -> Told:
        raise AssertionError("this check must not run")

    async def both() -> None:
        await findings.attempt("one", check)
        await findings.attempt("two", other, "one")

    findings = Findings(lambda _: None, lambda _: None)
    asyncio.run(both())
    assert [(one.result.value, one.text) for one in findings.all] == [
        ("failed", "connection refused"),
        ("untried", "needs this first: one"),
    ]


@pytest.mark.parametrize(("shift", "skew"), [(0.0, 0.0), (100.0, 96.0), (-100.0, -98.0)])
def test_clock_skew_of_the_worker(shift: float, skew: float) -> None:
    steps = {"received": 3.0, "running": 4.0, "staging out": 5.0, "ended": 6.0}
    report = {"times": {name: at + shift for name, at in steps.items()}}
    times = hello._times(a_job(began=0.0, sent=1.0, accepted=2.0, finished=10.0, report=report))
    assert hello._skew(times) == skew
    assert hello._seconds(times)["ran"] == 1.0
    assert min(hello._seconds(times).values()) >= 0
