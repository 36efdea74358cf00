"""``snakemake-grid clean``: removes the files of the workflow from remote stores."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..backends.bundles.registry import BundleRegistry
from ..backends.registry import kind_of, open_inventories
from ..console.format import listed, plural
from ..journal.catalog import Catalog
from ..journal.database import open_database
from ..journal.history import History
from ..journal.lock import lock_folder
from ..journal.reader import JournalReader
from ..journal.writer import Journal
from ..model.errors import GridError
from ..reporting.measured import measured
from ..settings.names import STORAGE_RUCIO_PYTHON, variable
from ..stores.inventory import Found, Inventory, portions
from .server import checked_python, python_option
from .workflow import directory_option, own_folder

_SHOWN = 5
_DAYS = 90.0


@click.command(
    help="Remove the files that the workflow in this directory has put on storage elements and "
    "into other remote stores (s3, davs, root, rucio). List them first, and ask. Nothing else is "
    "removed. With --history, sum up old runs in the journal instead."
)
@directory_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--force", is_flag=True, help="Remove the files even if unfinished jobs may need them."
)
@python_option(kind_of("dirac"), "this one")
@click.option(
    "--grid-rucio-python",
    "rucio_python",
    type=click.Path(path_type=Path),
    envvar=[variable("rucio_python"), STORAGE_RUCIO_PYTHON],
    show_envvar=True,
    callback=checked_python,
    metavar="FILE",
    help="Python that has rucio-clients (default: this one).",
)
@click.option(
    "--grid-store-token",
    "store_token",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SNAKEMAKE_GRID_STORE_TOKEN",
    show_envvar=True,
    metavar="FILE",
    help="File with a bearer token for davs:// and root:// (default: from BEARER_TOKEN and similar "
    "variables).",
)
@click.option(
    "--history",
    is_flag=True,
    help="Remove instead the rows of ended jobs of old runs from the journal; their sums stay.",
)
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    metavar="N",
    help=f"With --history: runs that ended more than N days ago (default: {_DAYS:g}).",
)
def clean(
    directory: Path,
    yes: bool,
    force: bool,
    history: bool,
    days: float | None,
    dirac_python: Path | None,
    rucio_python: Path | None,
    store_token: Path | None,
) -> None:
    """List the files, ask, and remove them, also if one of several stores does not answer."""
    folder = own_folder(directory)
    if days is not None and not history:
        raise click.UsageError("--days goes with --history.")
    if history:
        _prune(folder, _DAYS if days is None else days, yes=yes)
        return
    with lock_folder(folder), open_database(folder) as database:
        catalog = Catalog(database)
        pythons = {"dirac": dirac_python} if dirac_python else {}
        opened = open_inventories(catalog, database, folder, pythons, store_token, rucio_python)
        with opened as inventory:
            if not inventory:
                click.echo(
                    "This workflow has put no files on storage elements or into other remote "
                    "stores. If its store is at file://…, remove that folder yourself."
                )
                return
            problems: list[str] = []
            found = _find(inventory, catalog, problems)
            if not any(some.there or some.broken for _, some in found):
                if not problems:
                    click.echo("No file of this workflow is in remote stores any more.")
            else:
                _list([some for _, some in found])
                if _may_remove(folder, yes=yes, force=force):
                    _remove_all(found, catalog, problems)
            if problems:
                raise GridError("\n".join(problems))


def _prune(folder: Path, days: float, *, yes: bool) -> None:
    """Remove the rows of old runs, after asking."""
    with lock_folder(folder), open_database(folder) as database:
        _ = Journal(database, "", ""), BundleRegistry(database)  # their tables
        past = History(database)
        before = time.time() - days * 86400
        count = past.removable(before)
        if not count:
            click.echo(f"No run that ended more than {days:g} days ago has rows to remove.")
            return
        click.echo(
            f"{plural(count, 'ended submission')} of runs that ended more than {days:g} days ago: "
            "logs, describe and status will not know them, and report has their sums only."
        )
        if not yes and not sys.stdin.isatty():
            click.echo("Nothing is removed: add --yes, as there is no terminal to ask on.")
        elif yes or click.confirm("Remove these rows?"):
            count = past.prune(before, _measure)
            database.compact()
            click.echo(f"Removed {plural(count, 'row')}.")


def _measure(report: Mapping[str, Any]) -> tuple[float, float, int, int]:
    found = measured(report)
    return found.run_seconds or 0.0, found.cpu_seconds or 0.0, found.bytes_in, found.bytes_out


def _find(
    inventory: Sequence[Inventory], catalog: Catalog, problems: list[str]
) -> list[tuple[Inventory, Found]]:
    """Ask all stores for their files, and forget those that are gone."""
    found = []
    for one in inventory:
        try:
            some = one.find()
        except GridError as error:
            problems.append(str(error))
        else:
            catalog.forget_locations(some.gone)
            found.append((one, some))
    return found


def _list(found: Sequence[Found]) -> None:
    broken = {url: where for some in found for url, where in some.broken.items()}
    there = {url: size for some in found for url, size in some.there.items()}
    for url in sorted(broken):
        click.echo(f"{'broken upload':>15}  {url} ({broken[url]})")
    for url in sorted(there):
        click.echo(f"{there[url]:>15,}  {url}")
    if there:
        click.echo(f"{plural(len(there), 'file')}, {sum(there.values()):,} bytes.")


def _may_remove(folder: Path, *, yes: bool, force: bool) -> bool:
    """Return whether the user wants to remove the files.

    Raises:
        GridError: Unfinished jobs may need the files.
    """
    with JournalReader(folder) as reader:
        unfinished = [job for job in reader.jobs() if not job.phase.over]
    warning = ""
    if unfinished:
        shown = listed(
            [f"{job.grid_id or 'without id'} (rule {job.rule})" for job in unfinished], _SHOWN
        )
        warning = f"{plural(len(unfinished), 'unfinished job')} may need these files: {shown}"
    asks = not yes and sys.stdin.isatty()
    if not yes and not asks:
        if warning:
            click.echo(f"{warning}.")
        click.echo("Nothing is removed: add --yes, as there is no terminal to ask on.")
        return False
    if warning and not force:
        raise GridError(
            f"{warning}. Nothing is removed: the next run takes these jobs over. To remove the "
            "files anyway, add --force."
        )
    return yes or click.confirm("Remove these files?")


def _remove_all(
    found: Sequence[tuple[Inventory, Found]], catalog: Catalog, problems: list[str]
) -> None:
    """Remove the files that were found, and print which could not be removed."""
    purged, broken = 0, {}
    failed: dict[str, str] = {}
    there: dict[str, int] = {}
    for inventory, some in found:
        if some.broken:
            why = _purge(inventory, some.broken)
            catalog.forget_locations(some.broken.keys() - why.keys())
            purged += len(some.broken.keys() - why.keys())
            broken.update(why)
        failed.update(_remove(inventory, catalog, some.there))
        there.update(some.there)
    if purged or broken:
        click.echo(f"Removed the remains of {plural(purged, 'broken upload')}.")
    removed = there.keys() - failed.keys()
    if there:
        total = sum(there[url] for url in removed)
        click.echo(f"Removed {plural(len(removed), 'file')}, {total:,} bytes.")
    _complain("broken uploads could not be removed:", broken, problems)
    left = plural(len(failed), "file")
    _complain(f"{left} could not be removed; try again later:", failed, problems)


def _purge(inventory: Inventory, broken: dict[str, str]) -> dict[str, str]:
    try:
        return inventory.purge(broken)
    except GridError as error:
        return dict.fromkeys(broken, str(error))


def _remove(inventory: Inventory, catalog: Catalog, there: Mapping[str, int]) -> dict[str, str]:
    """Remove files, and forget each one as soon as it is gone."""
    failed: dict[str, str] = {}
    left = sorted(there)
    for some in portions(sorted(there)):
        try:
            why = inventory.remove(some)
        except GridError as error:
            # The others would probably fail in the same way, each after some time.
            failed.update(dict.fromkeys(left, str(error)))
            break
        left = left[len(some) :]
        failed.update(why)
        catalog.forget_locations(set(some) - why.keys())
    inventory.tidy([url for url in there if url not in failed])
    return failed


def _complain(title: str, why: Mapping[str, str], problems: list[str]) -> None:
    if why:
        lines = [f"  {url}: {reason}" for url, reason in sorted(why.items())]
        problems.append("\n".join([title, *lines]))
