"""``snakemake-grid describe``: prints everything that is known about jobs."""

from __future__ import annotations

import asyncio
import itertools
import json
import shlex
import sys
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

from ..console.decision_script import decision_script, shown_command
from ..console.format import duration
from ..journal.reader import JournalReader, Latest
from ..journal.records import JobRecord, Phase, RunRecord
from ..model.errors import GridError
from ..model.state import UNKNOWN, JobStatus
from ..model.untrusted import printable_lines
from ..reporting.measured import Measured, measured
from ..worker.decided.decision import Decision
from .overview import Overview, is_asked, overview, waits_for
from .selection import display_state, select
from .server import ask, backend_of, by_backend, last_run, python_options, tell
from .status import console, show
from .workflow import directory_option, own_folder

_STEPS = {
    "began": "upload of inputs",
    "sent": "submission",
    "accepted": "queued",
    "running": "running",
    "ended": "fetching results",
    "finished": "finished",
}
"""Fields of a job that are times, and the steps that begin at these times."""


@dataclass
class _Answers:
    """Answers of the backends, by name of the job, and why some backends were not asked."""

    statuses: dict[str, JobStatus] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@click.command(
    short_help="Print all that is known about jobs.",
    help="Print all that the journal knows about jobs: the jobs of a RULE, with wildcards if you "
    "like, as in 'describe align sample=a', or the job with an ID (its id on the grid, or its "
    "unique name).",
)
@click.argument("words", nargs=-1, required=True, metavar="RULE|ID...")
@directory_option
@click.option("--server", is_flag=True, help="Also ask the server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option(
    "--script",
    is_flag=True,
    help="Print only what the worker ran for the job, as a shell script to run by hand.",
)
@python_options
def describe(
    words: tuple[str, ...],
    directory: Path,
    server: bool,
    as_json: bool,
    script: bool,
    pythons: Mapping[str, Path],
) -> None:
    """Select the jobs, ask the server if wanted, and print."""
    folder = own_folder(directory)
    with JournalReader(folder) as reader:
        runs, jobs = reader.runs(), reader.jobs()
        origins = {job.origin for job in select(jobs, words)}
        chosen = [job for job in jobs if job.origin in origins]
        last = {job.origin: job for job in chosen}
        decisions = {origin: reader.decision(job) for origin, job in last.items()}
    if script:
        _print_scripts(list(last.values()), decisions, directory.absolute())
        return
    answers = asyncio.run(_ask_all(folder, runs, chosen, pythons, server=server))
    seen = overview(folder, runs, Latest(chosen), time.time())
    by_origin: dict[str, list[JobRecord]] = {}
    for job in chosen:
        by_origin.setdefault(job.origin, []).append(job)
    if as_json:
        found = [
            _to_json(seen, some, answers, decisions[origin], server=server)
            for origin, some in by_origin.items()
        ]
        click.echo(json.dumps({"jobs": found, "problems": answers.problems}, indent=2))
        return
    for problem in answers.problems:
        tell(problem)
    screen = console()
    for origin, some in by_origin.items():
        show(screen, _page(seen, some, answers, decisions[origin]))


def _print_scripts(
    jobs: Sequence[JobRecord], decisions: Mapping[str, Decision | None], workdir: Path
) -> None:
    for job in jobs:
        decision = decisions[job.origin]
        if decision is None:
            raise GridError(
                f"{job.name} ({job.title}): Snakemake ran on the worker, or the job is too old; "
                "there is no script"
            )
        script = decision_script(decision, workdir)
        if sys.stdout.isatty():
            script = printable_lines(script)  # a file gets it as it is, to run it
        click.echo(script.encode("utf-8", "surrogateescape"), nl=False)


async def _ask_all(
    folder: Path,
    runs: Sequence[RunRecord],
    jobs: Sequence[JobRecord],
    pythons: Mapping[str, Path],
    *,
    server: bool,
) -> _Answers:
    """Ask the backends. The URLs of web pages are known without asking the server."""
    answers = _Answers()
    for name, some in by_backend(jobs).items():
        try:
            opened = backend_of(folder, last_run(runs, name), pythons, silent=not server)
            async with opened as backend:
                answers.pages |= {
                    job.name: backend.monitor_url(job.grid_id) for job in some if job.grid_id
                }
                asked = {job.grid_id: job.name for job in some if job.grid_id and is_asked(job)}
                if server and asked:
                    statuses = await ask(backend.states(list(asked)))
                    answers.statuses |= {
                        job: statuses.get(grid_id, UNKNOWN) for grid_id, job in asked.items()
                    }
        except GridError as error:
            if server:
                answers.problems.append(f"{name} was not asked: {error}")
    return answers


def _to_json(
    seen: Overview,
    submissions: Sequence[JobRecord],
    answers: _Answers,
    decision: Decision | None,
    *,
    server: bool,
) -> dict[str, Any]:
    """Return a job of ``describe --json``; times are seconds since the epoch.

    Its keys: ``rule``, ``wildcards``, ``origin`` (the unique name of the first submission),
    ``jobid``, ``attempt``, ``outputs``, ``requested`` (resources), ``state``, ``waits_for`` (null
    if the job is over), ``options`` (of its last run), ``decision`` (what the worker does; null if
    Snakemake runs there) and ``submissions``, each with ``name``,
    ``run``, ``backend``, ``grid_id``, ``bundle`` (id of the grid job that it shares; null if it
    shares none), ``state``, ``site``, ``host``, ``reason``, ``times``
    (``began``, ``sent``, ``accepted``, ``running``, ``ended``, ``finished``), ``report`` (of the
    worker), ``log``, ``page`` (URL) and, with ``--server``, ``server`` (``state``, ``detail``,
    ``site``; null if the server was not asked about this submission).
    """
    last = submissions[-1]
    run = _run_of(seen, last)
    found = []
    for job in submissions:
        log, status = seen.log(job), answers.statuses.get(job.name)
        one: dict[str, Any] = {
            **{key: getattr(job, key) for key in ("name", "run", "backend", "grid_id")},
            "bundle": job.bundle or None,
            "state": display_state(job).value,
            "site": job.site,
            "host": job.report.get("host", ""),
            "reason": job.detail,
            "times": {step: getattr(job, step) for step in _STEPS},
            "report": job.report,
            "log": str(log) if log else None,
            "page": answers.pages.get(job.name) or None,
        }
        if server:
            one["server"] = (
                {"state": status.state.value, "detail": status.detail, "site": status.site}
                if status
                else None
            )
        found.append(one)
    return {
        **{key: getattr(last, key) for key in ("rule", "wildcards", "origin", "jobid", "attempt")},
        "outputs": list(last.outputs),
        "requested": last.requested,
        "state": display_state(last).value,
        "waits_for": None if last.phase.over else waits_for(seen, last),
        "options": run.settings if run else {},
        "decision": decision.to_json() if decision else None,
        "submissions": found,
    }


def _page(
    seen: Overview,
    submissions: Sequence[JobRecord],
    answers: _Answers,
    decision: Decision | None,
) -> RenderableType:
    last = submissions[-1]
    run = _run_of(seen, last)
    now = display_state(last).value if last.phase.over else waits_for(seen, last)
    rows = {
        "State": now,
        "Snakemake": f"job {last.jobid}, attempt {last.attempt}",
        "Outputs": "\n".join(name.partition("/")[2] for name in last.outputs),
        "Requested": _requested(last.requested),
        "Options": _options(run.settings) if run else "",
        "Runs": _runs(last, decision),
    }
    parts: list[RenderableType] = [Text(last.title, style="bold"), _rows(rows)]
    for number, job in enumerate(submissions, start=1):
        of_all = f" {number} of {len(submissions)}" if len(submissions) > 1 else ""
        parts += [Text(f"  Submission{of_all}: {job.name}"), _submission(seen, job, answers)]
    return Padding(Group(*parts), (0, 0, 1, 0), expand=False)


def _runs(job: JobRecord, decision: Decision | None) -> str:
    """Return the commands of a job, and how to see all that the worker does."""
    if decision is None:
        return ""
    commands = [
        printable_lines(shown_command(command))
        for step in decision.steps
        for command in step.commands[:1]
    ]
    return "\n".join([*commands, f"(all of it: snakemake-grid describe --script {job.origin})"])


def _submission(seen: Overview, job: JobRecord, answers: _Answers) -> RenderableType:
    log, status = seen.log(job), answers.statuses.get(job.name)
    seen_there = measured(job.report)
    server = ""
    if status is not None:
        words = (status.state.value, status.detail, f"at {status.site}" if status.site else "")
        server = ", ".join(word for word in words if word)
    return _rows(
        {
            "Grid id": f"{job.grid_id or 'none'} ({job.backend})",
            "Bundle": f"grid job {job.bundle}, which other jobs share" if job.bundle else "",
            "State": display_state(job).value,
            "Server": server,
            "Site": job.site,
            "Host": seen_there.host,
            "Times": "\n".join(_times(job)),
            "On worker": _on_worker(seen_there),
            "Used": _used(seen_there, job.requested) if job.report else "",
            "Reason": "" if job.phase is Phase.SUCCEEDED else job.detail,
            "Output": str(log) if log else "",
            "Web page": answers.pages.get(job.name, ""),
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
    """Return when each step began, and how long it lasted."""
    noted = [(words, at) for step, words in _STEPS.items() if (at := getattr(job, step))]
    lines = []
    for number, (words, at) in enumerate(noted):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        last = number + 1 == len(noted)
        took = "" if last else f", {duration(noted[number + 1][1] - at)}"
        lines.append(f"{when}  {words}{took}")
    return lines


def _on_worker(seen: Measured) -> str:
    """Return how long each step on the worker lasted, by the worker's clock."""
    steps = [
        f"{step} {duration(after - at)}"
        for (step, at), (_, after) in itertools.pairwise(seen.times.items())
    ]
    return ", ".join(steps)


def _requested(requested: Mapping[str, Any]) -> str:
    parts = [f"{requested['processors']} processor(s)"] if requested.get("processors") else []
    parts += [
        f"{requested[key]:,} MB of {what}"
        for key, what in (("memory_mb", "memory"), ("disk_mb", "disk"))
        if requested.get(key)
    ]
    parts += [f"{duration(requested['runtime_s'])}"] if requested.get("runtime_s") else []
    parts += [f"{requested['gpus']} GPU(s)"] if requested.get("gpus") else []
    return ", ".join(parts)


def _used(seen: Measured, requested: Mapping[str, Any]) -> str:
    limit = requested.get("memory_mb")
    memory = f"{seen.peak_memory_mb or 0.0:,.0f}{f' of {limit:,}' if limit else ''} MB of memory"
    on_grid = ""
    if seen.grid_in or seen.grid_out:
        on_grid = f"; on the grid: {seen.grid_in:,} bytes read, {seen.grid_out:,} stored"
    return (
        f"{duration(seen.cpu_seconds or 0.0)} of processor time, {memory}; "
        f"{seen.bytes_in:,} bytes in, {seen.bytes_out:,} bytes out{on_grid}"
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
