"""What travels with DIRAC jobs: a sandbox for each chunk of jobs, and others for larger blobs."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ...calls import SANDBOX_TIMEOUT
from ...stores.spool import SpoolStore
from ...worker.description import Blob
from ..base import Payload
from .client import Client

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
_UPLOADS = 4


@dataclass(frozen=True)
class Cargo:
    """What a job needs, sorted by how it gets there.

    Attributes:
        name: Of the job.
        entry: Its part of ``jobs.json``.
        separate: Digests of blobs that have a sandbox of their own.
        packed: Digests and sizes of those that travel in the sandbox of the chunk.
        lfns: Of input data.
    """

    name: str
    entry: Mapping[str, object]
    separate: tuple[str, ...]
    packed: tuple[tuple[str, int], ...]
    lfns: tuple[str, ...]


def cargo_of(payload: Payload, shared: frozenset[str] = frozenset()) -> Cargo:
    """Sort the blobs of a job.

    Args:
        payload: The job.
        shared: Digests of blobs that other jobs need as well.
    """
    separate: dict[str, None] = {}
    packed: dict[str, int] = {}
    lfns: dict[str, None] = {}
    for blob in payload.blobs:
        scheme = urlsplit(blob.url).scheme
        if scheme == "lfn":
            lfns[blob.url.removeprefix("lfn:")] = None
        elif not blob.url and _is_separate(blob, shared):
            separate[blob.digest] = None
        elif not blob.url:
            packed[blob.digest] = blob.size
    entry = {"job": payload.description, "environment": dict(payload.spec.environment)}
    return Cargo(payload.spec.name, entry, tuple(separate), tuple(packed.items()), tuple(lfns))


def _is_separate(blob: Blob, shared: frozenset[str]) -> bool:
    return blob.size >= _SEPARATE_SIZE or (blob.digest in shared and blob.size >= _SHARED_SIZE)


class Sandboxes:
    """Uploads sandboxes; a blob that has one of its own goes up once in a run."""

    def __init__(self, client: Client, spool: SpoolStore, folder: Path) -> None:
        """Use a client.

        Args:
            client: Of the installation.
            spool: Has the blobs.
            folder: For putting sandboxes together.
        """
        self._client = client
        self._spool = spool
        self._folder = folder
        self._addresses: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(_UPLOADS)

    def load(self, payloads: Sequence[Payload]) -> list[Cargo]:
        """Sort what a batch of jobs needs."""
        users = Counter(
            digest for payload in payloads for digest in {blob.digest for blob in payload.blobs}
        )
        shared = frozenset(digest for digest, count in users.items() if count > 1)
        return [cargo_of(payload, shared | self._addresses.keys()) for payload in payloads]

    def portions(self, cargos: Sequence[Cargo], limit: int) -> Iterator[list[Cargo]]:
        """Divide jobs into chunks that fit into one submission and one sandbox."""
        portion: list[Cargo] = []
        sizes: dict[str, int] = {}
        for cargo in cargos:
            more = sizes | dict(cargo.packed)
            if portion and (len(portion) == limit or not self._spool.fits(sum(more.values()))):
                yield portion
                portion, more = [], dict(cargo.packed)
            portion.append(cargo)
            sizes = more
        if portion:
            yield portion

    async def upload(self, chunk: Sequence[Cargo], worker: Path) -> list[list[str]]:
        """Upload what a chunk needs.

        Returns:
            For each job, the addresses of its sandboxes.
        """
        own = sorted({digest for cargo in chunk for digest in cargo.separate})
        await asyncio.gather(*(self._upload_blob(digest) for digest in own))
        common = await self._upload_chunk(chunk, worker)
        return [
            [common, *(self._addresses[digest] for digest in cargo.separate)] for cargo in chunk
        ]

    async def _upload_blob(self, digest: str) -> None:
        async with self._locks.setdefault(digest, asyncio.Lock()), self._slots:
            if digest not in self._addresses:
                path = str(self._spool.path(digest))
                self._addresses[digest] = await self._upload([path])

    async def _upload_chunk(self, chunk: Sequence[Cargo], worker: Path) -> str:
        folder = self._folder / secrets.token_hex(8)
        try:
            paths = await asyncio.to_thread(self._pack, folder, chunk, worker)
            async with self._slots:
                return await self._upload(paths)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _upload(self, paths: list[str]) -> str:
        return str(await self._client.call("upload_sandbox", paths, limit=SANDBOX_TIMEOUT))

    def _pack(self, folder: Path, chunk: Sequence[Cargo], worker: Path) -> list[str]:
        folder.mkdir(parents=True, mode=0o700)
        jobs, script = folder / JOBS_FILE, folder / START_SCRIPT
        jobs.touch(mode=0o600)  # it holds the values of envvars
        jobs.write_text(json.dumps({cargo.name: cargo.entry for cargo in chunk}))
        script.write_text(SCRIPT)
        script.chmod(0o755)
        (folder / WORKER_FILE).symlink_to(worker.absolute())  # DIRAC follows links
        paths = [jobs, script, folder / WORKER_FILE]
        paths += (self._spool.path(digest) for digest in {d for c in chunk for d, _ in c.packed})
        return [str(path) for path in paths]
