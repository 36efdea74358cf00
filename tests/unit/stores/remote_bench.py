"""A remote store whose transport is a folder that fails on request."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console.progress import NOTHING, Transfer
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import MissingError, TransientError
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.stores.remote import RemoteStore
from snakemake_executor_plugin_grid.stores.transport import Transport
from tests.unit.clock import VirtualClock

URL = "test://host/me"
DOWN = TransientError("Connection refused")


class FolderTransport(Transport):
    """Files in a folder, behind a connection that fails on request."""

    def __init__(self, folder: Path) -> None:
        self.url = URL
        self.folder = folder
        self.calls: list[str] = []
        self.errors: dict[str, list[Exception]] = {}
        self.lost: dict[str, list[Exception]] = {}

    def _fail(self, what: str, errors: dict[str, list[Exception]]) -> None:
        if errors.get(what):
            raise errors[what].pop(0)

    def check(self) -> None:
        self._fail("check", self.errors)

    def size(self, name: str) -> int | None:
        self.calls.append("size")
        self._fail("size", self.errors)
        path = self.folder / name
        return path.stat().st_size if path.exists() else None

    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        self.calls.append(f"upload {name}")
        transfer.advance(path.stat().st_size)
        self._fail("upload", self.errors)
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.folder / name)
        self._fail("upload", self.lost)

    def download(
        self, name: str, path: Path, transfer: Transfer = NOTHING, most: int | None = None
    ) -> None:
        self.calls.append(f"download {name}")
        path.write_bytes(b"part")
        self._fail("download", self.errors)
        if not (self.folder / name).exists():
            raise MissingError(f"{name} is not there")
        shutil.copyfile(self.folder / name, path)
        transfer.advance(path.stat().st_size)

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        self.calls.append("remove")
        self._fail("remove", self.errors)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        return {}

    def listing(self, folder: str) -> list[str]:
        return [path.name for path in (self.folder / folder).glob("*")]

    def tidy(self, folder: str) -> None:
        if not self.listing(folder):
            (self.folder / folder).rmdir()

    def source(self, name: str) -> str:
        return f"{URL}/{name}?signature"

    def inbox(self, folder: str) -> str:
        return f"{URL}/{folder}?signature"

    def files(self) -> set[str]:
        return {
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()
        }


class Bench:
    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.transport = FolderTransport(folder / "remote")
        self.transport.folder.mkdir()
        self.database = Database(folder / "grid.sqlite")
        self.catalog = Catalog(self.database)
        self.said: list[str] = []

        async def fine() -> str:
            return ""

        self.outages = Outages("local", 60.0, fine, self.said.append, VirtualClock())
        self.outages.use_loop(loop)
        self.store = self.reopen()

    def reopen(self) -> RemoteStore:
        """Return the store of a later run."""
        store = RemoteStore(self.transport, self.folder / "work", self.outages, self.catalog)
        store.check()
        self.transport.calls.clear()
        return store

    def file(self, content: bytes = b"content", name: str = "input") -> tuple[Path, str]:
        path = self.folder / name
        path.write_bytes(content)
        return path, hashlib.sha256(content).hexdigest()

    def deliver(self, job: str, content: bytes, leaf: str = "") -> str:
        digest = hashlib.sha256(content).hexdigest()
        path = self.transport.folder / "delivered" / job / (leaf or digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def uploads(self) -> list[str]:
        return [call for call in self.transport.calls if call.startswith("upload")]


@pytest.fixture
def bench(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    bench = Bench(tmp_path, loop)
    yield bench
    bench.database.close()
