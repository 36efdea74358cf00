"""A made-up workflow that has run on a grid, for the report and its picture.

``python -m tests.unit.reporting.fabricated_runs DIR`` writes its journal below a directory; the
picture in the docs is that of ``snakemake-grid report -d DIR``.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_grid.journal.database import FOLDER, open_database
from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase, RunRecord
from snakemake_executor_plugin_grid.journal.writer import Journal

START = 1_780_300_800.0  # 2026-06-01 08:00 UTC
HOUR = 3600.0
SITES = ("LCG.CNAF.it", "LCG.DESY.de", "LCG.GRIDKA.de", "LCG.IN2P3.fr", "LCG.RAL.uk")


def a_run(name: str = "r1", **changes: Any) -> RunRecord:
    """Return a run that went well."""
    given: dict[str, Any] = {
        "name": name,
        "backend": "dirac",
        "store": "lfn:/vo/user/a/alice/store",
        "host": "ui01.example.org",
        "pid": 4711,
        "settings": {},
        "started": START,
        "ended": START + HOUR,
        "end": "finished",
        "stored_bytes": 1_000,
        "reused_bytes": 2_000,
    }
    return RunRecord(**{**given, **changes})


def a_job(name: str = "make-r1-1", **changes: Any) -> JobRecord:
    """Return a job that was sent and of which nothing else is known."""
    given: dict[str, Any] = {
        "name": name,
        "origin": changes.get("origin", name),
        "run": "r1",
        "rule": "make",
        "wildcards": {},
        "jobid": "1",
        "attempt": 1,
        "backend": "dirac",
        "grid_id": "1001",
        "phase": Phase.SUBMITTED,
        "detail": "",
        "state": "",
        "site": "",
        "outputs": (f"{changes.get('origin', name)}.txt",),
        "requested": {},
        "began": None,
        "sent": START,
        "accepted": None,
        "running": None,
        "ended": None,
        "finished": None,
        "report": {},
    }
    return JobRecord(**{**given, **changes})


def a_report(received: float, *seconds: float, **changes: Any) -> dict[str, Any]:
    """Return a report.

    Args:
        received: When the worker had the job, on its clock.
        seconds: That starting, staging in, running and staging out took.
        changes: Other fields.
    """
    steps = ("received", "staging in", "running", "staging out", "ended")
    times = [received]
    for some in seconds:
        times.append(times[-1] + some)
    given: dict[str, Any] = {
        "reason": "success",
        "host": "wn1",
        "site": "LCG.DESY.de",
        "times": dict(zip(steps, times, strict=False)),
        "cpu_seconds": 0.0,
        "peak_memory_mb": 0.0,
        "bytes_in": 0,
        "bytes_out": 0,
        "returned": 1,
    }
    return {**given, **changes}


def write(directory: Path, runs: list[RunRecord], jobs: list[JobRecord]) -> None:
    """Write the journal and the logs that are below a directory when such runs were there."""
    folder = directory / FOLDER
    database = open_database(folder)
    Journal(database, "", "")  # makes the tables
    for table, records in (("runs", runs), ("jobs", jobs)):
        for record in records:
            row = {one.name: getattr(record, one.name) for one in fields(record)}
            for name, value in row.items():
                if isinstance(value, dict | tuple):
                    row[name] = json.dumps(value)
            if isinstance(record, JobRecord):
                row.update(phase=record.phase.value, changed=record.finished or START)
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" * len(row))
            database.change(
                f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - our own names
                [tuple(row.values())],
            )
    database.close()
    (folder / "logs").mkdir(exist_ok=True)
    for job in jobs:
        if job.report:
            (folder / "logs" / f"{job.name}.log").write_text("Done.\n")


@dataclass(frozen=True)
class _Rule:
    name: str
    jobs: int
    begin: float
    pace: float  # seconds from one to the next
    run_s: float
    busy: float
    memory_mb: float
    asked: dict[str, float]
    moved: tuple[float, float]


_RULES = (
    _Rule(
        *("simulate", 160, 60, 22, 4300, 0.97, 690),
        {"processors": 1, "memory_mb": 4000, "runtime_s": 8 * HOUR},
        (90e6, 1.4e9),
    ),
    _Rule(
        *("reconstruct", 100, 2.4 * HOUR, 55, 2900, 3.5, 5350),
        {"processors": 4, "memory_mb": 8000, "runtime_s": 100 * 60},
        (1.5e9, 600e6),
    ),
    _Rule(
        *("select", 36, 5.4 * HOUR, 60, 1300, 1.1, 1790),
        {"processors": 8, "memory_mb": 2000, "runtime_s": 60 * 60},
        (620e6, 40e6),
    ),
    _Rule(
        *("plot", 8, 7.6 * HOUR, 30, 150, 0.6, 420),
        {"processors": 1, "memory_mb": 1000, "runtime_s": 10 * 60},
        (300e6, 2e6),
    ),
)


@dataclass
class _Maker:
    """Makes jobs up, always the same."""

    dice: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311
    jobs: list[JobRecord] = field(default_factory=list)
    number: int = 0

    def job(self, rule: _Rule, index: int) -> None:
        """Make one job with all its submissions."""
        self.number += 1
        origin = f"{rule.name}-k3v9-{self.number}"
        begin = START + rule.begin + index * rule.pace
        for again in range(3):
            name = f"{origin}.{again}" if again else origin
            site = self.dice.choices(SITES, (3, 6, 4, 4, 2))[0]
            bad = self.dice.random() < {"LCG.CNAF.it": 0.22, "LCG.IN2P3.fr": 0.07}.get(site, 0.015)
            job = self.submission(rule, index, name, origin, begin, site, bad=bad and again < 2)
            self.jobs.append(job)
            if job.phase is not Phase.FAILED or job.report.get("reason") == "payload failed":
                return
            begin = (job.finished or begin) + 5

    def submission(
        self, rule: _Rule, index: int, name: str, origin: str, begin: float, site: str, *, bad: bool
    ) -> JobRecord:
        """Make one submission."""
        dice = self.dice
        stage, queue = dice.uniform(5, 50), 60 + dice.expovariate(1 / 900)
        speed = {"LCG.RAL.uk": 1.35, "LCG.GRIDKA.de": 0.85}.get(site, 1.0)
        run = rule.run_s * speed * dice.uniform(0.8, 1.2)
        host = f"wn{dice.randint(1, 24):02}.{site.split('.')[1].lower()}.example.org"
        sent, taken = begin + stage, begin + stage + dice.uniform(1, 12)
        received = taken + queue
        reason, detail, phase = "success", "", Phase.SUCCEEDED
        if bad:
            reason, detail = dice.choice(
                (
                    ("input damaged", "input damaged: no answer from the storage element"),
                    ("output not stored", "output not stored: the storage element is full"),
                    ("", "it ended as failed and no report came back: stalled, pilot not running"),
                )
            )
            phase, run = Phase.FAILED, run * dice.uniform(0.02, 0.8)
        elif rule.name == "select" and index in (7, 21):
            reason, phase, run = "payload failed", Phase.FAILED, run * 0.3
            detail = f"payload failed: exit code 1 (host {host}, site {site})"
        fetch = rule.moved[0] / dice.uniform(6e6, 2e7)
        deliver = rule.moved[1] / dice.uniform(4e6, 1.5e7)
        ended = received + 4 + fetch + run + deliver + dice.uniform(15, 70)
        wrong = 7200.0 if host.startswith("wn07.desy") else 0.0
        cpu = run * min(rule.asked["processors"], rule.busy * dice.uniform(0.85, 1.08))
        report = a_report(
            *(received + wrong, 4, fetch, run, deliver),
            reason=reason,
            host=host,
            site=site,
            cpu_seconds=cpu,
            peak_memory_mb=rule.memory_mb * dice.uniform(0.8, 1.08),
            bytes_in=int(rule.moved[0] * dice.uniform(0.9, 1.1)),
            bytes_out=int(rule.moved[1] * dice.uniform(0.8, 1.2)),
        )
        return a_job(
            name,
            origin=origin,
            run="k3v9" if sent < START + 5 * HOUR else "m8q2",
            rule=rule.name,
            wildcards={"sample": ("zee", "zmumu", "ttbar", "wjets")[index % 4], "part": str(index)},
            grid_id=str(482_000 + len(self.jobs)),
            phase=phase,
            detail=detail,
            state="failed" if phase is Phase.FAILED else "done",
            site=site,
            outputs=(f"results/{origin}.root",),
            requested=rule.asked,
            began=begin,
            sent=sent,
            accepted=taken,
            running=received + 20,
            ended=ended,
            finished=ended + rule.moved[1] / 1e8 + dice.uniform(1, 8),
            report=report if reason else {},
        )


def workflow() -> tuple[list[RunRecord], list[JobRecord]]:
    """Return two runs with three hundred jobs of four rules on five sites, in nine hours."""
    maker = _Maker()
    for rule in _RULES:
        for index in range(rule.jobs):
            maker.job(rule, index)
    end = max(job.finished or START for job in maker.jobs)
    runs = [
        a_run(
            "k3v9",
            ended=START + 4.2 * HOUR,
            end="left",
            stored_bytes=2_300_000_000,
            reused_bytes=11_800_000_000,
        ),
        a_run(
            "m8q2",
            started=START + 4.9 * HOUR,
            ended=end + 4,
            stored_bytes=900_000_000,
            reused_bytes=52_400_000_000,
        ),
    ]
    return runs, sorted(maker.jobs, key=lambda job: job.sent or 0.0)


if __name__ == "__main__":
    write(Path(sys.argv[1]), *workflow())
