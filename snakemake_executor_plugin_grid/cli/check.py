"""``snakemake-grid check``: checks everything that a run needs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from ..console.format import sentence
from .workflow import directory_option

if TYPE_CHECKING:
    from ..diagnostics.findings import Finding, Findings
    from ..diagnostics.options import Chosen

_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "untried": "–"}  # noqa: RUF001 - a dash
_PLAIN = {"ok": "ok", "warning": "warn", "failed": "FAIL", "untried": "-"}
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "untried": "dim"}


@click.command(
    context_settings={"ignore_unknown_options": True},
    help="Check everything that a run needs, and print what is wrong and what to do: options, the "
    "directory, client, configuration, credentials, server, store and, with --submit, a job. "
    "Accepts all --grid-… options of Snakemake, with or without 'grid-', such as --backend dirac; "
    "'snakemake --help' lists them. Options that are not given come from a profile, or else from "
    "the last run here. The exit code is 0 if no check fails.",
)
@directory_option
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    envvar="SNAKEMAKE_PROFILE",
    metavar="NAME",
    help="Snakemake profile with the options: a name, a folder or a file.",
)
@click.option("--submit", is_flag=True, help="Also run a small job, and remove its files.")
@click.option(
    "--timeout",
    "minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="Time after which that job is cancelled.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[--grid-…]...")
@click.pass_context
def check(
    context: click.Context,
    directory: Path,
    profiles: tuple[str, ...],
    submit: bool,
    minutes: float,
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    """Choose the options, run the checks, print the findings."""
    # Imported here, as these imports are slow and other commands do not need them.
    from ..diagnostics.findings import Findings
    from ..diagnostics.options import choose
    from ..diagnostics.trial import try_all
    from ..model.backend_names import backend_names
    from ..snakemake_api.options import OptionError

    workdir = directory.resolve()
    try:
        chosen = choose(options, profiles, workdir)
    except OptionError as error:
        raise click.UsageError(sentence(error)) from error
    screen = _Screen(backend_names(chosen.settings.backend), silent=as_json)
    findings = Findings(screen.begin, screen.show)
    try:
        try_all(findings, chosen.settings, workdir, screen.note, submit=submit, minutes=minutes)
    except asyncio.CancelledError as error:
        raise click.Abort from error
    finally:
        screen.end()
    if as_json:
        click.echo(json.dumps(_document(findings, chosen, workdir), indent=2))
    else:
        click.echo(chosen.line)
    if findings.failed:
        context.exit(1)


def _document(findings: Findings, chosen: Chosen, workdir: Path) -> dict[str, Any]:
    from ..settings.serialize import to_json

    return {
        "ok": not findings.failed,
        "directory": str(workdir),
        "backend": chosen.settings.backend,
        "options": to_json(chosen.settings),
        "sources": {source: list(names) for source, names in chosen.sources.items()},
        "checks": [
            {
                "name": finding.name,
                "result": finding.result.value,
                "text": finding.text,
                "seconds": finding.seconds,
                **({"facts": finding.facts} if finding.facts else {}),
            }
            for finding in findings.all
        ],
    }


class _Screen:
    """Prints findings one by one: with colours and a spinner on a terminal, else as lines."""

    def __init__(self, backends: Sequence[str], *, silent: bool) -> None:
        self._silent = silent
        self._width = len("Snakemake's lock")
        if len(backends) > 1:  # the names of their checks begin with theirs
            longest = max(map(len, backends)) + len(": configuration")
            self._width = max(self._width, longest)
        self._console = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._name = ""

    def begin(self, name: str) -> None:
        self._name = name
        if self._console.is_terminal and not self._silent:
            self._status = self._console.status(Text(name))
            self._status.start()

    def note(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(f"{self._name}: {text}"))
        else:  # so that a log shows the id of the job
            click.echo(f"{self._name}: {text}", err=True)

    def show(self, finding: Finding) -> None:
        self.end()
        if self._silent:
            return
        result = finding.result.value
        if self._console.is_terminal:
            row = Table.grid(padding=(0, 1))
            row.add_column()
            row.add_column(width=self._width)
            row.add_column(overflow="fold")
            mark = Text(_mark(result), style=_STYLES[result])
            row.add_row(mark, Text(finding.name), Text(finding.text))
            self._console.print(row)
        else:
            text = finding.text.replace("\n", f"\n{'':{self._width + 3}}")
            click.echo(f"{_mark(result)} {finding.name:<{self._width}} {text}")

    def end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _mark(result: str) -> str:
    """Return a sign, or a word if the terminal cannot show the sign."""
    try:
        _MARKS[result].encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN[result]
    return _MARKS[result]
