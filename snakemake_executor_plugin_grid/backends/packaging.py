"""What travels with jobs on every system: start script, worker, small blobs, results."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..console.job_logs import read_text
from ..model.untrusted import copy_untrusted, is_digest
from ..worker.description import (
    DELIVERY_FOLDER,
    ENVIRONMENT_FILE,
    JOB_FILE,
    LOG_FILE,
    REPORT_FILE,
    WORKER_LOG,
    Blob,
)
from .base import Payload

START_SCRIPT = "grid-job.sh"
JOBS_FILE = "jobs.json"
WORKER_FILE = "worker.pyz"

SCRIPT = f"""#!/bin/sh
# Starts a job of Snakemake's: needs any Python 3.9 or later, and nothing else.
for python in python3 python3.13 python3.12 python3.11 python3.10 python3.9 python; do
    if "$python" -S -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
        exec "$python" -S -I {WORKER_FILE} --jobs {JOBS_FILE} "$1"
    fi
done
echo "There is no Python 3.9 or later on this worker node." >&2
exit 127
"""
"""Starts the worker with the first suitable Python of the node."""
_SHARED_SIZE = 64 << 10
_SEPARATE_SIZE = 1 << 20


@dataclass(frozen=True)
class JobPackage:
    """What a job needs, sorted by the way it is transported.

    Attributes:
        name: Name of the job.
        entry: Its part of ``jobs.json``.
        separate: Digests of blobs that are uploaded one by one.
        packed: Digests and sizes of blobs in the sandbox of the chunk.
        lfns: LFNs of blobs (DIRAC).
        grid_files: LFNs of inputs that are on the grid, with their sizes in bytes (DIRAC).
    """

    name: str
    entry: Mapping[str, object]
    separate: tuple[str, ...]
    packed: tuple[tuple[str, int], ...]
    lfns: tuple[str, ...]
    grid_files: tuple[tuple[str, int], ...] = ()

    @property
    def lfn_sizes(self) -> dict[str, int]:
        """LFNs of all inputs; those of blobs, which any site can have, count 0 bytes."""
        return {**dict.fromkeys(self.lfns, 0), **dict(self.grid_files)}


def load(
    payloads: Sequence[Payload], uploaded: Collection[str], separate_size: int = _SEPARATE_SIZE
) -> list[JobPackage]:
    """Sort what a batch of jobs needs.

    Args:
        payloads: The jobs.
        uploaded: Digests of blobs that were uploaded one by one before.
        separate_size: From this size on, a blob is uploaded separately even for a single job.
    """
    users = Counter(
        digest for payload in payloads for digest in {blob.digest for blob in payload.blobs}
    )
    shared = frozenset(digest for digest, count in users.items() if count > 1).union(uploaded)
    return [package_of(payload, shared, separate_size) for payload in payloads]


def portions(
    packages: Sequence[JobPackage], limit: int, fits: Callable[[int], bool]
) -> Iterator[list[JobPackage]]:
    """Divide jobs into chunks that fit into one submission and one sandbox.

    Args:
        packages: The jobs.
        limit: Number of jobs that one submission may have.
        fits: Returns whether blobs of so many bytes fit into one sandbox.
    """
    portion: list[JobPackage] = []
    sizes: dict[str, int] = {}
    for package in packages:
        more = sizes | dict(package.packed)
        if portion and (len(portion) == limit or not fits(sum(more.values()))):
            yield portion
            portion, more = [], dict(package.packed)
        portion.append(package)
        sizes = more
    if portion:
        yield portion


def package_of(
    payload: Payload, shared: frozenset[str] = frozenset(), separate_size: int = _SEPARATE_SIZE
) -> JobPackage:
    """Sort the blobs of a job.

    Args:
        payload: The job.
        shared: Digests of blobs that other jobs need as well.
        separate_size: From this size on, a blob is uploaded separately.
    """
    separate: dict[str, None] = {}
    packed: dict[str, int] = {}
    lfns: dict[str, None] = {}
    for blob in payload.blobs:
        scheme = urlsplit(blob.url).scheme
        if scheme == "lfn":
            lfns[blob.url.removeprefix("lfn:")] = None
        elif not blob.url and _is_separate(blob, shared, separate_size):
            separate[blob.digest] = None
        elif not blob.url:
            packed[blob.digest] = blob.size
    entry = {"job": payload.description, "environment": dict(payload.spec.environment)}
    grid_files = [
        (url.removeprefix("lfn:"), one.size)
        for one in payload.spec.grid_inputs
        for url in one.urls
        if url.startswith("lfn:")
    ]
    return JobPackage(
        *(payload.spec.name, entry, tuple(separate), tuple(packed.items()), tuple(lfns)),
        grid_files=tuple(grid_files),
    )


def _is_separate(blob: Blob, shared: frozenset[str], separate_size: int) -> bool:
    return blob.size >= separate_size or (blob.digest in shared and blob.size >= _SHARED_SIZE)


def write_job(payload: Payload, folder: Path) -> None:
    """Write what the worker reads into the folder of a job, readable by the user alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / JOB_FILE).write_text(payload.description)
    secrets = folder / ENVIRONMENT_FILE
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps(dict(payload.spec.environment)))


def copy_results(folder: Path, target: Path) -> None:
    """Copy report, log and outputs in the folder of a job, if they exist."""
    for name in (REPORT_FILE, LOG_FILE):
        with contextlib.suppress(FileNotFoundError):
            copy_untrusted(folder / name, target / name)
    if not (target / LOG_FILE).exists():
        # The payload never ran: the output of the worker may say why.
        with contextlib.suppress(FileNotFoundError):
            copy_untrusted(folder / WORKER_LOG, target / LOG_FILE)
    delivered = folder / DELIVERY_FOLDER
    if delivered.is_dir() and not delivered.is_symlink():
        (target / DELIVERY_FOLDER).mkdir()
        for path in delivered.iterdir():
            if is_digest(path.name):
                copy_untrusted(path, target / DELIVERY_FOLDER / path.name)


def read_logs(folder: Path) -> str:
    """Return the output of the worker and of the payload in the folder of a job."""
    return "".join(read_text(folder / name) for name in (WORKER_LOG, LOG_FILE))
