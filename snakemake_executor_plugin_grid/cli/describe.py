"""``snakemake-grid describe``: everything that is known of jobs."""

from __future__ import annotations

import asyncio
import itertools
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..journal.reader import JobRecord, RunRecord
from ..journal.writer import Phase
from ..model.errors import GridError
from ..model.state import UNKNOWN, JobStatus
from ..reporting.measured import Measured, measured
from .overview import Overview, is_asked, overview, waits_for
from .selection import display_state, in_words, select
from .server import ask, backend_of, by_backend, last_run, python_options, tell
from .status import console, show
from .workflow import directory_option, open_history, own_folder

_STEPS = {
    "began": "inputs into the store",
    "sent": "being submitted",
    "taken": "queued",
    "running": "running",
    "ended": "coming back",
    "landed": "over",
}
"""Fields of a job with times, and what begins then."""


@dataclass
class _Said:
    """What backends say: of jobs by their names, and why some were not asked."""

    statuses: dict[str, JobStatus] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@click.command(
    short_help="Tell all that is known of jobs.",
    help="Tell all that the journal knows of jobs: of a RULE, perhaps with wildcards as in "
    "'describe align sample=a', or of the job with an ID, on the grid or its unique name.",
)
@click.argument("words", nargs=-1, required=True, metavar="RULE|ID...")
@directory_option
@click.option("--server", is_flag=True, help="Ask the server as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@python_options
def describe(
    words: tuple[str, ...],
    directory: Path,
    server: bool,
    as_json: bool,
    pythons: Mapping[str, Path],
) -> None:
    """Choose the jobs, perhaps ask, and show."""
    folder = own_folder(directory)
    with open_history(folder) as history:
        runs, jobs = history.runs(), history.jobs()
    origins = {job.origin for job in select(jobs, words)}
    chosen = [job for job in jobs if job.origin in origins]
    said = asyncio.run(_ask_all(folder, runs, chosen, pythons, server=server))
    seen = overview(folder, runs, chosen, time.time())
    by_origin: dict[str, list[JobRecord]] = {}
    for job in chosen:
        by_origin.setdefault(job.origin, []).append(job)
    if as_json:
        told = [_to_json(seen, some, said, server=server) for some in by_origin.values()]
        click.echo(json.dumps({"jobs": told, "problems": said.problems}, indent=2))
        return
    for problem in said.problems:
        tell(problem)
    screen = console()
    for some in by_origin.values():
        show(screen, _page(seen, some, said))


async def _ask_all(
    folder: Path,
    runs: Sequence[RunRecord],
    jobs: Sequence[JobRecord],
    pythons: Mapping[str, Path],
    *,
    server: bool,
) -> _Said:
    """Ask the backends; their web pages need no server."""
    said = _Said()
    for name, some in by_backend(jobs).items():
        try:
            opened = backend_of(folder, last_run(runs, name), pythons, silent=not server)
            async with opened as backend:
                said.pages |= {
                    job.name: backend.monitor_url(job.grid_id) for job in some if job.grid_id
                }
                asked = {job.grid_id: job.name for job in some if job.grid_id and is_asked(job)}
                if server and asked:
                    statuses = await ask(backend.states(list(asked)))
                    said.statuses |= {
                        job: statuses.get(grid_id, UNKNOWN) for grid_id, job in asked.items()
                    }
        except GridError as error:
            if server:
                said.problems.append(f"{name} was not asked: {error}")
    return said


def _to_json(
    seen: Overview, submissions: Sequence[JobRecord], said: _Said, *, server: bool
) -> dict[str, Any]:
    """Return a job of ``describe --json``; times are seconds since the epoch.

    Its keys: ``rule``, ``wildcards``, ``origin`` (the unique name of the first submission),
    ``jobid``, ``attempt``, ``outputs``, ``asked``, ``state``, ``waits_for`` (null when it is over),
    ``options`` (of the run that followed it last) and ``submissions``, each with ``name``, ``run``,
    ``backend``, ``grid_id``, ``state``, ``site``, ``host``, ``reason``, ``times`` (``began``,
    ``sent``, ``taken``, ``running``, ``ended``, ``landed``), ``report`` (of the worker), ``log``,
    ``page`` and, with ``--server``, ``server`` (``state``, ``detail``, ``site``; null when it was
    not asked for this one).
    """
    last = submissions[-1]
    run = _run_of(seen, last)
    told = []
    for job in submissions:
        log, status = seen.log(job), said.statuses.get(job.name)
        one: dict[str, Any] = {
            **{key: getattr(job, key) for key in ("name", "run", "backend", "grid_id")},
            "state": display_state(job).value,
            "site": job.site,
            "host": job.report.get("host", ""),
            "reason": job.detail,
            "times": {step: getattr(job, step) for step in _STEPS},
            "report": job.report,
            "log": str(log) if log else None,
            "page": said.pages.get(job.name) or None,
        }
        if server:
            one["server"] = (
                {"state": status.state.value, "detail": status.detail, "site": status.site}
                if status
                else None
            )
        told.append(one)
    return {
        **{key: getattr(last, key) for key in ("rule", "wildcards", "origin", "jobid", "attempt")},
        "outputs": list(last.outputs),
        "asked": last.asked,
        "state": display_state(last).value,
        "waits_for": None if last.phase.over else waits_for(seen, last),
        "options": run.settings if run else {},
        "submissions": told,
    }


def _page(seen: Overview, submissions: Sequence[JobRecord], said: _Said) -> RenderableType:
    last = submissions[-1]
    run = _run_of(seen, last)
    now = display_state(last).value if last.phase.over else waits_for(seen, last)
    rows = {
        "State": now,
        "Snakemake": f"job {last.jobid}, attempt {last.attempt}",
        "Outputs": "\n".join(name.partition("/")[2] for name in last.outputs),
        "Asked for": _asked(last.asked),
        "Options": _options(run.settings) if run else "",
    }
    parts: list[RenderableType] = [Text(last.title, style="bold"), _rows(rows)]
    for number, job in enumerate(submissions, start=1):
        of_all = f" {number} of {len(submissions)}" if len(submissions) > 1 else ""
        parts += [Text(f"  Submission{of_all}: {job.name}"), _submission(seen, job, said)]
    return Padding(Group(*parts), (0, 0, 1, 0), expand=False)


def _submission(seen: Overview, job: JobRecord, said: _Said) -> RenderableType:
    log, status = seen.log(job), said.statuses.get(job.name)
    seen_there = measured(job.report)
    server = ""
    if status is not None:
        words = (status.state.value, status.detail, f"at {status.site}" if status.site else "")
        server = ", ".join(word for word in words if word)
    return _rows(
        {
            "Grid id": f"{job.grid_id or 'none'} ({job.backend})",
            "State": display_state(job).value,
            "Server says": server,
            "Site": job.site,
            "Host": seen_there.host,
            "Times": "\n".join(_times(job)),
            "On worker": _on_worker(seen_there),
            "Used": _used(seen_there, job.asked) if job.report else "",
            "Reason": "" if job.phase is Phase.SUCCEEDED else job.detail,
            "Output": str(log) if log else "",
            "Web page": said.pages.get(job.name, ""),
        },
        indent=4,
    )


def _rows(rows: Mapping[str, str], indent: int = 2) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    return Padding(table, (0, 0, 0, indent), expand=False)


def _run_of(seen: Overview, job: JobRecord) -> RunRecord | None:
    return next((run for run in seen.runs if run.name == job.run), None)


def _times(job: JobRecord) -> list[str]:
    """Return when each step began, and how long it took."""
    noted = [(words, at) for step, words in _STEPS.items() if (at := getattr(job, step))]
    lines = []
    for number, (words, at) in enumerate(noted):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        last = number + 1 == len(noted)
        took = "" if last else f", {in_words(noted[number + 1][1] - at)}"
        lines.append(f"{when}  {words}{took}")
    return lines


def _on_worker(seen: Measured) -> str:
    """Return how long each step took there, by the clock there."""
    steps = [
        f"{step} {in_words(after - at)}"
        for (step, at), (_, after) in itertools.pairwise(seen.times.items())
    ]
    return ", ".join(steps)


def _asked(asked: Mapping[str, Any]) -> str:
    parts = [f"{asked['processors']} processor(s)"] if asked.get("processors") else []
    parts += [
        f"{asked[key]:,} MB of {what}"
        for key, what in (("memory_mb", "memory"), ("disk_mb", "disk"))
        if asked.get(key)
    ]
    parts += [f"{in_words(asked['runtime_s'])}"] if asked.get("runtime_s") else []
    parts += [f"{asked['gpus']} GPU(s)"] if asked.get("gpus") else []
    return ", ".join(parts)


def _used(seen: Measured, asked: Mapping[str, Any]) -> str:
    peak, had = seen.peak_memory_mb or 0.0, asked.get("memory_mb")
    memory = f"{peak:,.0f} MB of memory" + (f" ({peak / had:.0%} of what it had)" if had else "")
    return (
        f"{in_words(seen.cpu_seconds or 0.0)} of processor time, {memory}; "
        f"{seen.bytes_in:,} bytes in, {seen.bytes_out:,} bytes out"
    )


def _options(settings: Mapping[str, Any]) -> str:
    """Return the options of a run as on its command line."""
    words: list[str] = []
    for name, value in settings.items():
        words.append(f"--grid-{name.replace('_', '-')}")
        if isinstance(value, list):
            words += map(str, value)
        elif value is not True:
            words.append(str(value))
    return shlex.join(words)
