"""``snakemake-grid clean``: removes what the workflow has put on storage elements."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from ..backends.dirac.client import Client
from ..calls import TRANSFER_TIMEOUT
from ..database import Database
from ..errors import GridError
from ..journal import Journal
from ..lock import lock_folder
from ..staging.catalog import Catalog
from ..stores.lfn import SCHEME, deliveries
from .dirac import open_client, python_option
from .workflow import directory_option, open_database, own_folder

_PER_CALL = 100
_BACKEND = "dirac"  # the one that uses storage elements


@click.command(
    help="Remove what the workflow in this directory has put on storage elements, and nothing "
    "else. Lists it first, and asks."
)
@directory_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--force", is_flag=True, help="Also while jobs, whose end is not known, may need the files."
)
@python_option
def clean(directory: Path, yes: bool, force: bool, dirac_python: Path) -> None:
    """List, ask, remove."""
    folder = own_folder(directory)
    with lock_folder(folder), open_database(folder) as database:
        catalog = Catalog(database)
        noted = [_lfn(url) for url in catalog.locations() if url.startswith(SCHEME)]
        stores = [url for url in catalog.stores() if url.startswith(SCHEME)]
        if not noted and not stores:
            click.echo("This workflow has put nothing on storage elements.")
            return
        with open_client(dirac_python, folder) as client:
            delivered = _delivered(client, stores, database)
            sizes = _sizes(client, list(dict.fromkeys([*noted, *delivered])))
            there = {lfn: size for lfn, size in sizes.items() if size is not None}
            unknown = sorted(sizes.keys() - there.keys())
            broken = _broken(client, unknown, catalog.elements())
            catalog.forget_locations(_urls(set(unknown) - broken.keys()))
            if not there and not broken:
                click.echo("Nothing of this workflow is on storage elements any more.")
                return
            _list(there, broken)
            if _may_remove(database, yes=yes, force=force):
                if broken:
                    _purge(client, catalog, broken)
                if there:
                    _remove(client, catalog, there)


def _delivered(client: Client, stores: Sequence[str], database: Database) -> list[str]:
    """Return what jobs have left in their folders: nobody may have fetched it."""
    rows = database.query("SELECT name FROM jobs WHERE backend=? ORDER BY name", (_BACKEND,))
    names = [str(name) for (name,) in rows]
    folders = [f"{deliveries(store)}/{name}" for store in stores for name in names]
    return [lfn for some in _portions(folders) for lfn in client.call_now("listing", some)]


def _sizes(client: Client, lfns: Sequence[str]) -> dict[str, int | None]:
    """Return the size of each file, None for one that is not there."""
    found: dict[str, int | None] = {}
    for some in _portions(lfns):
        found.update(client.call_now("sizes", some))
    return found


def _broken(client: Client, lfns: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
    """Return what uploads that broke off have left: the file catalog does not know of it."""
    found: dict[str, str] = {}
    for some in _portions(lfns):
        found.update(client.call_now("remnants", some, elements))
    return found


def _purge(client: Client, catalog: Catalog, broken: Mapping[str, str]) -> None:
    """Remove that.

    Raises:
        GridError: Some of it is still there.
    """
    failed: dict[str, str] = {}
    for element in sorted(set(broken.values())):
        for some in _portions([lfn for lfn, where in broken.items() if where == element]):
            failed.update(client.call_now("purge", some, element))
    gone = broken.keys() - failed.keys()
    catalog.forget_locations(_urls(gone))
    click.echo(f"Removed what {len(gone)} broken upload(s) had left.")
    if failed:
        lines = [f"  {lfn}: {reason}" for lfn, reason in sorted(failed.items())]
        raise GridError("\n".join(["broken uploads could not be removed:", *lines]))


def _list(there: Mapping[str, int], broken: Mapping[str, str]) -> None:
    for lfn in sorted(broken):
        click.echo(f"{'broken upload':>15}  {lfn} ({broken[lfn]})")
    for lfn in sorted(there):
        click.echo(f"{there[lfn]:>15,}  {lfn}")
    if there:
        click.echo(f"{_files(len(there))}, {sum(there.values()):,} bytes.")


def _may_remove(database: Database, *, yes: bool, force: bool) -> bool:
    """Return whether the user wants it.

    Raises:
        GridError: Jobs may need the files.
    """
    left = Journal(database, "", _BACKEND).left()
    warning = ""
    if left:
        shown = ", ".join(f"{job.grid_id or 'without id'} (rule {job.rule})" for job in left[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        warning = f"{len(left)} job(s), whose end is not known, may need these files: {shown}{more}"
    asks = not yes and sys.stdin.isatty()
    if not yes and not asks:
        if warning:
            click.echo(f"{warning}.")
        click.echo("Nothing is removed without --yes, as there is no terminal to ask.")
        return False
    if warning and not force:
        raise GridError(
            f"{warning}; nothing is removed. The next run cancels them; to remove the files all "
            "the same, add --force."
        )
    return yes or click.confirm("Remove them?")


def _remove(client: Client, catalog: Catalog, there: Mapping[str, int]) -> None:
    """Remove files; what is gone is forgotten at once, whatever comes after.

    Raises:
        GridError: Some are still there.
    """
    failed: dict[str, str] = {}
    left = sorted(there)
    for some in _portions(sorted(there)):
        try:
            why = client.call_now("remove", some, limit=TRANSFER_TIMEOUT)
        except GridError as error:
            # As likely as not the others would fail alike, each after a while.
            failed.update(dict.fromkeys(left, str(error)))
            break
        left = left[len(some) :]
        failed.update(why)
        catalog.forget_locations(_urls(set(some) - why.keys()))
    removed = there.keys() - failed.keys()
    click.echo(f"Removed {_files(len(removed))}, {sum(there[lfn] for lfn in removed):,} bytes.")
    if failed:
        lines = [f"  {lfn}: {reason}" for lfn, reason in sorted(failed.items())]
        raise GridError(
            "\n".join([f"{_files(len(failed))} could not be removed; try again later:", *lines])
        )


def _portions(items: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _PER_CALL):
        yield list(items[start : start + _PER_CALL])


def _urls(lfns: set[str]) -> list[str]:
    return [f"{SCHEME}{lfn}" for lfn in lfns]


def _lfn(url: str) -> str:
    return url.removeprefix(SCHEME)


def _files(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"
