"""Collects outputs, logs and benchmarks of the job, in tarballs and single files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .archive.listing import Entry, scan, special_kind
from .archive.sparse import BLOCKSIZE
from .delivery import Delivery
from .description import Job, Output
from .records import replace
from .report import OUTPUT_NOT_STORED, OUTPUT_TOO_LARGE, SUCCESS, Report, megabytes
from .transfer.errors import TransferError
from .tree import Tree, below

_LINK_DEPTH = 16
_TELLING = ("log", "benchmark")


def missing_outputs(job: Job, tree: Tree) -> list[str]:
    """Return the names of required outputs that do not exist."""
    return [
        output.name
        for output in job.outputs
        if output.required and not os.path.lexists(tree.path(output.name))
    ]


def special_outputs(job: Job, tree: Tree) -> list[str]:
    """Return the required outputs that are FIFOs, sockets or devices: name and kind."""
    found = []
    for output in job.outputs:
        path = tree.path(output.name)
        if output.required and path.exists() and (kind := special_kind(path.stat())):
            found.append(f"{output.name.partition('/')[2]}, {kind}")
    return found


def undeclared(tree: Tree, staged: set[str], outputs: Sequence[Output]) -> list[str]:
    """Return the names of new files that no rule names."""
    declared = {output.name for output in outputs}
    return [name for name in tree.files() if name not in staged and not below(name, declared)]


def may_return(name: str) -> bool:
    """Return whether an undeclared file may come back: only one in the working directory."""
    root, *parts = name.split("/")
    return root == "work" and parts[:1] not in ([], [".snakemake"], [".git"])


def stage_out(
    job: Job,
    sandbox: Path,
    tree: Tree,
    staged: set[str],
    selected: Sequence[Output],
    report: Report,
) -> None:
    """Pack the selected outputs, deliver them and record them in the report.

    If the sandbox or the user limits the outputs, a successful job fails when its outputs do not
    fit, and only logs return. A failed job returns what fits, logs first.

    Args:
        job: The job.
        sandbox: Folder of ``job.json``.
        tree: Where the outputs are.
        staged: Names that were staged in; links to them are kept.
        selected: Outputs to return, as far as they exist.
        report: ``reason`` tells whether the job has failed; ``returned``, ``left_out``, ``blobs``
            and ``bytes_out`` are filled.
    """
    delivery = Delivery.of(job, sandbox, report.reason == SUCCESS)
    found = _collect(tree, staged, selected, report.left_out)
    everything = [item for items in found.values() for item in items]
    try:
        _deliver(job, delivery, found, everything, report)
    except TransferError as error:
        if report.reason == SUCCESS:
            report.fail(OUTPUT_NOT_STORED, f"the outputs could not be stored: {error}")
        else:
            report.left_out.append(f"all outputs and logs; they could not be stored: {error}")


def _deliver(
    job: Job,
    delivery: Delivery,
    found: dict[Output, list[tuple[Entry, str]]],
    everything: list[tuple[Entry, str]],
    report: Report,
) -> None:
    total = sum(entry.stored for entry, _ in everything)
    limit, limited = delivery.limit, "the output sandbox holds"
    hint = f"; {job.deliver_hint}" if job.deliver_hint else ""
    if job.output_limit is not None and total > job.output_limit:
        limit = min(job.output_limit, job.output_limit if limit is None else limit)
        limited, hint = "--grid-output-limit (resource grid_output_limit) allows", ""
    elif limit is None or _least(everything, job) <= limit:
        delivery.write(job, everything, report)
        if limit is None or report.bytes_out <= limit:
            return
        total = report.bytes_out
        delivery.withdraw(report)
    limited = f"{limited} only {megabytes(limit)}"
    if report.reason == SUCCESS:
        report.fail(
            OUTPUT_TOO_LARGE,
            f"the outputs take {megabytes(total)}, but {limited}{hint}",
        )
        found = {output: items for output, items in found.items() if output.kind in _TELLING}
    delivery.write(job, _fitting(found, limit, limited, report.left_out), report)


def _collect(
    tree: Tree, staged: set[str], selected: Sequence[Output], left_out: list[str]
) -> dict[Output, list[tuple[Entry, str]]]:
    """Return the entries of each output; an entry in two outputs belongs to the first."""
    links = _Links(tree, staged, {output.name for output in selected}, left_out)
    seen: set[str] = set()
    found: dict[Output, list[tuple[Entry, str]]] = {}
    for output in selected:
        path = tree.path(output.name)
        if not os.path.lexists(path):
            continue
        items = found.setdefault(output, [])
        for entry in links.resolve(_entries(path, output.name, left_out)):
            if entry.name not in seen:
                seen.add(entry.name)
                items.append((entry, output.kind))
    return found


def _least(items: Sequence[tuple[Entry, str]], job: Job) -> int:
    """Return a lower bound of the bytes that the blobs will take."""
    # Large files may be identical and share a blob; the tarball may be compressed.
    large = [entry.size for entry, _ in items if entry.is_large(job.large_file)]
    small = [entry.stored for entry, _ in items if not entry.is_large(job.large_file)]
    return max(large, default=0) + (sum(small) if job.compression == "none" else 0)


def _fitting(
    found: dict[Output, list[tuple[Entry, str]]], limit: int, limited: str, left_out: list[str]
) -> list[tuple[Entry, str]]:
    """Choose as many outputs as certainly fit: logs first, then small before large."""
    room = limit - 2 * BLOCKSIZE  # the end of the archive
    sizes = {output: sum(entry.stored for entry, _ in items) for output, items in found.items()}
    chosen: list[tuple[Entry, str]] = []
    for output in sorted(found, key=lambda output: (output.kind not in _TELLING, sizes[output])):
        most = sum(_most(entry) for entry, _ in found[output])
        if most <= room:
            room -= most
            chosen += found[output]
        else:
            left_out.append(f"{output.name}: it takes {megabytes(sizes[output])}; {limited}")
    return chosen


def _most(entry: Entry) -> int:
    """Return an upper bound of the bytes of an entry in an archive, compressed or not."""
    names = len(os.fsencode(entry.name)) + len(os.fsencode(entry.target))
    return entry.stored + (entry.stored >> 8) + names + 6 * BLOCKSIZE


def _entries(path: Path, name: str, left_out: list[str]) -> Iterator[Entry]:
    """Do the same as `scan`, but do not follow the output itself if it is a link."""
    if path.is_symlink():
        stat = path.lstat()
        yield Entry(
            name,
            str(path),
            "link",
            0o777,
            0,
            stat.st_mtime_ns,
            os.readlink(path),  # noqa: PTH115
        )
    else:
        yield from scan(path, name, left_out)


class _Links:
    """Decides whether a link is kept, rewritten, replaced by its content, or left out."""

    def __init__(
        self, tree: Tree, staged: set[str], returning: set[str], left_out: list[str]
    ) -> None:
        self._tree = tree
        self._staged = staged
        self._returning = returning
        self._left_out = left_out

    def resolve(self, entries: Iterator[Entry], depth: int = 0) -> Iterator[Entry]:
        for entry in entries:
            if entry.kind == "link":
                yield from self._link(entry, depth)
            else:
                yield entry

    def _link(self, entry: Entry, depth: int) -> Iterator[Entry]:
        folder = os.path.dirname(entry.path)  # noqa: PTH120
        aim = os.path.normpath(os.path.join(folder, entry.target))  # noqa: PTH118
        name = self._tree.name(aim)
        exists = os.path.exists(entry.path)  # noqa: PTH110
        if name is not None and (not exists or self._at_home(name)):
            relative = os.path.relpath(aim, folder)
            yield replace(entry, target=relative)
        elif exists and depth < _LINK_DEPTH:
            # The target does not come back: return its content under the name of the link.
            aimed = Path(os.path.realpath(entry.path))
            yield from self.resolve(scan(aimed, entry.name, self._left_out), depth + 1)
        else:
            self._left_out.append(
                f"{entry.name}: a link to {entry.target}, which is outside of the job's folder"
            )

    def _at_home(self, name: str) -> bool:
        """Return whether the name exists on the submit host, now or when the outputs are there."""
        return (
            name in self._staged
            or below(name, self._returning)
            or any(staged.startswith(name + "/") for staged in self._staged)
        )
