"""Fetches the inputs of the job into its tree, and checks every byte."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from .archive.files import file_digest, place
from .archive.member import Member, TarballError
from .description import Blob, InputDamagedError, Job, in_folder
from .tree import Tree


def stage_in(job: Job, sandbox: Path, tree: Tree, runtime_folder: Path) -> tuple[set[str], int]:
    """Fetch, check and unpack all inputs.

    Args:
        job: The job.
        sandbox: Folder of ``job.json``, where the WMS puts the files of the sandbox.
        tree: Gets the inputs.
        runtime_folder: Where blobs of kind ``runtime`` are unpacked.

    Returns:
        The names staged in, and the bytes read.

    Raises:
        InputDamagedError: An input is missing or damaged.
        FolderError: The path of the working directory cannot stand in a configuration file.
        OSError: Disk full, and the like.
    """
    names: set[str] = set()
    kept = {output.name for output in job.outputs}
    listings = []
    if job.blobs:
        from .fetch import forget, locate
        from .transfer.errors import shown
        from .transfer.urls import READABLE, scheme_of
    if any(blob.kind != "raw" for blob in job.blobs):
        from .archive.unpack import unpack  # slow
    for blob in job.blobs:
        archive = locate(blob, sandbox)
        try:
            if blob.kind == "raw":
                _place(blob, archive, tree.path(blob.name))
                names.add(blob.name)
            elif blob.kind == "placeholders":
                listings.append(archive)
                _check(archive, blob)
            elif blob.kind == "runtime":
                runtime_folder.mkdir()
                unpack(
                    archive,
                    {"work": runtime_folder},
                    digest=blob.digest,
                    compression=blob.compression,
                )
            else:
                wanted = None if blob.wanted is None else set(blob.wanted).__contains__
                unpacked = unpack(
                    archive,
                    tree.roots,
                    digest=blob.digest,
                    compression=blob.compression,
                    wanted=wanted,
                    not_after_ns=time.time_ns(),
                )
                names.update(member.name for member in unpacked.members)
                kept.update(one.name for one in unpacked.members if one.kind == "dir")
        except (TarballError, ValueError) as error:
            origin = f" ({shown(blob.url)})" if blob.url else ""
            if scheme_of(blob.url) in READABLE:
                origin += (
                    "; run 'snakemake-grid clean', which removes it; the next run stores it again"
                )
            raise InputDamagedError(f"input damaged: {error}{origin}") from error
    for archive in listings:  # last: only where there is nothing
        from .placeholders import make_placeholders

        try:
            make_placeholders(archive, tree, kept)
        except TarballError as error:
            raise InputDamagedError(f"input damaged: {error}") from error
    for name in job.marked_files:
        _set_folder(tree.path(name), tree.cwd)
    tree.make_folders(job.folders)
    for blob in job.blobs:
        forget(blob, sandbox)
    return names, sum(blob.size for blob in job.blobs)


def _set_folder(path: Path, folder: Path) -> None:
    """Write the working directory into a configuration file, which keeps its mode and time."""
    status = path.stat()
    text = in_folder(path.read_bytes().decode(), folder)
    path.chmod(0o600)
    path.write_bytes(text.encode())
    path.chmod(stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _check(archive: Path, blob: Blob) -> None:
    if file_digest(archive) != (blob.size, blob.digest):
        raise TarballError(f"{archive} is not the file with SHA-256 {blob.digest}")


def _place(blob: Blob, source: Path, target: Path) -> None:
    member = Member(blob.name, "file", blob.mode, blob.size, blob.mtime_ns, blob.digest)
    try:
        place(source, target, member)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):
            raise InputDamagedError(f"input missing: {blob.name}: {error.strerror}") from error
        raise
