"""What travels with DIRAC jobs: a sandbox for each chunk of jobs, and others for larger blobs."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...resilience.calls import SANDBOX_TIMEOUT
from ...stores.spool import SpoolStore
from ..base import Payload
from ..packaging import JOBS_FILE, SCRIPT, START_SCRIPT, WORKER_FILE, Cargo, load, portions
from .client import Client

_UPLOADS = 4


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
        return load(payloads, self._addresses.keys())

    def portions(self, cargos: Sequence[Cargo], limit: int) -> Iterator[list[Cargo]]:
        """Divide jobs into chunks that fit into one submission and one sandbox."""
        return portions(cargos, limit, self._spool.fits)

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
