"""Installs the files that a job returned: checks all of them, then moves them into place."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..console.format import file_size
from ..console.progress import size_of, transfer
from ..model.errors import DiskFullError
from ..model.job import JobSpec
from ..model.untrusted import UntrustedError, printable
from ..worker.archive.files import copy_file, place
from ..worker.archive.member import MAX_SECONDS, Member, TarballError
from ..worker.archive.unpack import NAME_ERRNOS, unpack
from ..worker.report import Report, Returned
from ..worker.tree import Tree, ancestry, below
from .paths import WORK, Layout, climb

_LARGEST_RATIO = 100
"""Of unpacked to compressed bytes. A job that claims more does not make the run wait for space."""


class OutputDamagedError(UntrustedError):
    """The returned files differ from the report, or the job may not return them."""


@dataclass(frozen=True)
class Installed:
    """Result of installing the outputs of a job.

    Attributes:
        moved: Names of the outputs, logs and other files that were moved into place.
        extra: Names in the tarballs that the report does not mention; they were ignored.
        not_replaced: Names of files that no rule names and that exist already; they are unchanged.
        digests: Path, stat and SHA-256 of large files, for the catalog.
    """

    moved: tuple[str, ...]
    extra: tuple[str, ...]
    not_replaced: tuple[str, ...]
    digests: tuple[tuple[str, os.stat_result, str], ...]


def install_outputs(
    spec: JobSpec,
    report: Report,
    layout: Layout,
    fetch: Callable[[str], Path],
    folder: Path,
    compression: str,
    *,
    undeclared: bool = False,
) -> Installed:
    """Unpack, check and move into place the files that a job returned.

    Args:
        spec: The job; its outputs are what it may return.
        report: The worker's report about the job.
        layout: Maps names in the archives to paths of the submit host.
        fetch: Returns the local file of a blob, given its digest.
        folder: New scratch folder, on the file system of the working directory.
        compression: Compression of the tarballs.
        undeclared: Whether the job may return new files that no rule names.

    Raises:
        OutputDamagedError: A check failed; nothing was moved.
        DiskFullError: There is not enough space for them.
        OSError: A file cannot be written, for example because the disk is full.
    """
    _authorise(spec, report.returned, layout if undeclared else None)
    shift = time.time_ns() - int(report.times.get("ended", time.time()) * 1e9)
    # Files that no rule names never replace existing files.
    not_replaced = [
        item.member.name
        for item in report.returned
        if item.kind == "undeclared" and os.path.lexists(layout.local(item.member.name))
    ]
    packed = [
        replace(item, member=_by_clock_of_this_host(item.member, shift)) for item in report.returned
    ]
    returned = [item for item in packed if item.member.name not in not_replaced]
    _check_space(returned, report.blobs, folder, compression)
    depth = max((climb(item.member.name.partition("/")[0]) for item in returned), default=0)
    shutil.rmtree(
        folder / "tree", ignore_errors=True
    )  # left by an attempt that failed because the disk was full
    tree = Tree(folder / "tree", layout.nesting(depth))
    with _damage():
        extra = _unpack_all(packed, not_replaced, tree, fetch, compression)
    moved = _tops(spec, returned)
    for name in moved:
        _check_target(tree.path(name), layout.local(name))
    for name in moved:
        install(tree.path(name), layout.local(name))
    digests = []
    for item in returned:
        if item.raw:
            path = layout.local(item.member.name)
            digests.append((str(path), path.lstat(), item.member.sha256))
    return Installed(tuple(moved), tuple(extra), tuple(not_replaced), tuple(digests))


def _by_clock_of_this_host(member: Member, shift: int) -> Member:
    # Both may be centuries wrong, but what `utime()` gets must fit into 64 bits.
    return replace(member, mtime_ns=max(member.mtime_ns + shift, -MAX_SECONDS * 10**9))


@contextmanager
def _damage() -> Iterator[None]:
    """Raise errors that are due to what a job returned as `OutputDamagedError`."""
    try:
        yield
    except (TarballError, UntrustedError, UnicodeEncodeError) as error:
        raise OutputDamagedError(f"output damaged: {printable(str(error))}") from error
    except OSError as error:
        if error.errno not in NAME_ERRNOS:
            raise
        reason = printable(str(error))
        raise OutputDamagedError(f"output damaged: it cannot be written here: {reason}") from error


def _unpack_all(
    packed: Sequence[Returned],
    skipped: Container[str],
    tree: Tree,
    fetch: Callable[[str], Path],
    compression: str,
) -> list[str]:
    """Write files into a tree, but not the skipped ones.

    Returns:
        Names in the tarballs that the report does not list.
    """
    # Large files first: a folder of the tarball may be read-only, and gets its time at the end.
    for item in packed:
        if item.raw and item.member.name not in skipped:
            _place(fetch(item.blob), tree.path(item.member.name), item.member)
    extra: list[str] = []
    manifests: dict[str, dict[str, Member]] = {}
    for item in packed:
        if not item.raw:
            manifests.setdefault(item.blob, {})[item.member.name] = item.member
    for digest, manifest in manifests.items():
        unpacked = unpack(
            fetch(digest),
            tree.roots,
            digest=digest,
            compression=compression,
            manifest=manifest,
            wanted=lambda name: name not in skipped,
            not_after_ns=time.time_ns(),
            follow=False,
        )
        extra += unpacked.extra
    return extra


def _check_space(
    returned: Iterable[Returned], blobs: Mapping[str, int], folder: Path, compression: str
) -> None:
    """Raise an error if the files cannot be on the disk of a folder: now, or ever.

    Only what the blobs can hold makes the run wait for space; their sizes are those of files that
    were fetched, while the sizes of their members are claims of the worker.
    """
    packed = Counter[str]()
    large = 0  # such files are blobs themselves; equal ones share one
    for item in returned:
        if item.raw:
            large += item.stored
        else:
            packed[item.blob] += item.stored
    held = large + sum(blobs[digest] for digest in packed)
    if compression == "none" and any(size > blobs[digest] for digest, size in packed.items()):
        raise OutputDamagedError(
            "output damaged: the job's report lists more bytes than a tarball has"
        )
    folder.mkdir(parents=True, exist_ok=True)
    needed, disk = large + packed.total(), shutil.disk_usage(folder)
    if needed > disk.total:
        raise OutputDamagedError(
            f"the outputs take {file_size(needed)}, more than the whole disk of {folder}"
        )
    if needed > disk.free and needed > _LARGEST_RATIO * held:
        raise OutputDamagedError(
            f"the outputs take {file_size(needed)}, but {folder} has only "
            f"{file_size(disk.free)} of free space; the run does not wait for more, as only "
            f"{file_size(held)} came back"
        )
    if needed > disk.free:
        raise DiskFullError(
            f"the outputs of a job take {file_size(needed)}, but {folder} has only "
            f"{file_size(disk.free)} of free space"
        )


def _place(source: Path, target: Path, member: Member) -> None:
    with transfer(printable(member.name.partition("/")[2]), member.size, up=False) as moving:
        moving.watch(size_of(target))
        place(source, target, member, follow=False)


def _check_target(source: Path, target: Path) -> None:
    """Raise an error if a file would replace a folder with content; Snakemake does the same."""
    if source.is_dir() or source.is_symlink() or target.is_symlink() or not target.is_dir():
        return
    if any(target.iterdir()):
        raise OutputDamagedError(
            f"output {target} is a file, but a folder that is not empty exists there; move the "
            "folder away"
        )


def install(source: Path, target: Path) -> None:
    """Move a file, link or folder to its target, so that nobody sees half of it.

    Args:
        source: File, link or folder to move.
        target: New path, replaced if it exists; missing folders above it are created.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        _install_folder(source, target)
        return
    if target.is_dir() and not target.is_symlink():
        _discard(target)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The output's folder is a link to another file system: copy beside it, then rename.
        part = target.with_name(f".{target.name}.grid-part")
        copy_file(source, part)
        part.replace(target)


def _install_folder(source: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.grid-old")
    if os.path.lexists(old):
        _discard(old)
    replaces = os.path.lexists(target)
    if replaces:
        target.rename(old)
    status = source.stat()
    mode = stat.S_IMODE(status.st_mode)
    source.chmod(mode | 0o700)  # renaming a folder writes to it
    try:
        _move_folder(source, target)
    except BaseException:
        if replaces:
            old.rename(target)
        raise
    target.chmod(mode)
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
    if replaces:
        _discard(old)


def _move_folder(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(f".{target.name}.grid-part")
        if part.exists():
            _discard(part)
        try:
            shutil.copytree(source, part, symlinks=True, copy_function=copy_file)
        except BaseException:
            if part.exists():
                _discard(part)
            raise
        part.rename(target)


def _discard(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)  # noqa: PTH101 - a read-only folder cannot be emptied
    shutil.rmtree(path)


def _authorise(spec: JobSpec, returned: Iterable[Returned], layout: Layout | None) -> None:
    """Raise an error if the job returned a file that it may not return."""
    tops = {output.name for output in spec.outputs}
    for item in returned:
        name, undeclared = item.member.name, item.kind == "undeclared"
        if below(name, tops):
            if undeclared:  # such files replace none, so that of an earlier run would stay
                raise OutputDamagedError(
                    f"the job returned its output {printable(name)} as a file that no rule names"
                )
        elif undeclared and layout is not None:
            _authorise_undeclared(name, layout)
        else:
            raise OutputDamagedError(
                f"the job returned {printable(name)}, which is not an output of its rule"
            )


def _authorise_undeclared(name: str, layout: Layout) -> None:
    """Raise an error unless a file that no rule names may be put where it belongs.

    It must be inside the working directory, and must not replace a folder.
    """
    root, *parts = name.split("/")
    if root != WORK or not parts or parts[0] in (".snakemake", ".git"):
        raise OutputDamagedError(f"the job returned {printable(name)}, which is not allowed there")
    path = layout.local(name)
    try:
        inside = path.parent.resolve().is_relative_to(layout.workdir.resolve())
    except (OSError, RuntimeError):  # links in a circle (RuntimeError before Python 3.13)
        inside = False
    if not inside or (path.is_dir() and not path.is_symlink()):
        raise OutputDamagedError(
            f"the job returned the file {printable(name)}, which no rule names; it may not replace "
            "a folder, nor follow a link out of the working directory"
        )


def _tops(spec: JobSpec, returned: Iterable[Returned]) -> list[str]:
    """Return the names to move: each output as a whole, undeclared files one by one."""
    tops = {output.name for output in spec.outputs}
    names: dict[str, None] = {}
    for item in returned:
        name = item.member.name
        # The outermost name, because a rule may name a folder and also files in it.
        names[next((top for top in reversed(ancestry(name)) if top in tops), name)] = None
    return list(names)
