"""``snakemake-grid cancel``: ends jobs that are on the grid."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from ..backends.base import Backend
from ..journal.lock import lock_folder
from ..journal.reader import JobRecord, RunRecord
from ..journal.writer import Journal, Phase
from ..model.errors import GridError, PermanentError
from ..model.state import JobState, JobStatus
from .selection import display_state, select
from .server import ask, backend_of, by_backend, last_run, python_options
from .workflow import directory_option, open_database, open_history, own_folder, run_is_on

_SHOWN = 10
_ON_THE_GRID = (Phase.SUBMITTING, Phase.SUBMITTED, Phase.CANCELLING)
_WHY = "cancelled by 'snakemake-grid cancel'"


@click.command(
    short_help="Cancel jobs that are on the grid.",
    help="Cancel jobs that are on the grid: those of a RULE, perhaps with wildcards as in 'cancel "
    "align sample=a', the job with an ID, or all. What has finished already is left for the next "
    "run to take in.",
)
@click.argument("words", nargs=-1, metavar="[RULE|ID]...")
@directory_option
@click.option("--all", "everything", is_flag=True, help="All jobs of the workflow.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@python_options
def cancel(
    words: tuple[str, ...],
    directory: Path,
    everything: bool,
    yes: bool,
    pythons: Mapping[str, Path],
) -> None:
    """List, ask, cancel; a server that does not answer keeps no other from it."""
    if bool(words) == everything:
        raise click.UsageError("name rules or ids, or give --all.")
    folder = own_folder(directory)
    going_on = bool(run_is_on(folder))
    with contextlib.ExitStack() as stack:
        if not going_on:
            stack.enter_context(lock_folder(folder))
        history = stack.enter_context(open_history(folder))
        runs, jobs = history.runs(), history.jobs()
        chosen = [
            job
            for job in (jobs if everything else select(jobs, words))
            if job.phase in _ON_THE_GRID
        ]
        if not chosen:
            click.echo("None of these jobs is on the grid: there is nothing to cancel.")
            return
        _confirm(chosen, yes=yes, going_on=going_on)
        done = asyncio.run(_cancel_all(folder, runs, chosen, pythons, going_on=going_on))
    _tell(done, going_on=going_on)


@dataclass
class _Done:
    """What became of the jobs.

    Attributes:
        cancelled: Confirmed by the server.
        finished: They had finished before, and are left for a run to take in.
        gone: The server has no such jobs.
        unsure: Not confirmed.
        problems: Why, in words.
    """

    cancelled: list[JobRecord] = field(default_factory=list)
    finished: list[JobRecord] = field(default_factory=list)
    gone: list[JobRecord] = field(default_factory=list)
    unsure: list[JobRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _confirm(jobs: Sequence[JobRecord], *, yes: bool, going_on: bool) -> None:
    """Show the jobs, and ask whether they are to be cancelled.

    Raises:
        GridError: There is nobody to ask.
        click.Abort: They are not.
    """
    for job in jobs[:_SHOWN]:
        click.echo(f"  {_shown(job)}: {display_state(job).value}")
    if len(jobs) > _SHOWN:
        click.echo(f"  and {len(jobs) - _SHOWN} more")
    if yes:
        return
    if not going_on:
        click.echo("That is what the last run has seen; what has finished since will be left.")
    if not sys.stdin.isatty():
        raise GridError("nothing is cancelled without --yes, as there is no terminal to ask.")
    click.confirm(f"Cancel {_number(jobs)}?", abort=True)


async def _cancel_all(
    folder: Path,
    runs: Sequence[RunRecord],
    jobs: Sequence[JobRecord],
    pythons: Mapping[str, Path],
    *,
    going_on: bool,
) -> _Done:
    done = _Done()
    with contextlib.ExitStack() as stack:
        # A run that is going on writes the journal itself.
        database = None if going_on else stack.enter_context(open_database(folder))
        for name, some in by_backend(jobs).items():
            journal = Journal(database, "", name) if database else None
            try:
                run = last_run(runs, name)
                async with backend_of(folder, run, pythons, alone=not going_on) as backend:
                    await _cancel_some(backend, some, journal, done)
            except GridError as error:
                done.problems.append(f"{name}: {str(error).rstrip('.')}.")
                told = (*done.cancelled, *done.finished, *done.gone, *done.unsure)
                known = {job.name for job in told}
                done.unsure += [job for job in some if job.name not in known]
    return done


async def _cancel_some(
    backend: Backend, jobs: Sequence[JobRecord], journal: Journal | None, done: _Done
) -> None:
    """Cancel jobs of one backend, by the ids that it has for their names; note it before."""
    found = await ask(backend.find([job.name for job in jobs]))
    statuses = await ask(backend.states(list(found.values()))) if found else {}
    wanted: dict[str, JobRecord] = {}
    finished: dict[str, JobStatus] = {}
    unsure: list[JobRecord] = []
    gone: list[JobRecord] = []
    for job in jobs:
        grid_id = found.get(job.name)
        status = statuses.get(grid_id) if grid_id is not None else None
        if grid_id is None:
            (unsure if _may_show_up(backend, job) else gone).append(job)
        elif status and status.state is JobState.DONE and job.phase is not Phase.CANCELLING:
            done.finished.append(job)
            finished[job.name] = status
        else:
            wanted[grid_id] = job
    done.unsure += unsure
    if journal is not None:
        journal.seen(finished)
        journal.cancelling([job.name for job in (*wanted.values(), *unsure)])
    left = await ask(backend.cancel(set(wanted))) if wanted else set()
    done.unsure += [job for grid_id, job in wanted.items() if grid_id in left]
    cancelled = {grid_id: job for grid_id, job in wanted.items() if grid_id not in left}
    done.cancelled += cancelled.values()
    if journal is not None and cancelled:
        for job in cancelled.values():
            journal.ended(job.name, Phase.CANCELLED, _WHY)
        with contextlib.suppress(GridError):  # it only costs room
            await ask(backend.discard(list(cancelled)))
    if journal is not None and gone:
        gone = await _note_gone(backend, gone, journal, done)
    done.gone += gone


async def _note_gone(
    backend: Backend, jobs: Sequence[JobRecord], journal: Journal, done: _Done
) -> list[JobRecord]:
    """Note which jobs have vanished, and return them; others went to another server."""
    try:
        await ask(backend.check())  # after it, the backend knows which server this is
    except PermanentError:
        if not backend.endpoint:  # else of something that a run needs, and this does not
            raise
    journal.endpoint = backend.endpoint
    of_this_server = {job.name for job in journal.left()}
    gone = [job for job in jobs if job.name in of_this_server]
    for job in gone:
        journal.ended(job.name, Phase.CANCELLED, f"{backend.name} has no such job")
    elsewhere = [job for job in jobs if job.name not in of_this_server]
    if elsewhere:
        done.unsure += elsewhere
        done.problems.append(
            f"{backend.name}: {_number(elsewhere)} went to another server than {backend.endpoint}; "
            "set the client up for that one first."
        )
    return gone


def _may_show_up(backend: Backend, job: JobRecord) -> bool:
    """Return whether a job that the server does not have may yet be on its way to it."""
    if job.grid_id is not None or job.sent is None:
        return False
    return time.time() - job.sent < backend.settle_seconds


def _tell(done: _Done, *, going_on: bool) -> None:
    """Say what became of the jobs.

    Raises:
        GridError: Some are not confirmed.
    """
    taker = "the run that is going on" if going_on else "the next run"
    if done.cancelled:
        click.echo(f"{_number(done.cancelled)} cancelled.")
        if going_on:
            click.echo(
                "The run that is going on will report them as failed; with --retries, Snakemake "
                "sends them again."
            )
    if done.finished:
        click.echo(f"{_number(done.finished)} had finished already: {taker} takes them in.")
    if done.gone:
        click.echo(f"{_number(done.gone)} not on the grid any more.")
    if done.unsure:
        listed = "\n".join(f"  {_shown(job)}" for job in done.unsure)
        advice = "call this again" if going_on else "call this again, or start the next run"
        done.problems.append(
            f"not confirmed to be cancelled, {_number(done.unsure)}; {advice}:\n{listed}"
        )
    if done.problems:
        raise GridError("\n".join(done.problems))


def _shown(job: JobRecord) -> str:
    return f"{job.title}, {job.backend} job {job.grid_id or f'without id ({job.name})'}"


def _number(jobs: Sequence[JobRecord]) -> str:
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"
