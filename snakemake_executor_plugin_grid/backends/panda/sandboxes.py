"""Sandboxes of PanDA jobs: one for each task, other files in the cache, and secrets.

The cache is shared and, on a plain set-up, readable without a token. Private data takes another
way: as a file of the store, or as one of the user's secrets, which the server gives to the
user's jobs (``panda_secrets.json``; names that begin with ``___file___:`` become files, the others
variables: runGen-00-00-02).
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...model.names import JobName
from ...resilience.calls import SANDBOX_TIMEOUT
from ...resilience.threads import in_thread
from ...stores.base import PrivateFiles
from ...stores.spool import SpoolStore
from ...worker.environment import STORE_TOKEN
from ...worker.private import PRIVATE_FILE
from ..packaging import JOBS_FILE, SCRIPT, START_SCRIPT, WORKER_FILE, JobPackage
from .client import Client
from .task_registry import TaskRegistry

CACHE_LIMIT = 8 << 20
"""Bytes of the largest blob that goes through the cache; it takes 10 MB of any name."""
SANDBOX_LIMIT = 4 << 20
"""Bytes of small blobs that one sandbox may have: each job of its task downloads all of it."""
SEPARATE_SIZE = 128 << 10
"""From this size in bytes on, a blob is a separate file in the cache."""
_PREFIX = "sources."
"""Of names in the cache whose files may have 768 MB rather than 10 (panda-client 2.2.0)."""
_SECRET = "___file___:snakemake_grid_"  # noqa: S105 - a name
_SECRET_SIZE = 8 << 10
_UPLOADS = 4


class Packed(NamedTuple):
    """A sandbox that is in the cache.

    Attributes:
        name: Of the file.
        secrets: Whether its jobs need the user's secrets.
    """

    name: str
    secrets: bool


class Sandboxes:
    """Puts sandboxes and small blobs into the cache, each once."""

    def __init__(
        self,
        client: Client,
        registry: TaskRegistry,
        spool: SpoolStore,
        store: PrivateFiles,
        folder: Path,
        *,
        by_server: bool,
    ) -> None:
        """Upload nothing yet.

        Args:
            client: Of the server.
            registry: Knows which tasks have private files.
            spool: Has the small blobs.
            store: Keeps private data of jobs.
            folder: For putting sandboxes together.
            by_server: Whether the server keeps it instead, as one of the user's secrets.
        """
        self._client = client
        self._registry = registry
        self._spool = spool
        self._store = store
        self._folder = folder
        self._by_server = by_server
        self._uploaded: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(_UPLOADS)

    @property
    def uploaded(self) -> Collection[str]:
        """Digests of blobs that are separate files in the cache."""
        return self._uploaded.keys()

    @property
    def _on_server(self) -> bool:
        """Whether the server keeps private data; it always does if URLs are signed."""
        return self._by_server or self._store.secret

    async def upload(
        self, task: str, chunk: Sequence[JobPackage], worker: Path, cache: str
    ) -> Packed:
        """Upload what the jobs of a task need.

        Args:
            task: Its name.
            chunk: Its jobs.
            worker: The worker program.
            cache: URL of the cache's server.
        """
        own = sorted({digest for package in chunk for digest in package.separate})
        # Jobs that are sent again upload their blobs again, as the cache may have lost them.
        again = max(JobName.parse(package.name).resubmissions for package in chunk)
        await asyncio.gather(*(self._upload_blob(digest, again) for digest in own))
        places = {digest: f"{cache}/cache/{_PREFIX}{digest}" for digest in own}
        entries = {package.name: _placed(package.entry, places) for package in chunk}
        pointer = await self._hide(task, entries)
        folder = self._folder / task
        try:
            name = await asyncio.to_thread(self._pack, folder, chunk, entries, pointer, worker)
            async with self._slots:
                await self._client.call("upload", str(folder), name, limit=SANDBOX_TIMEOUT)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Packed(name, "secret" in pointer)

    async def forget(self, task: str) -> None:
        """Remove the private data of a task whose jobs have all ended."""
        if self._registry.hides(task):
            if self._on_server:
                await self._client.call("set_secret", _secret(task), None)
            await in_thread(self._store.withdraw, [_private(task)])
            self._registry.forgotten(task)

    async def _upload_blob(self, digest: str, again: int) -> None:
        async with self._locks.setdefault(digest, asyncio.Lock()), self._slots:
            if self._uploaded.get(digest, -1) < again:
                name = f"{_PREFIX}{digest}"
                folder = self._folder / name
                try:
                    await asyncio.to_thread(_link, self._spool.path(digest), folder / name)
                    # The name is the digest, so a file that exists is as good.
                    await self._client.call("upload", str(folder), name, limit=SANDBOX_TIMEOUT)
                finally:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                self._uploaded[digest] = again

    async def _hide(self, task: str, entries: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Move private data out of the entries; return where the jobs find it."""
        hidden: dict[str, dict[str, Any]] = {}
        for name, entry in entries.items():
            secret = ("job", "environment") if self._store.secret else ("environment",)
            part = {key: entry.pop(key) for key in secret if entry[key]}
            if part:
                hidden[name] = part
        if not hidden:
            return {}
        await self._registry.hide(task)
        text = json.dumps({"jobs": hidden})
        if not self._on_server or len(text) > _SECRET_SIZE:
            url = await in_thread(self._store.post_text, _private(task), text, self._folder)
            if not self._on_server:
                return {"url": url}
            tokens = [part.get("environment", {}).get(STORE_TOKEN) for part in hidden.values()]
            text = json.dumps({"url": url, "token": tokens[0] or ""})
        value = base64.b64encode(text.encode()).decode()
        await self._client.call("set_secret", _secret(task), value)
        return {"secret": _secret(task)}

    def _pack(
        self,
        folder: Path,
        chunk: Sequence[JobPackage],
        entries: dict[str, dict[str, Any]],
        pointer: dict[str, str],
        worker: Path,
    ) -> str:
        """Write the sandbox; equal jobs give an equal sandbox, which is uploaded once."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {START_SCRIPT: SCRIPT, JOBS_FILE: json.dumps(entries, sort_keys=True)}
        if pointer:
            texts[PRIVATE_FILE] = json.dumps(pointer)
        part = folder / "part"
        with (
            part.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for name, text in texts.items():
                _add(archive, name, text.encode())
            _add(archive, WORKER_FILE, worker.read_bytes())
            for digest in sorted({digest for package in chunk for digest, _ in package.packed}):
                _add(archive, digest, self._spool.path(digest).read_bytes())
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        name = f"{_PREFIX}{digest[:40]}.tar.gz"
        part.rename(folder / name)
        return name


def _placed(entry: Mapping[str, object], places: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry of a job with the URLs of its blobs in the cache."""
    job = json.loads(str(entry["job"]))
    for blob in job["blobs"]:
        if not blob["url"]:
            blob["url"] = places.get(blob["digest"], "")
    return {"job": json.dumps(job), "environment": entry["environment"]}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755 if name == START_SCRIPT else 0o644
    archive.addfile(member, io.BytesIO(content))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _private(task: str) -> str:
    return f"{task}.json"


def _secret(task: str) -> str:
    return _SECRET + task.rpartition(".")[2]
