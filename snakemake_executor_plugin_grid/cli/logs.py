"""``snakemake-grid logs``: prints the logs of rules and the output of jobs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..console.format import duration
from ..console.job_logs import read_lines
from ..journal.reader import JournalReader
from ..journal.records import JobRecord, Phase, RunRecord
from ..model.errors import GridError
from ..model.job import log_file
from ..model.untrusted import open_untrusted, printable, printable_lines
from ..resilience.calls import SANDBOX_TIMEOUT
from ..snakemake_api.output import rule_output
from .selection import display_state, latest_to_read, select
from .server import ask, backend_of, by_backend, last_run, python_options
from .workflow import directory_option, own_folder

_JOBS = 5
_LONGEST_PIECE = 1 << 20  # bytes of a line


@click.command(
    short_help="Print the output of jobs.",
    help="Print the logs of rules and the output of jobs: of the jobs of a RULE, with wildcards if "
    "you like, as in 'logs align sample=a', or of the job with an ID (its id on the grid, or its "
    "unique name). If the output is not on this host, ask the server. The job that was submitted "
    "last comes first.",
)
@click.argument("words", nargs=-1, required=True, metavar="RULE|ID...")
@directory_option
@click.option("--server", is_flag=True, help="Ask the server even if the output is on this host.")
@click.option(
    "--tail", type=click.IntRange(min=1), metavar="N", help="Print only the last N lines of each."
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help=f"Print all jobs instead of the last {_JOBS}, and all submissions of each.",
)
@click.option("--whole", is_flag=True, help="Print also what Snakemake prints on the worker.")
@python_options
def logs(
    words: tuple[str, ...],
    directory: Path,
    server: bool,
    tail: int | None,
    everything: bool,
    whole: bool,
    pythons: Mapping[str, Path],
) -> None:
    """Select the jobs, find their outputs, and print them."""
    folder = own_folder(directory)
    with JournalReader(folder) as reader:
        runs, jobs = reader.runs(), reader.jobs()
    chosen = select(jobs, words)
    chosen = list(reversed(chosen if everything else latest_to_read(chosen)))
    shown = chosen if everything else chosen[:_JOBS]
    wanted = [job for job in shown if server or not log_file(folder, job.name).is_file()]
    answers = asyncio.run(_ask_all(folder, runs, wanted, pythons)) if wanted else {}
    owners = _owners(jobs)
    found = 0
    for job in shown:
        path, answer = log_file(folder, job.name), answers.get(job.name)
        problem = answer.problem if answer is not None else ""
        where = (
            f"none, {problem}" if problem else str(path) if answer is None else "from the server"
        )
        click.echo(printable(_header(job, where)))
        if job.phase is Phase.FAILED and job.detail not in ("", problem):
            click.echo(printable_lines(job.detail))
        logs = job.report.get("logs", ())
        for name in logs:
            _print_rule_log(name, directory / name, tail, replaced=owners[name] is not job)
        if problem:
            continue
        if logs:
            click.echo("--> output of the job")
        for line in _output(path, answer, tail, whole=whole):
            click.echo(printable_lines(line))
        found += 1
    if len(shown) < len(chosen):
        click.echo(f"==> and {len(chosen) - len(shown)} more jobs (--all shows them)")
    if not found:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class _Answer:
    """The output of a job that a server returned, or why it did not."""

    text: str = ""
    problem: str = ""


async def _ask_all(
    folder: Path,
    runs: Sequence[RunRecord],
    jobs: Sequence[JobRecord],
    pythons: Mapping[str, Path],
) -> dict[str, _Answer]:
    """Return the answers of the servers, by name of the job."""
    answers: dict[str, _Answer] = {}
    for backend, some in by_backend(jobs).items():
        try:
            answers |= await _ask_one(folder, last_run(runs, backend), some, pythons)
        except GridError as error:
            for job in some:
                answers.setdefault(job.name, _Answer(problem=str(error)))
    return answers


async def _ask_one(
    folder: Path, run: RunRecord, jobs: Sequence[JobRecord], pythons: Mapping[str, Path]
) -> dict[str, _Answer]:
    answers: dict[str, _Answer] = {}
    async with backend_of(folder, run, pythons) as backend:
        found = await ask(backend.find([job.name for job in jobs]))
        for job in jobs:
            # A backend may no longer know the name of a job that has ended.
            grid_id = found.get(job.name) or job.grid_id
            if grid_id is None:
                answers[job.name] = _Answer(problem=job.detail or "it was never submitted")
                continue
            try:
                text = await ask(backend.logs(grid_id), SANDBOX_TIMEOUT)
            except GridError as error:
                answers[job.name] = _Answer(problem=str(error))
            else:
                none = "the server has no output" if job.phase.over else "there is no output yet"
                answers[job.name] = _Answer(text, "" if text else none)
    return answers


def _header(job: JobRecord, where: str) -> str:
    number = f"{job.backend} job {job.grid_id}" if job.grid_id else job.name
    took = ""
    if job.phase.over and job.running and job.ended:
        took = f" after {duration(job.ended - job.running)}"
    state = display_state(job).value
    return f"==> {job.title}, {number}, attempt {job.attempt}, {state}{took}: {where}"


def _print_rule_log(name: str, path: Path, tail: int | None, *, replaced: bool) -> None:
    title = printable(name)
    if replaced or not path.is_file():
        lost = "replaced by that of a later submission" if replaced else "not here any more"
        click.echo(f"--> {title}: {lost}")
        return
    click.echo(f"--> {title}")
    lines = read_lines(path)
    for line in deque(lines, tail) if tail else lines:
        click.echo(printable_lines(line))


def _owners(jobs: Iterable[JobRecord]) -> dict[str, JobRecord]:
    """Return which job has written the present contents of each log of a rule."""
    return {
        name: job
        for job in sorted(jobs, key=lambda job: job.finished or 0.0)
        for name in job.report.get("logs", ())
    }


def _output(path: Path, answer: _Answer | None, tail: int | None, *, whole: bool) -> Iterable[str]:
    """Return what a payload has printed, unless `whole` without what Snakemake prints around it.

    What the server has kept contains also what the system itself has printed.
    """
    last = slice(-tail if tail else None, None)
    if answer is not None:
        return answer.text.splitlines()[last]
    if whole:
        return _lines(path, tail)
    found = rule_output(read_lines(path), tail)
    return [*found.lines, *found.error][last]


def _lines(path: Path, tail: int | None) -> Iterator[str]:
    """Yield the lines of a file, or its last ones, without reading all of it into memory.

    Raises:
        GridError: It cannot be read.
    """
    try:
        with open_untrusted(path) as stream:
            if tail:
                yield from deque(read_lines(path), tail)
                return
            while piece := stream.readline(_LONGEST_PIECE):
                if piece.strip(b"\0"):  # not in a hole, which may be longer than any disk
                    yield piece.decode(errors="replace").rstrip("\n")
    except OSError as error:
        raise GridError(f"{path}: cannot be read: {error.strerror}") from error
