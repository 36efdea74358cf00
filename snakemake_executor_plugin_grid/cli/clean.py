"""``snakemake-grid clean``: removes what the workflow has put into remote stores."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ..backends.dirac.store import SCHEME
from ..backends.registry import kind_of, open_inventories
from ..journal.catalog import Catalog
from ..journal.database import Database
from ..journal.lock import lock_folder
from ..journal.writer import Journal
from ..model.errors import GridError
from ..stores.inventory import Found, Inventory, portions
from .server import python_option
from .workflow import directory_option, open_database, own_folder

_SHOWN = 5


@click.command(
    help="Remove what the workflow in this directory has put on storage elements and into other "
    "remote stores (s3, davs, root), and nothing else. Lists it first, and asks."
)
@directory_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--force", is_flag=True, help="Also while jobs, whose end is not known, may need the files."
)
@python_option(kind_of("dirac"), "this one")
@click.option(
    "--grid-store-token",
    "store_token",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SNAKEMAKE_GRID_STORE_TOKEN",
    show_envvar=True,
    metavar="FILE",
    help="File with a bearer token for davs:// and root:// (default: as BEARER_TOKEN and the like "
    "say).",
)
def clean(
    directory: Path, yes: bool, force: bool, dirac_python: Path | None, store_token: Path | None
) -> None:
    """List, ask, remove; a store that does not answer does not keep the others from it."""
    folder = own_folder(directory)
    with lock_folder(folder), open_database(folder) as database:
        catalog = Catalog(database)
        pythons = {"dirac": dirac_python} if dirac_python else {}
        with open_inventories(catalog, database, folder, pythons, store_token) as inventory:
            if not inventory:
                click.echo(
                    "This workflow has put nothing on storage elements or into other remote "
                    "stores. A store at file://… is a folder: remove it yourself."
                )
                return
            problems: list[str] = []
            found = _find(inventory, catalog, problems)
            if not any(some.there or some.broken for _, some in found):
                if not problems:
                    click.echo("Nothing of this workflow is in remote stores any more.")
            else:
                _list([some for _, some in found])
                if _may_remove(database, yes=yes, force=force):
                    _remove_all(found, catalog, problems)
            if problems:
                raise GridError("\n".join(problems))


def _find(
    inventory: Sequence[Inventory], catalog: Catalog, problems: list[str]
) -> list[tuple[Inventory, Found]]:
    """Ask all stores; what is gone is forgotten."""
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
        click.echo(f"{'broken upload':>15}  {_shown(url)} ({broken[url]})")
    for url in sorted(there):
        click.echo(f"{there[url]:>15,}  {_shown(url)}")
    if there:
        click.echo(f"{_files(len(there))}, {sum(there.values()):,} bytes.")


def _may_remove(database: Database, *, yes: bool, force: bool) -> bool:
    """Return whether the user wants it.

    Raises:
        GridError: Jobs may need the files.
    """
    backends = [str(name) for (name,) in database.query("SELECT DISTINCT backend FROM jobs")]
    left = [job for backend in backends for job in Journal(database, "", backend).left()]
    warning = ""
    if left:
        shown = ", ".join(
            f"{job.grid_id or 'without id'} (rule {job.rule})" for job in left[:_SHOWN]
        )
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        warning = f"{len(left)} job(s), whose end is not known, may need these files: {shown}{more}"
    asks = not yes and sys.stdin.isatty()
    if not yes and not asks:
        if warning:
            click.echo(f"{warning}.")
        click.echo("Nothing is removed without --yes, as there is no terminal to ask.")
        return False
    if warning and not force:
        raise GridError(
            f"{warning}; nothing is removed. The next run takes them over; to remove the files all "
            "the same, add --force."
        )
    return yes or click.confirm("Remove them?")


def _remove_all(
    found: Sequence[tuple[Inventory, Found]], catalog: Catalog, problems: list[str]
) -> None:
    """Remove what was found, and say what is still there."""
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
        click.echo(f"Removed what {purged} broken upload(s) had left.")
    removed = there.keys() - failed.keys()
    if there:
        click.echo(f"Removed {_files(len(removed))}, {sum(there[url] for url in removed):,} bytes.")
    _complain("broken uploads could not be removed:", broken, problems)
    _complain(f"{_files(len(failed))} could not be removed; try again later:", failed, problems)


def _purge(inventory: Inventory, broken: dict[str, str]) -> dict[str, str]:
    try:
        return inventory.purge(broken)
    except GridError as error:
        return dict.fromkeys(broken, str(error))


def _remove(inventory: Inventory, catalog: Catalog, there: Mapping[str, int]) -> dict[str, str]:
    """Remove files; what is gone is forgotten at once, whatever comes after."""
    failed: dict[str, str] = {}
    left = sorted(there)
    for some in portions(sorted(there)):
        try:
            why = inventory.remove(some)
        except GridError as error:
            # As likely as not the others would fail alike, each after a while.
            failed.update(dict.fromkeys(left, str(error)))
            break
        left = left[len(some) :]
        failed.update(why)
        catalog.forget_locations(set(some) - why.keys())
    inventory.tidy([url for url in there if url not in failed])
    return failed


def _complain(title: str, why: Mapping[str, str], problems: list[str]) -> None:
    if why:
        lines = [f"  {_shown(url)}: {reason}" for url, reason in sorted(why.items())]
        problems.append("\n".join([title, *lines]))


def _shown(url: str) -> str:
    return url.removeprefix(SCHEME)


def _files(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"
