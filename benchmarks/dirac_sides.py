"""The two sides that bench_dirac.py compares: this package's DIRAC backend, and DIRAC's client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from snakemake_executor_plugin_grid.backends.base import Payload, Submitted
from snakemake_executor_plugin_grid.backends.dirac.backend import DiracBackend
from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.jdl import Options
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.model.job import JobSpec, Resources
from snakemake_executor_plugin_grid.model.names import JobName
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output
from snakemake_executor_plugin_grid.worker.runtime import Runtime

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.servers.dirac.server import DiracServer  # noqa: E402
from tests.servers.dirac.settings import PARKED_SITE  # noqa: E402

# Of a job that writes a line, as Snakemake makes it.
COMMAND = (
    '"$GRID_PYTHON" -m snakemake --snakefile Snakefile --target-jobs trivial:n={n} '
    "--allowed-rules trivial --cores 1 --attempt 1 --force-use-threads  --unneeded-temp-files "
    "--force --target-files-omit-workdir-adjustment --max-inventory-time 0 --retries 0 --nocolor "
    "--no-hooks --nolock --ignore-incomplete --rerun-triggers mtime software-env code input params "
    "--conda-frontend 'conda' --shared-fs-usage 'none' --latency-wait 2 --scheduler 'ilp' "
    "--local-storage-prefix base64//LnNuYWtlbWFrZS9zdG9yYWdl --directory . --mode 'remote'"
)


class NotingClient(Client):
    """A client that notes its calls.

    Attributes:
        seconds: What each call took, by name.
    """

    def __init__(self, python: Path, log: Path) -> None:
        """As any client."""
        super().__init__(python, log)
        self.seconds: dict[str, list[float]] = {}

    def call_now(self, name: str, *args: Any, **limits: Any) -> Any:
        """Make a call."""
        begun = time.perf_counter()
        try:
            return super().call_now(name, *args, **limits)
        finally:
            self.seconds.setdefault(name, []).append(time.perf_counter() - begun)


class LostError(Exception):
    """An answer was lost: the ids are those of the jobs that were made."""

    def __init__(self, why: Exception, ids: list[str]) -> None:
        """Know them."""
        super().__init__(str(why))
        self.ids = ids


class Ours:
    """The DIRAC backend, and real payloads for it."""

    def __init__(self, server: DiracServer, folder: Path) -> None:
        """Use a server, and a folder."""
        self.client = NotingClient(server.settings.python, folder / "dirac.log")
        self._spool = SpoolStore(folder / "spool", self.client.sandbox_limit, "")
        self._spool.check()
        self.backend = DiracBackend(
            self.client,
            Options(sites=(PARKED_SITE,)),
            self._spool,
            folder / "sandboxes",
            outputs=lambda: "",
            say=print,
        )
        self._worker = folder / "worker.pyz"
        write_worker(self._worker)
        sources = self._spool.workspace / "sources"
        sources.write_bytes(os.urandom(2048))
        size, digest = self._spool.put_file(sources)
        self._blob = Blob(digest, size)

    def payloads(self, count: int) -> list[Payload]:
        """Return jobs of a new run, as `submission` makes them."""
        run, limits = uuid4().hex[:8], self._spool.limits
        payloads = []
        for number in range(1, count + 1):
            spec = JobSpec(
                name=str(JobName.new("trivial", run, number)),
                rule="trivial",
                wildcards=(("n", str(number)),),
                jobid=str(number),
                attempt=1,
                command=COMMAND.format(n=number),
                inputs=(),
                shared=frozenset(),
                outputs=(Output(f"work/out/{number}.txt"),),
                placeholders=(),
                resources=Resources(),
                environment={},
                overrides={},
            )
            job = Job(
                name=spec.name,
                command=spec.command,
                nesting=(),
                blobs=(self._blob,),
                outputs=spec.outputs,
                runtime=Runtime("inherit"),
                deliver=self._spool.inbox(spec.name),
                deliver_limit=limits.delivered,
                deliver_hint=limits.hint,
                log_limit=limits.log,
            )
            payloads.append(Payload(spec, job.dumps(), job.blobs, self._worker))
        return payloads

    async def submit(self, count: int) -> tuple[float, list[str]]:
        """Submit jobs.

        Returns:
            Seconds, and ids.

        Raises:
            LostError: An answer was lost.
        """
        payloads = self.payloads(count)
        begun = time.perf_counter()
        try:
            answers = await self.backend.submit(payloads)
        except TransientError as error:
            found = await self.backend.find([payload.spec.name for payload in payloads])
            raise LostError(error, list(found.values())) from error
        took = time.perf_counter() - begun
        ids = [answer.grid_id for answer in answers if isinstance(answer, Submitted)]
        assert len(set(ids)) == count, answers
        return took, ids


class Usual:
    """DIRAC's own client, in a process of its own: see dirac_usual.py."""

    def __init__(self, server: DiracServer, folder: Path) -> None:
        """Start it."""
        self._script = folder / "job.sh"
        with (folder / "usual.log").open("w") as log:
            self._process = subprocess.Popen(
                [str(server.settings.python), str(Path(__file__).with_name("dirac_usual.py"))],
                env=server.client_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def submit(self, count: int, *, sandbox: bool) -> tuple[float, list[str]]:
        """Submit jobs one by one; return seconds and ids."""
        took, ids = self._ask("submit", count, PARKED_SITE, str(self._script) if sandbox else "")
        return took, [str(number) for number in ids]

    def states(self, ids: Sequence[str]) -> tuple[float, int]:
        """Ask for states; return seconds, and how many there are."""
        took, found = self._ask("states", [int(number) for number in ids])
        return took, found

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _ask(self, *request: object) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "DIRAC's client has ended, see its log"
        return json.loads(answer)
