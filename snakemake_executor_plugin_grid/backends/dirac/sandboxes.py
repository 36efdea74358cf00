"""Sandboxes of DIRAC jobs: one for each chunk of jobs, and one for each larger blob."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...resilience.calls import SANDBOX_TIMEOUT
from ...stores.spool import SpoolStore
from ...worker.description import DELIVERY_FOLDER
from ..base import Payload
from ..packaging import JOBS_FILE, SCRIPT, START_SCRIPT, WORKER_FILE, JobPackage, load, portions
from .client import Client

_UPLOADS = 4
_BLOB = re.compile(r"([0-9a-f]{64})\.blob")


class Sandboxes:
    """Uploads sandboxes; a blob with a separate sandbox is uploaded once per run."""

    def __init__(self, client: Client, spool: SpoolStore, folder: Path) -> None:
        """Upload nothing yet.

        Args:
            client: Client of the installation.
            spool: Has the blobs.
            folder: For putting sandboxes together.
        """
        self._client = client
        self._spool = spool
        self._folder = folder
        self._addresses: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(_UPLOADS)

    def load(self, payloads: Sequence[Payload]) -> list[JobPackage]:
        """Sort what a batch of jobs needs."""
        return load(payloads, self._addresses.keys())

    def portions(self, packages: Sequence[JobPackage], limit: int) -> Iterator[list[JobPackage]]:
        """Divide jobs into chunks that fit into one submission and one sandbox."""
        return portions(packages, limit, self._spool.fits)

    async def upload(self, chunk: Sequence[JobPackage], worker: Path) -> list[list[str]]:
        """Upload what a chunk needs.

        Returns:
            For each job, the addresses of its sandboxes.
        """
        own = sorted({digest for package in chunk for digest in package.separate})
        await asyncio.gather(*(self._upload_blob(digest) for digest in own))
        common = await self._upload_chunk(chunk, worker)
        return [
            [common, *(self._addresses[digest] for digest in package.separate)] for package in chunk
        ]

    async def _upload_blob(self, digest: str) -> None:
        async with self._locks.setdefault(digest, asyncio.Lock()), self._slots:
            if digest not in self._addresses:
                path = str(self._spool.path(digest))
                self._addresses[digest] = await self._upload([path])

    async def _upload_chunk(self, chunk: Sequence[JobPackage], worker: Path) -> str:
        folder = self._folder / secrets.token_hex(8)
        try:
            paths = await asyncio.to_thread(self._pack, folder, chunk, worker)
            async with self._slots:
                return await self._upload(paths)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _upload(self, paths: list[str]) -> str:
        return str(await self._client.call("upload_sandbox", paths, limit=SANDBOX_TIMEOUT))

    def _pack(self, folder: Path, chunk: Sequence[JobPackage], worker: Path) -> list[str]:
        folder.mkdir(parents=True, mode=0o700)
        jobs, script = folder / JOBS_FILE, folder / START_SCRIPT
        jobs.touch(mode=0o600)  # it holds the values of envvars
        jobs.write_text(json.dumps({package.name: package.entry for package in chunk}))
        script.write_text(SCRIPT)
        script.chmod(0o755)
        (folder / WORKER_FILE).symlink_to(worker.absolute())  # DIRAC follows links
        paths = [jobs, script, folder / WORKER_FILE]
        paths += (self._spool.path(digest) for digest in {d for c in chunk for d, _ in c.packed})
        return [str(path) for path in paths]


def sort_blobs(folder: Path, names: Iterable[str]) -> None:
    """Move blobs that came back to where the run looks for them."""
    (folder / DELIVERY_FOLDER).unlink(missing_ok=True)  # the worker makes no such file
    for name in names:
        match = _BLOB.fullmatch(name)
        if match:
            (folder / DELIVERY_FOLDER).mkdir(exist_ok=True)
            (folder / name).replace(folder / DELIVERY_FOLDER / match[1])
