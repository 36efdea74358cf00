"""Collect what the job made: outputs, logs and benchmarks, in tarballs and single files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .description import DELIVERY_FOLDER, Job, Output
from .report import Report, Returned
from .tarball import Entry, Member, copy_hashed, file_digest, pack, scan
from .tree import Tree, below

_LINK_DEPTH = 16


def missing_outputs(job: Job, tree: Tree) -> list[str]:
    """Return the names of required outputs that do not exist."""
    return [
        output.name
        for output in job.outputs
        if output.required and not os.path.lexists(tree.path(output.name))
    ]


def undeclared(tree: Tree, staged: set[str], outputs: Sequence[Output]) -> list[str]:
    """Return the names of new files that no rule names."""
    declared = {output.name for output in outputs}
    return [name for name in tree.files() if name not in staged and not below(name, declared)]


def may_return(name: str) -> bool:
    """Whether a file that no rule names may come back: not beside the working directory."""
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
    """Pack the selected outputs and deliver them; note all in the report.

    Args:
        job: The job.
        sandbox: Folder of ``job.json``.
        tree: Where the outputs are.
        staged: Names that were staged in: links to them are kept.
        selected: What to bring back, of whatever exists.
        report: ``returned``, ``left_out``, ``blobs`` and ``bytes_out`` are filled.
    """
    folder = delivery_folder(job, sandbox)
    folder.mkdir(parents=True, exist_ok=True)
    returning = {output.name for output in selected}
    links = _Links(tree, staged, returning, report.left_out)
    small: dict[str, tuple[Entry, str]] = {}
    seen: set[str] = set()
    for output in selected:
        path = tree.path(output.name)
        if not os.path.lexists(path):
            continue
        for entry in links.resolve(_entries(path, output.name)):
            if entry.name in seen:
                continue
            seen.add(entry.name)
            if entry.kind == "file" and entry.size >= job.large_file:
                _deliver_raw(entry, output.kind, folder, report)
            else:
                small[entry.name] = (entry, output.kind)
    if small:
        archive = folder / f".{job.name}.part"
        packed = pack(
            (entry for entry, _ in small.values()), archive, compression=job.compression, sums=True
        )
        archive.replace(folder / packed.digest)
        report.blobs[packed.digest] = packed.size
        exact = {name: entry.mtime_ns for name, (entry, _) in small.items()}
        for member in packed.members:
            member = replace(member, mtime_ns=exact[member.name])
            report.returned.append(Returned(member, small[member.name][1], packed.digest))
    report.bytes_out = sum(report.blobs.values())


def delivery_folder(job: Job, sandbox: Path) -> Path:
    """Return the folder that outputs go to.

    Raises:
        ValueError: The worker cannot write to such a store.
    """
    if not job.deliver:
        return sandbox / DELIVERY_FOLDER
    parts = urlsplit(job.deliver)
    if parts.scheme != "file":
        raise ValueError(f"the worker cannot write to {parts.scheme}:// URLs")
    return Path(unquote(parts.path))


def _deliver_raw(entry: Entry, kind: str, folder: Path, report: Report) -> None:
    size, digest = file_digest(Path(entry.path))
    target = folder / digest
    if not target.exists():
        part = folder / f".{digest}.part"
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        try:
            # The tree is thrown away, so its file may serve as the stored one, unless the mode of
            # its other names is still to be read.
            if os.lstat(entry.path).st_nlink > 1:
                raise OSError("has other names")
            os.link(entry.path, part)
            part.chmod(0o600)
        except OSError:
            copy_hashed(Path(entry.path), part)
        part.replace(target)
    report.blobs[digest] = size
    member = Member(entry.name, "file", entry.mode, size, entry.mtime_ns, digest)
    report.returned.append(Returned(member, kind, digest, raw=True))


def _entries(path: Path, name: str) -> Iterator[Entry]:
    """Like scan, but the output itself stays a link when it is one."""
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
        yield from scan(path, name)


class _Links:
    """Decides what becomes of links: kept, rewritten, followed, or left out."""

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
            # Its target stays behind: send the content under the link's name.
            aimed = Path(os.path.realpath(entry.path))
            yield from self.resolve(scan(aimed, entry.name), depth + 1)
        else:
            self._left_out.append(f"{entry.name}: link to {entry.target}, which is not in the job")

    def _at_home(self, name: str) -> bool:
        """Whether the name exists on the submit host, or will when the job has come back."""
        return (
            name in self._staged
            or below(name, self._returning)
            or any(staged.startswith(name + "/") for staged in self._staged)
        )
