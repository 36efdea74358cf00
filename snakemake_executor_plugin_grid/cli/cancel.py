"""``snakemake-grid cancel``: cancels jobs that are on the grid."""

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
from ..console.format import plural, sentence
from ..journal.database import open_database
from ..journal.lock import is_locked, lock_folder
from ..journal.reader import JournalReader
from ..journal.records import JobRecord, Phase, RunRecord
from ..journal.writer import Journal
from ..model.errors import GridError, PermanentError
from ..model.state import JobState, JobStatus
from .selection import display_state, select
from .server import ask, backend_of, by_backend, last_run, python_options
from .workflow import directory_option, own_folder

_SHOWN = 10
_ON_THE_GRID = (Phase.SUBMITTING, Phase.SUBMITTED, Phase.CANCELLING)
_WHY = "cancelled by 'snakemake-grid cancel'"


@click.command(
    short_help="Cancel jobs that are on the grid.",
    help="Cancel jobs that are on the grid: the jobs of a RULE, with wildcards if you like, as in "
    "'cancel align sample=a'; the job with an ID; or all jobs. Jobs that have finished are not "
    "cancelled: the next run fetches their results.",
)
@click.argument("words", nargs=-1, metavar="[RULE|ID]...")
@directory_option
@click.option("--all", "everything", is_flag=True, help="Cancel all jobs of the workflow.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@python_options
def cancel(
    words: tuple[str, ...],
    directory: Path,
    everything: bool,
    yes: bool,
    pythons: Mapping[str, Path],
) -> None:
    """List the jobs, ask, and cancel them, also if one of several servers does not answer."""
    if bool(words) == everything:
        raise click.UsageError("give rules or ids, or --all.")
    folder = own_folder(directory)
    going_on = bool(is_locked(folder))
    with contextlib.ExitStack() as stack:
        if not going_on:
            stack.enter_context(lock_folder(folder))
        reader = stack.enter_context(JournalReader(folder))
        runs, jobs = reader.runs(), reader.jobs()
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
    _report(done, going_on=going_on)


@dataclass
class _Done:
    """The jobs by what happened to them.

    Attributes:
        cancelled: The server has confirmed the cancellation.
        finished: They had finished before; a run has to fetch their results.
        gone: The server has no such jobs.
        unsure: The cancellation is not confirmed.
        problems: Messages that say why.
    """

    cancelled: list[JobRecord] = field(default_factory=list)
    finished: list[JobRecord] = field(default_factory=list)
    gone: list[JobRecord] = field(default_factory=list)
    unsure: list[JobRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _confirm(jobs: Sequence[JobRecord], *, yes: bool, going_on: bool) -> None:
    """List the jobs, and ask whether to cancel them.

    Raises:
        GridError: There is no terminal to ask on.
        click.Abort: The user says no.
    """
    for job in jobs[:_SHOWN]:
        click.echo(f"  {_shown(job)}: {display_state(job).value}")
    if len(jobs) > _SHOWN:
        click.echo(f"  and {len(jobs) - _SHOWN} more")
    if yes:
        return
    if not going_on:
        click.echo(
            "These are the states that the last run saw. Jobs that have finished since are not "
            "cancelled."
        )
    if not sys.stdin.isatty():
        raise GridError("nothing is cancelled: add --yes, as there is no terminal to ask on.")
    click.confirm(f"Cancel {plural(len(jobs), 'job')}?", abort=True)


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
        # While a run is going on, only the run writes to the journal.
        database = None if going_on else stack.enter_context(open_database(folder))
        for name, some in by_backend(jobs).items():
            journal = Journal(database, "", name) if database else None
            try:
                run = last_run(runs, name)
                async with backend_of(folder, run, pythons, alone=not going_on) as backend:
                    await _cancel_some(backend, some, journal, done)
            except GridError as error:
                done.problems.append(sentence(f"{name}: {error}"))
                sorted_out = (*done.cancelled, *done.finished, *done.gone, *done.unsure)
                known = {job.name for job in sorted_out}
                done.unsure += [job for job in some if job.name not in known]
    return done


async def _cancel_some(
    backend: Backend, jobs: Sequence[JobRecord], journal: Journal | None, done: _Done
) -> None:
    """Cancel jobs of one backend, by the ids that it finds for their names."""
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
            (unsure if _may_appear(backend, job) else gone).append(job)
        elif status and status.state is JobState.DONE and job.phase is not Phase.CANCELLING:
            done.finished.append(job)
            finished[job.name] = status
        else:
            wanted[grid_id] = job
    done.unsure += unsure
    if journal is not None:
        _ = journal.seen(finished)
        await journal.cancelling([job.name for job in (*wanted.values(), *unsure)])
    left = await ask(backend.cancel(set(wanted))) if wanted else set()
    done.unsure += [job for grid_id, job in wanted.items() if grid_id in left]
    cancelled = {grid_id: job for grid_id, job in wanted.items() if grid_id not in left}
    done.cancelled += cancelled.values()
    if journal is not None and cancelled:
        ended = [journal.ended(job.name, Phase.CANCELLED, _WHY) for job in cancelled.values()]
        await asyncio.gather(*ended)
        with contextlib.suppress(GridError):  # else the server keeps the results longer
            await ask(backend.discard(list(cancelled)))
    if journal is not None and gone:
        gone = await _note_gone(backend, gone, journal, done)
    done.gone += gone


async def _note_gone(
    backend: Backend, jobs: Sequence[JobRecord], journal: Journal, done: _Done
) -> list[JobRecord]:
    """Note which jobs are gone, and return them; the others went to another server."""
    try:
        await ask(backend.check())  # sets the endpoint
    except PermanentError:
        if not backend.endpoint:  # else it failed for something that only a run needs
            raise
    journal.endpoint = backend.endpoint
    of_this_server = {job.name for job in journal.open_jobs()}
    gone = [job for job in jobs if job.name in of_this_server]
    why = f"{backend.name} has no such job"
    await asyncio.gather(*(journal.ended(job.name, Phase.CANCELLED, why) for job in gone))
    elsewhere = [job for job in jobs if job.name not in of_this_server]
    if elsewhere:
        done.unsure += elsewhere
        done.problems.append(
            f"{backend.name}: {plural(len(elsewhere), 'job')} went to another server than "
            f"{backend.endpoint}; set the client up for that server first."
        )
    return gone


def _may_appear(backend: Backend, job: JobRecord) -> bool:
    """Return whether a job that the server does not have may still arrive there."""
    if job.grid_id is not None or job.sent is None:
        return False
    return time.time() - job.sent < backend.settle_seconds


def _report(done: _Done, *, going_on: bool) -> None:
    """Print what happened to the jobs.

    Raises:
        GridError: The cancellation of some is not confirmed.
    """
    taker = "the run that is going on" if going_on else "the next run"
    if done.cancelled:
        click.echo(f"{plural(len(done.cancelled), 'job')} cancelled.")
        if going_on:
            click.echo(
                "The run that is going on will report them as failed; with --retries, Snakemake "
                "submits them again."
            )
    if done.finished:
        finished = plural(len(done.finished), "job")
        click.echo(f"{finished} had finished already: {taker} fetches the results.")
    if done.gone:
        click.echo(f"{plural(len(done.gone), 'job')} not on the grid any more.")
    if done.unsure:
        listed = "\n".join(f"  {_shown(job)}" for job in done.unsure)
        advice = "run this command again" + ("" if going_on else ", or start the next run")
        done.problems.append(
            f"the cancellation of {plural(len(done.unsure), 'job')} is not confirmed; {advice}:\n"
            f"{listed}"
        )
    if done.problems:
        raise GridError("\n".join(done.problems))


def _shown(job: JobRecord) -> str:
    return f"{job.title}, {job.backend} job {job.grid_id or f'without id ({job.name})'}"
