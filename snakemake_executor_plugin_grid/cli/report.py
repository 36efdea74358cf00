"""``snakemake-grid report``: writes an HTML page or JSON about past runs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ..console.format import file_size, plural
from ..journal.database import FOLDER
from ..journal.lock import is_locked
from ..journal.reader import JournalReader
from ..journal.records import JobRecord, Phase, RunRecord
from ..model.errors import GridError
from ..model.job import log_file
from ..reporting.summary import Summary, summarise
from .workflow import directory_option, own_folder


@click.command(
    help="Write an HTML page about the runs: every job over time, sites, failures, used and "
    "requested resources, and advice on what to request."
)
@directory_option
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("grid-report.html"),
    show_default=True,
    metavar="FILE",
    help="File of the page.",
)
@click.option("--run", "names", multiple=True, metavar="ID", help="Only this run; can be repeated.")
@click.option("--last", is_flag=True, help="Only the last run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of writing a page.")
def report(
    directory: Path, output: Path, names: tuple[str, ...], last: bool, as_json: bool
) -> None:
    """Read the journal, summarise it, write the page."""
    folder = own_folder(directory)
    with JournalReader(folder) as reader:
        known = reader.runs()
        runs, jobs = _chosen(known, reader.jobs(), names, last=last)
        chosen = {run.name for run in runs}
        history = [one for one in reader.history() if one.run in chosen]
    # An earlier run that has not noted its end was killed.
    going_on = runs and runs[-1] is known[-1] and runs[-1].ended is None and is_locked(folder)
    summary = summarise(
        directory.resolve().name,
        runs,
        jobs,
        time.time(),
        going_on=bool(going_on),
        logs=_logs(folder, jobs),
        history=history,
    )
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    if not jobs:
        raise GridError("no job was submitted in these runs: no page is written.")
    page = _render(summary)
    try:
        # Names of files may contain bytes that are not valid UTF-8.
        output.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise GridError(f"{output}: cannot be written: {error.strerror}") from error
    click.echo(
        f"{output}: {file_size(len(page))}, {plural(summary.totals.jobs, 'job')}. Open it in a "
        "browser."
    )


def _logs(folder: Path, jobs: Sequence[JobRecord]) -> dict[str, str]:
    """Return the files with the output of failed jobs, by name; others are not named."""
    failed = (job.name for job in jobs if job.phase is Phase.FAILED)
    files = ((name, log_file(folder, name)) for name in failed)
    return {name: str(FOLDER / file.relative_to(folder)) for name, file in files if file.is_file()}


def _chosen(
    runs: list[RunRecord], jobs: list[JobRecord], names: Sequence[str], *, last: bool
) -> tuple[list[RunRecord], list[JobRecord]]:
    """Return the selected runs, and their jobs.

    Raises:
        GridError: There is no such run.
        UsageError: Both options are given.
    """
    if names and last:
        raise click.UsageError("give either --run or --last.")
    if last:
        names = [run.name for run in runs[-1:]]
    if not names:
        return (runs, jobs)
    missing = sorted(set(names) - {run.name for run in runs})
    if missing:
        known = ", ".join(run.name for run in runs) or "none"
        raise GridError(f"--run {missing[0]}: no such run here; there are: {known}")
    return (
        [run for run in runs if run.name in names],
        [job for job in jobs if job.run in names],
    )


def _render(summary: Summary) -> str:
    try:
        from ..reporting.page import render
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("plotly", "jinja2"):
            raise
        raise GridError(
            f"The report needs {error.name.partition('.')[0]}, which is not installed: "
            "pip install 'snakemake-executor-plugin-grid[report]' (--json works without it)"
        ) from error
    return render(summary)
