"""``snakemake-grid status``: prints the state of the run and of its jobs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..backends.base import Backend
from ..console.format import duration
from ..journal.reader import JournalReader
from ..journal.records import JobRecord
from ..model.errors import GridError
from .overview import (
    Overview,
    counts,
    describe_run,
    is_asked,
    oldest,
    overview,
    to_json,
    waits_for,
    with_statuses,
)
from .selection import DisplayState, display_state
from .server import ask, backend_of, by_backend, last_run, python_options
from .workflow import directory_option, own_folder

_PERIOD = 5.0
_PIPED_WIDTH = 200
_JOBS = 20
_FAILURES = 5
_FEW_FAILURES = 2
_LINES_BESIDE = 24
_FEWEST = 4
_WIDE = 100
_NOWHERE = "not known"
_STYLES = {
    DisplayState.RUNNING: "green",
    DisplayState.HELD: "yellow",
    DisplayState.UNKNOWN: "yellow",
    DisplayState.CANCELLING: "yellow",
    DisplayState.FAILED: "red",
}


@click.command(
    short_help="Print the state of a run and of its jobs.",
    help="Print whether a run is going on here, the states of the workflow's jobs by rule and by "
    "site, and what each open job waits for. Reads the journal; with --server, asks the servers as "
    "well. Changes nothing, and can be used during a run and after it.",
)
@directory_option
@click.option("--server", is_flag=True, help="Ask the servers for the states of the open jobs.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=str(_PERIOD),
    type=click.FloatRange(min=0.5),
    metavar="[SECONDS]",
    help=f"Repeat every SECONDS (default: {_PERIOD:g}), until Ctrl-C.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option("--all", "everything", is_flag=True, help="List all open jobs, and all failures.")
@python_options
def status(
    directory: Path,
    server: bool,
    watch: float | None,
    as_json: bool,
    everything: bool,
    pythons: Mapping[str, Path],
) -> None:
    """Read the journal, ask the servers if wanted, and print."""
    if watch is not None and as_json:
        raise click.UsageError(
            "--json prints one document: call the command again instead of using --watch."
        )
    folder = own_folder(directory)
    with JournalReader(folder) as reader:
        look = _Look(folder, reader, pythons if server else None)
        if watch is None:
            seen = asyncio.run(_once(look))
            if as_json:
                click.echo(json.dumps(to_json(seen), indent=2))
            else:
                screen = console()
                jobs, failures = (None, None) if everything else (_JOBS, _FAILURES)
                show(screen, _page(seen, jobs, failures, screen.width))
            return
        with contextlib.suppress(KeyboardInterrupt):  # the user ends it so
            asyncio.run(_watch(look, watch, everything=everything))


async def _once(look: _Look) -> Overview:
    async with look:
        return await look.look()


async def _watch(look: _Look, period: float, *, everything: bool) -> None:
    screen = console()
    async with look:
        with Live(console=screen, auto_refresh=False) as live:
            while True:
                jobs = None if everything else max(_FEWEST, screen.height - _LINES_BESIDE)
                failures = None if everything else _FEW_FAILURES
                page = _page(await look.look(), jobs, failures, screen.width)
                if screen.is_terminal:
                    live.update(page, refresh=True)
                else:
                    show(screen, page)
                await asyncio.sleep(period)


def console() -> Console:
    """Return a console; lines that go into a pipe are not wrapped."""
    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED_WIDTH
    return made


def show(screen: Console, page: RenderableType) -> None:
    """Print a page; without trailing blanks if the output is not a terminal."""
    if screen.is_terminal:
        screen.print(page)
        return
    with screen.capture() as captured:
        screen.print(page)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


class _Look:
    """Reads the journal and asks the servers; keeps their clients open between two calls."""

    def __init__(
        self, folder: Path, reader: JournalReader, pythons: Mapping[str, Path] | None
    ) -> None:
        self._folder = folder
        self._reader = reader
        self._pythons = pythons
        self._backends: dict[str, Backend] = {}
        self._opened = contextlib.AsyncExitStack()

    async def __aenter__(self) -> _Look:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def look(self) -> Overview:
        """Return the current state."""
        seen = overview(self._folder, self._reader.runs(), self._reader.latest(), time.time())
        seen = replace(seen, pruned=sum(one.submissions for one in self._reader.history()))
        if self._pythons is None:
            return seen
        for name, jobs in sorted(by_backend(filter(is_asked, seen.open)).items()):
            ids = [job.grid_id for job in jobs if job.grid_id]
            try:
                backend = await self._backend(name, seen)
                statuses = await ask(backend.states(ids))
            except GridError as error:
                seen.servers[name] = str(error)
            else:
                seen.servers[name] = ""
                seen = with_statuses(seen, name, statuses)
        return seen

    async def _backend(self, name: str, seen: Overview) -> Backend:
        if name not in self._backends:
            run = last_run(seen.runs, name)
            opened = backend_of(self._folder, run, self._pythons or {})
            self._backends[name] = await self._opened.enter_async_context(opened)
        return self._backends[name]


def _page(seen: Overview, jobs: int | None, failures: int | None, width: int) -> RenderableType:
    """Return the page, with at most so many open jobs and failures; None means all."""
    parts: list[RenderableType] = [Text(line) for line in describe_run(seen)]
    if not seen.jobs and not seen.others:
        parts.append(Text("No job has been submitted here yet."))
        return Group(*parts)
    parts += _counts("Rule", counts(seen, lambda rule, _: rule), width)
    parts += _counts("Site", counts(seen, lambda _, site: site or _NOWHERE), width)
    ages = [
        f"the oldest {which.value} job: {duration(age)}"
        for which in (DisplayState.QUEUED, DisplayState.RUNNING)
        if (age := oldest(seen, which)) is not None
    ]
    if ages:
        parts += [Text(), Text(f"T{', '.join(ages)[1:]}")]
    if seen.open:
        parts += _open_jobs(seen, jobs, width)
    if seen.failures:
        parts += _failures(seen, failures)
    return Group(*parts)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _counts(
    title: str, found: Mapping[str, Mapping[DisplayState, int]], width: int
) -> list[RenderableType]:
    """Return how many jobs are in each state: in columns, or in words if these are too wide."""
    total = Counter[DisplayState]()
    for some in found.values():
        total.update(some)
    used = [which for which in DisplayState if total[which]]
    rows = {**found, **({"": total} if len(found) > 1 else {})}
    needed = max(map(len, (title, *found))) + sum(len(which.value) + 2 for which in used)
    if needed + len("all") + 2 > width:
        table = _table(title, "Jobs", "")
        for key, some in rows.items():
            words = ", ".join(f"{some[which]} {which.value}" for which in used if some.get(which))
            table.add_row(Text(key), str(sum(some.values())), words)
        return [Text(), table]
    table = _table(title)
    for which in used:
        table.add_column(which.value, justify="right", style=_STYLES.get(which))
    table.add_column("all", justify="right")
    for key, some in rows.items():
        numbers = [str(some.get(which) or "") for which in used]
        table.add_row(Text(key), *numbers, str(sum(some.values())), style=None if key else "bold")
    return [Text(), table]


def _open_jobs(seen: Overview, limit: int | None, width: int) -> list[RenderableType]:
    """Return the table of open jobs; a narrow one has no column for the state."""
    wide = width >= _WIDE
    table = _table("Open job", "Grid id", *(["State"] if wide else []), "Site", "Age", "Waits for")
    shown = seen.open if limit is None else seen.open[:limit]
    for job in shown:
        where = display_state(job)
        state = Text(where.value, style=_STYLES.get(where, ""))
        table.add_row(
            *(Text(text) for text in (job.title, job.grid_id or "")),
            *([state] if wide else []),
            *(Text(text) for text in (job.site, _age(seen, job), waits_for(seen, job))),
        )
    parts: list[RenderableType] = [Text(), table]
    if len(shown) < len(seen.open):
        parts.append(Text(f"and {len(seen.open) - len(shown)} more open jobs (--all lists them)"))
    return parts


def _age(seen: Overview, job: JobRecord) -> str:
    """Return the time since the submission, roughly."""
    return duration(seen.now - job.sent, units=1) if job.sent else ""


def _failures(seen: Overview, limit: int | None) -> list[RenderableType]:
    shown = seen.failures if limit is None else seen.failures[:limit]
    parts: list[RenderableType] = [Text(), Text("Failed", style="bold")]
    for job in shown:
        where = f"{job.backend} job {job.grid_id}" if job.grid_id else "not submitted"
        at = f" at {job.site}" if job.site else ""
        ago = f", {duration(seen.now - job.finished)} ago" if job.finished else ""
        parts.append(Text(f"{job.title}: {where}{at}{ago}", style="red"))
        lines = [job.detail.strip()] if job.detail.strip() else []
        log = seen.log(job)
        if log is not None:
            path = os.path.relpath(log)
            lines.append(f"Output: {path if len(path) < len(str(log)) else log}")
        parts.append(Padding(Text("\n".join(lines), overflow="fold"), (0, 0, 0, 4), expand=False))
    if len(shown) < len(seen.failures):
        parts.append(Text(f"and {len(seen.failures) - len(shown)} more (--all lists them)"))
    return parts
