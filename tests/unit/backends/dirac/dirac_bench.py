"""The DIRAC backend with a small DIRAC behind it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

from snakemake_executor_plugin_grid.backends.base import Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.backends.dirac.backend import DiracBackend
from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.jdl import Options
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from snakemake_executor_plugin_grid.worker.description import Blob
from tests.unit.backends.dirac.fake_dirac import FakeDirac
from tests.unit.specs import spec

T = TypeVar("T")


class Bench:
    """A backend with a small DIRAC behind it."""

    def __init__(self, folder: Path, options: Options, fetch_inputs: bool = False) -> None:
        self.dirac = FakeDirac(folder)
        client = cast(Client, self.dirac)
        self.worker = folder / "worker.zip"
        self.worker.write_bytes(b"worker")
        self.spool = SpoolStore(folder / "spool", self.dirac.sandbox_limit, "")
        self.spool.check()
        self.said: list[str] = []
        self.backend = DiracBackend(
            client,
            options,
            self.spool,
            folder / "sandboxes",
            outputs=lambda: "/vo/user/m/me/delivered",
            say=self.said.append,
            fetch_inputs=fetch_inputs,
        )

    def blob(self, content: bytes, size: int | None = None) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        path = self.spool.path(digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return Blob(digest, len(content) if size is None else size)

    def payload(
        self, number: int, blobs: Iterable[Blob] = (), avoid: str = "", **fields: Any
    ) -> Payload:
        job = spec(name(number), **fields)
        description = json.dumps({"number": number})
        return Payload(job, description, tuple(blobs), self.worker, frozenset(avoid.split()))

    def submit(self, *payloads: Payload) -> list[Submitted | Rejected]:
        return asyncio.run(self.backend.submit(payloads))

    def submitted(self, count: int) -> list[str]:
        answers = self.submit(*map(self.payload, range(count)))
        assert all(isinstance(answer, Submitted) for answer in answers)
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(coroutine)


def name(number: int) -> str:
    return f"sort-0000beef-{number}"


def names(*numbers: int) -> list[str]:
    return [name(number) for number in numbers]
