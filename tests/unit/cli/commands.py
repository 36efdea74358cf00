"""The commands of ``snakemake-grid``, called beside a server that does what a test wants."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid.backends.base import Backend, Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.backends.kind import BackendSetup
from snakemake_executor_plugin_grid.cli import main
from snakemake_executor_plugin_grid.journal.database import FOLDER
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.stores import Stores
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore

if TYPE_CHECKING:
    from tests.unit.journal.test_reader import Past


class FakeBackend(Backend):
    """A server with some jobs.

    Attributes:
        jobs: Ids by unique name.
        statuses: States by id.
        texts: Outputs by id.
        stuck: Ids that cannot be cancelled.
        errors: By call, what it raises.
        calls: All calls, with their arguments sorted.
        made: With which options, and whether as a guest, it was made.
        address: Which server it is.
    """

    name = "dirac"
    poll_interval = 1.0
    settle_seconds = 600.0

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.statuses: dict[str, JobStatus] = {}
        self.texts: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.errors: dict[str, Exception] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.made: list[tuple[ExecutorSettings, Path, bool]] = []
        self.warning = ""
        self.address = ""
        self.closed = 0

    def _call(self, name: str, subjects: Collection[str] = ()) -> None:
        self.calls.append((name, sorted(subjects)))
        if name in self.errors:
            raise self.errors[name]

    async def check(self) -> None:
        self._call("check")

    async def check_credentials(self) -> str:
        self._call("check_credentials")
        return self.warning

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        raise AssertionError("no command submits jobs")

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        self._call("states", ids)
        return {grid_id: self.statuses[grid_id] for grid_id in ids if grid_id in self.statuses}

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        self._call("find", names)
        return {name: self.jobs[name] for name in names if name in self.jobs}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        self._call("cancel", ids)
        return self.stuck & set(ids)

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        raise AssertionError("no command takes results in")

    async def logs(self, grid_id: str) -> str:
        self._call("logs", [grid_id])
        return self.texts.get(grid_id, "")

    async def discard(self, ids: Collection[str]) -> None:
        self._call("discard", ids)

    @property
    def endpoint(self) -> str:
        return self.address

    def monitor_url(self, grid_id: str) -> str:
        return f"https://monitor/{grid_id}"

    def describe(self, payload: Payload) -> str:
        return ""

    async def close(self) -> None:
        self.closed += 1

    def called(self, name: str) -> list[list[str]]:
        return [subjects for call, subjects in self.calls if call == name]

    def make(
        self, settings: ExecutorSettings, workdir: Path, folder: Path, *_: Any, guest: bool
    ) -> BackendSetup:
        """Take the place of ``registry.make_backend``."""
        assert folder == workdir / FOLDER / "command", "stores empty the folder of a run"
        self.made.append((settings, workdir, guest))
        if "make" in self.errors:
            raise self.errors["make"]
        store = DirectoryStore(folder / "store")
        outages = Outages(self.name, 0.0, self.check_credentials, lambda _: None)
        return BackendSetup(self, Stores(store, store), outages)


def call(past: Past, command: str, *args: str) -> Result:
    arguments = [command, *args, "--directory", str(past.directory)]
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def document(past: Past, *args: str) -> dict[str, Any]:
    result = call(past, "status", "--json", *args)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def states_of(past: Past) -> None:
    """Submit a job to each state."""
    said = {
        "queued": JobState.QUEUED,
        "running": JobState.RUNNING,
        "held": JobState.HELD,
        "unknown": JobState.UNKNOWN,
        "ended": JobState.FAILED,
    }
    past.run("run1")
    past.job("waiting", sample="waiting")
    past.job("silent", "sort", "s", "1")
    for number, (name, state) in enumerate(said.items(), start=2):
        past.job(name, sample=name, grid_id=str(number), said=JobStatus(state, "why", "CERN"))
    for name, phase in (
        ("installed", Phase.OUTPUTS_INSTALLED),
        ("succeeded", Phase.SUCCEEDED),
        ("failed", Phase.FAILED),
        ("cancelled", Phase.CANCELLED),
    ):
        past.job(name, "sort", name, f"9{name}", said=JobStatus(JobState.DONE, "", "IN2P3"))
        past.journal.ended(name, phase, "exit code 1")
    past.job("cancelling", sample="cancelling", grid_id="8")
    past.journal.cancelling(["cancelling"])
