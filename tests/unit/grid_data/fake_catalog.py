"""A file catalog in memory, which fails when a test says so."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from snakemake_executor_plugin_grid.model.errors import MissingError, PermanentError
from snakemake_executor_plugin_grid.stores.file_catalog import FileCatalog, FileFacts

NOON = 1_764_504_000.0


class FakeCatalog(FileCatalog):
    """Files by name.

    Attributes:
        calls: What was asked: the method, and the names.
        errors: Raised by the next calls of a method, one each; None for a call that succeeds.
        stuck: Files that are not removed, and why.
        gate: Calls wait until it is set.
    """

    schemes = ("lfn",)

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.places: dict[str, dict[str, str]] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.errors: dict[str, list[Exception | None]] = {}
        self.stuck: dict[str, str] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.now = NOON
        self.closed = False

    def add(self, name: str, content: bytes = b"content", mtime: float = NOON) -> None:
        self.files[name], self.times[name] = content, mtime

    def asked(self, method: str) -> list[list[str]]:
        """Return the names of each call of a method."""
        return [names for called, names in self.calls if called == method]

    def facts(self, names: Collection[str]) -> dict[str, FileFacts | None]:
        self._begin("facts", names)
        return {name: self._facts(name) for name in names}

    def replicas(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        self._begin("replicas", names)
        return {name: self.places.get(name, {}) for name in names}

    def listing(self, folder: str) -> list[str]:
        self._begin("listing", [folder])
        return sorted(name for name in self.files if name.startswith(f"{folder.rstrip('/')}/"))

    def get(self, name: str, path: Path) -> None:
        self._begin("get", [name])
        if name not in self.files:
            raise MissingError(f"{name}: no such file")
        path.write_bytes(self.files[name])

    def put(self, name: str, path: Path) -> FileFacts:
        self._begin("put", [name])
        content = path.read_bytes()
        if not content:
            raise PermanentError(f"{name}: is empty")
        self.add(name, content, self.now)
        facts = self._facts(name)
        assert facts is not None
        return facts

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        self._begin("remove", names)
        for name in names:
            if name not in self.stuck:
                self.files.pop(name, None)
        return {name: self.stuck[name] for name in names if name in self.stuck}

    def close(self) -> None:
        self.closed = True

    def _begin(self, method: str, names: Collection[str]) -> None:
        self.calls.append((method, list(names)))
        self.entered.set()
        assert self.gate.wait(10)
        errors = self.errors.get(method)
        if errors and (error := errors.pop(0)) is not None:
            raise error

    def _facts(self, name: str) -> FileFacts | None:
        if name not in self.files:
            return None
        content = self.files[name]
        return FileFacts(len(content), self.times[name], f"{zlib.adler32(content):08x}")
