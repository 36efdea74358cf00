"""A store in Rucio without a server: names are in memory, files in a folder."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import MissingError
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.stores.rucio import address
from snakemake_executor_plugin_grid.stores.rucio.client import RucioClient
from snakemake_executor_plugin_grid.stores.rucio.store import RucioStore
from snakemake_executor_plugin_grid.stores.rucio.transport import RucioTransport
from tests.unit.clock import VirtualClock
from tests.unit.stores.remote_bench import FolderTransport

URL = "rucio://user.me/run/blobs-of-mine"
DAY = 86400.0
LIFETIME = 30 * DAY
ROOT = "davs://host:443/pool"


class Element(FolderTransport):
    """A storage element."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = ROOT
        self.renames = True

    def move(self, name: str, other: str) -> bool:
        self.calls.append(f"move {name}")
        self._fail("move", self.errors)
        if not (self.folder / name).exists():
            raise MissingError(name)
        if self.renames:
            (self.folder / other).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).rename(self.folder / other)
        return self.renames

    def source(self, name: str) -> str:
        return f"{ROOT}/{name}"

    def inbox(self, folder: str) -> str:
        return f"{ROOT}/{folder}"


class Rucio(RucioClient):
    """Names in memory: size, adler32, end, and the state of the replica.

    Attributes:
        names: By name without the scope.
        asked: The calls, and of how many names.
        errors: What the next calls raise, by name of the call.
    """

    def __init__(self) -> None:
        super().__init__(Path("python"), Path("log"))
        self.names: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, int]] = []
        self.errors: dict[str, list[Exception]] = {}
        self.now = 1e9

    def call_now(self, name: str, *args: Any, limit: float = 0) -> Any:
        files = args[0] if args else []
        self.asked.append((name, len(files)))
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        assert all(file[0] == "user.me" for file in files)
        return getattr(self, f"_{name}")(*args)

    def calls(self, name: str) -> list[int]:
        return [count for call, count in self.asked if call == name]

    def _whoami(self) -> str:
        return "me"

    def _blob_urls(self, files: Any, rse: str, schemes: Any) -> dict[str, str]:
        assert rse == "RSE"
        return {
            f"{scope}:{name}": f"https://host:443/pool/{hashed(name)}/{name}"
            for scope, name in files
        }

    def _blobs(self, files: Any, rse: str) -> dict[str, Any]:
        return {
            f"{scope}:{name}": [row[0], *row[2:]]
            for scope, name in files
            if (row := self.names.get(name))
        }

    def _registration(self, files: Any, rse: str, lifetime: int) -> dict[str, str]:
        for _, name, size, adler32 in files:
            self.names[name] = [size, adler32, self.now + lifetime, "AVAILABLE"]
        return {f"{scope}:{name}": "AVAILABLE" for scope, name, _, _ in files}

    def _renewal(self, files: Any, lifetime: int) -> None:
        for _, name in files:
            self.names[name][2] = self.now + lifetime

    def _expire(self, files: Any) -> dict[str, str]:
        for _, name in files:
            if name in self.names:
                self.names[name][2] = self.now - 3600
        return {}


def hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:2]


class Bench:
    """A store, and what is behind it."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.element = Element(folder / "element")
        self.element.folder.mkdir()
        self.rucio = Rucio()
        self.database = Database(folder / "grid.sqlite")
        self.catalog = Catalog(self.database)
        self.said: list[str] = []

        async def fine() -> str:
            return ""

        self.outages = Outages("local", 60.0, fine, self.said.append, VirtualClock())
        self.outages.use_loop(loop)
        self.store = self.reopen()

    def transport(self, *, looks: bool = False) -> RucioTransport:
        """Return a new transport; one that only looks keeps nothing longer."""
        at = address.known(URL, "RSE") if looks else address.parse(f"{URL}?rse=RSE")
        opened = {ROOT: self.element}
        return RucioTransport(at, self.rucio, opened.__getitem__, lambda: self.rucio.now)

    def reopen(self) -> RucioStore:
        """Return the store of a later run."""
        store = RucioStore(self.transport(), self.folder / "work", self.outages, self.catalog)
        store.check()
        self.element.calls.clear()
        self.rucio.asked.clear()
        return store

    def file(self, content: bytes = b"content", name: str = "input") -> tuple[Path, str]:
        path = self.folder / name
        path.write_bytes(content)
        return path, hashlib.sha256(content).hexdigest()

    def deliver(self, job: str, content: bytes, leaf: str = "") -> str:
        digest = hashlib.sha256(content).hexdigest()
        inbox = self.store.inbox(job)
        assert inbox.startswith(f"{ROOT}/")
        path = self.element.folder / inbox.removeprefix(f"{ROOT}/") / (leaf or digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def write_only(self, content: bytes) -> None:
        """Write a blob as a run that was killed before it registered it."""
        digest = hashlib.sha256(content).hexdigest()
        name = f"blobs/{digest[:2]}/{digest}"
        self.catalog.note_locations([(digest, f"{URL}/{name}")]).wait()
        full = f"run/blobs-of-mine/{name}"
        path = self.element.folder / hashed(full) / full
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def registered(self) -> set[str]:
        """Return the files of which Rucio knows, as they are named on the storage element."""
        return {f"{hashed(name)}/{name}" for name in self.rucio.names}

    def row(self, digest: str) -> list[Any]:
        return self.rucio.names[f"run/blobs-of-mine/blobs/{digest[:2]}/{digest}"]


@pytest.fixture
def bench(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    bench = Bench(tmp_path, loop)
    yield bench
    bench.database.close()
