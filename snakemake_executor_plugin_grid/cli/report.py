"""``snakemake-grid report``: how past runs went, as one HTML page or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click

from ..journal.reader import JobRecord, RunRecord
from ..model.errors import GridError
from ..reporting.summary import Summary, summarise
from .workflow import directory_option, open_history, own_folder, run_is_on


@click.command(
    help="Write a page that shows how runs went: every job over time, sites, failures, what was "
    "used of what was asked for, and what to ask for instead."
)
@directory_option
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("grid-report.html"),
    show_default=True,
    metavar="FILE",
    help="Where the page goes.",
)
@click.option(
    "--run", "names", multiple=True, metavar="ID", help="Only this run; may be given repeatedly."
)
@click.option("--last", is_flag=True, help="Only the last run.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON; write no page.")
def report(
    directory: Path, output: Path, names: tuple[str, ...], last: bool, as_json: bool
) -> None:
    """Read the journal, work everything out, write the page."""
    folder = own_folder(directory)
    with open_history(folder) as history:
        known = history.runs()
        runs, jobs = _chosen(known, history.jobs(), names, last=last)
    # Another run that has not noted its end was killed.
    at_work = runs and runs[-1] is known[-1] and runs[-1].ended is None and run_is_on(folder)
    summary = summarise(
        directory.resolve().name,
        runs,
        jobs,
        time.time(),
        going_on=bool(at_work),
        logs={path.stem for path in (folder / "logs").glob("*.log")},
    )
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
        return
    if not jobs:
        raise GridError("No job has been submitted in the runs that were asked for: no page.")
    page = _render(summary)
    try:
        # Names of files may hold bytes that are no text.
        output.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise GridError(f"{output}: cannot be written: {error.strerror}") from error
    click.echo(
        f"{output}: {len(page) / 1e6:.1f} MB, {summary.totals.jobs} job(s). Open it in a browser."
    )


def _chosen(
    runs: list[RunRecord], jobs: list[JobRecord], names: Sequence[str], *, last: bool
) -> tuple[list[RunRecord], list[JobRecord]]:
    """Return the runs that are asked for, and their jobs.

    Raises:
        GridError: There is no such run.
        UsageError: Two ways of asking.
    """
    if names and last:
        raise click.UsageError("--run and --last exclude each other.")
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
