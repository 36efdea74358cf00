"""Stores the job's outputs on the grid, and sees that they are there."""

from __future__ import annotations

from pathlib import Path

from ..report import OUTPUT_MISSING, OUTPUT_NOT_STORED, Report
from ..transfer import urls
from ..transfer.errors import TransferError
from ..tree import Tree
from . import dirac
from .checksum import adler32
from .records import GridOutput, Stored

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRAC = "lfn"


def store(outputs: Sequence[GridOutput], scratch: Path, tree: Tree, report: Report) -> None:
    """Store all outputs of a job that has succeeded so far.

    Args:
        outputs: What to store.
        scratch: Folder for what the tools need.
        tree: Has the files.
        report: Gets what was stored; fails if something could not be.
    """
    made: dict[str, Stored] = {}
    for one in outputs:
        path = tree.path(one.name)
        if path.is_symlink() or not path.is_file():
            report.fail(OUTPUT_MISSING, f"{one.query} has to be a file, not a folder or link")
            return
        made[one.query] = Stored(one.query, path.stat().st_size, adler32(path))
    errors = _to_dirac([one for one in outputs if _is_lfn(one)], scratch, tree, made)
    for one in outputs:
        if not _is_lfn(one):
            errors[one.query] = _to_url(one, tree.path(one.name), scratch, made[one.query])
    report.stored = [one for query, one in made.items() if not errors.get(query)]
    failed = [f"{query}: {error}" for query, error in errors.items() if error]
    if failed:
        report.fail(
            OUTPUT_NOT_STORED, f"outputs could not be stored on the grid: {'; '.join(failed)}"
        )


def _is_lfn(one: GridOutput) -> bool:
    return urls.scheme_of(one.url) == _DIRAC


def _to_dirac(
    outputs: Sequence[GridOutput], scratch: Path, tree: Tree, made: dict[str, Stored]
) -> dict[str, str]:
    if not outputs:
        return {}
    wanted = [
        {
            "lfn": one.url.partition(":")[2],
            "path": str(tree.path(one.name)),
            "element": one.element,
            "guid": one.guid,
            "size": made[one.query].size,
            "adler32": made[one.query].adler32,
            "before": one.before,
            "may_replace": list(one.may_replace),
        }
        for one in outputs
    ]
    try:
        answers = dirac.move(scratch, put=wanted)
    except dirac.NoDiracError as error:
        return dict.fromkeys((one.query for one in outputs), str(error))
    return {one.query: answers.get(one.url.partition(":")[2], "no answer") for one in outputs}


def _to_url(one: GridOutput, path: Path, scratch: Path, made: Stored) -> str:
    """Upload a file, and see that it is there: return the error, empty if there is none."""
    if one.url == one.query:
        from . import by_url

        try:
            by_url.put(one, path, scratch, made)
        except TransferError as error:
            return str(error)
        return ""
    folder, _, leaf = one.url.rpartition("/")
    copy = scratch / "grid-copy"
    try:
        urls.put(path, folder, leaf)
        urls.get(one.url, copy)
        if (copy.stat().st_size, adler32(copy)) != (made.size, made.adler32):
            return f"{one.url} has other contents after the upload"
    except TransferError as error:
        return str(error)
    finally:
        copy.unlink(missing_ok=True)
    return ""
