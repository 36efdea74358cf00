"""What travels with jobs in a sandbox, whatever the system: start script, worker, small blobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..worker.description import Blob
from .base import Payload

START_SCRIPT = "grid-job.sh"
JOBS_FILE = "jobs.json"
WORKER_FILE = "worker.pyz"

SCRIPT = f"""#!/bin/sh
# Starts a job of Snakemake's: needs any Python 3.9 or later, and nothing else.
for python in python3 python3.13 python3.12 python3.11 python3.10 python3.9 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
        exec "$python" {WORKER_FILE} --jobs {JOBS_FILE} "$1"
    fi
done
echo "There is no Python 3.9 or later on this worker node." >&2
exit 127
"""
"""Starts the worker with whatever Python the node has."""
_SHARED_SIZE = 64 << 10
_SEPARATE_SIZE = 1 << 20


@dataclass(frozen=True)
class Cargo:
    """What a job needs, sorted by how it gets there.

    Attributes:
        name: Of the job.
        entry: Its part of ``jobs.json``.
        separate: Digests of blobs that go up one by one.
        packed: Digests and sizes of those that travel in the sandbox of the chunk.
        lfns: Of input data (DIRAC).
    """

    name: str
    entry: Mapping[str, object]
    separate: tuple[str, ...]
    packed: tuple[tuple[str, int], ...]
    lfns: tuple[str, ...]


def load(
    payloads: Sequence[Payload], uploaded: Collection[str], separate_size: int = _SEPARATE_SIZE
) -> list[Cargo]:
    """Sort what a batch of jobs needs.

    Args:
        payloads: The jobs.
        uploaded: Digests of blobs that went up by themselves before.
        separate_size: Bytes from which on a blob goes up by itself, though one job needs it.
    """
    users = Counter(
        digest for payload in payloads for digest in {blob.digest for blob in payload.blobs}
    )
    shared = frozenset(digest for digest, count in users.items() if count > 1).union(uploaded)
    return [cargo_of(payload, shared, separate_size) for payload in payloads]


def portions(
    cargos: Sequence[Cargo], limit: int, fits: Callable[[int], bool]
) -> Iterator[list[Cargo]]:
    """Divide jobs into chunks that fit into one submission and one sandbox.

    Args:
        cargos: The jobs.
        limit: How many one submission may have.
        fits: Whether blobs of so many bytes may be in one sandbox.
    """
    portion: list[Cargo] = []
    sizes: dict[str, int] = {}
    for cargo in cargos:
        more = sizes | dict(cargo.packed)
        if portion and (len(portion) == limit or not fits(sum(more.values()))):
            yield portion
            portion, more = [], dict(cargo.packed)
        portion.append(cargo)
        sizes = more
    if portion:
        yield portion


def cargo_of(
    payload: Payload, shared: frozenset[str] = frozenset(), separate_size: int = _SEPARATE_SIZE
) -> Cargo:
    """Sort the blobs of a job.

    Args:
        payload: The job.
        shared: Digests of blobs that other jobs need as well.
        separate_size: Bytes from which on a blob goes up by itself.
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
    return Cargo(payload.spec.name, entry, tuple(separate), tuple(packed.items()), tuple(lfns))


def _is_separate(blob: Blob, shared: frozenset[str], separate_size: int) -> bool:
    return blob.size >= separate_size or (blob.digest in shared and blob.size >= _SHARED_SIZE)
