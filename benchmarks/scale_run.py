"""A run of many jobs on the simulated grid, measured; for bench_scale.py.

``scale_run.py direct FILE FOLDER JOBS LIMIT`` makes Snakemake's jobs one by one, without its DAG
and its scheduler, and writes figures to FILE as JSON. With ``killed`` it ends hard when JOBS jobs
are on the grid; with ``return`` it continues with them. ``snakemake FILE FOLDER JOBS ARGS…`` runs
Snakemake itself.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from metered import Meter, meter_executor
from scale_server import SimulatedBackend, SimulatedClock
from snakemake.settings import types as snakemake_options

from snakemake_executor_plugin_grid.backends.kind import BackendSetup, Workspace
from snakemake_executor_plugin_grid.backends.local.kind import LocalKind
from snakemake_executor_plugin_grid.engine import run as run_module
from snakemake_executor_plugin_grid.model.names import JobName
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.snakemake_api import files_read
from snakemake_executor_plugin_grid.stores import Stores
from snakemake_executor_plugin_grid.stores.spool import SpoolStore

LEVELS = ("first", "second", "third")
WARM = 300
"""Jobs after which all modules are loaded."""
_BATCH = 500
_LEAST_PAUSE = 0.05  # seconds between two polls, as of the executor
_LOOK_EVERY = 40
_SANDBOX = 10 << 20


def use_simulated_grid(memory: Path, slots: int) -> list[SimulatedBackend]:
    """Let the local backend be the simulated grid; return where it will be found."""
    clock = SimulatedClock()
    made: list[SimulatedBackend] = []

    def make(_: LocalKind, settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
        backend = SimulatedBackend(clock, memory, slots)
        made.append(backend)
        outages = Outages(
            backend.name,
            settings.outage_limit * 3600,
            backend.check_credentials,
            workspace.say,
            clock,
        )
        spool = SpoolStore(workspace.spool, lambda: _SANDBOX, "")
        return BackendSetup(backend, Stores(spool, spool), outages)

    LocalKind.make = make  # type: ignore[method-assign,assignment]
    run_module.SYSTEM_CLOCK = clock  # type: ignore[attr-defined,assignment]
    return made


class Direct:
    """Drives the engine as the executor does."""

    def __init__(self, workflow: Any, folder: Path, jobs: int, limit: int) -> None:
        """Make the run.

        Args:
            workflow: Snakemake's, with a DAG of a few jobs.
            folder: Of the project.
            jobs: Number of jobs, in three levels.
            limit: Jobs on the grid at a time.
        """
        workflow.executor_settings = ExecutorSettings(infrastructure_retries=3)
        workflow.remote_execution_settings = snakemake_options.RemoteExecutionSettings()
        workflow.scheduling_settings = snakemake_options.SchedulingSettings()
        workflow.group_settings = snakemake_options.GroupSettings()
        self.workflow = workflow
        self.limit = limit
        self.per_level = jobs // len(LEVELS)
        self.jobs = self.per_level * len(LEVELS)
        self.snakemake = 0.0
        self.looking = 0.0
        self.entries: dict[str, int] = {}
        self.said: list[str] = []
        self.name = f"{os.getpid():08x}"
        self.made = use_simulated_grid(folder / "server", limit)
        self.began = time.perf_counter()
        logger = SimpleNamespace(info=print, warning=print, error=print)
        self.run = run_module.Run(
            workflow, {}, self.name, self.said.append, lambda *_: None, logger
        )
        self.controller = self.run.controller
        self.run.preparation.prepare()
        self._count = 0
        self._next: list[tuple[int, int]] = [(0, n) for n in reversed(range(self.per_level))]
        self._where: dict[str, tuple[int, int]] = {}
        self.done = 0
        self.most = self.warm = 0.0
        self.polls = 0

    @property
    def backend(self) -> SimulatedBackend:
        """The grid."""
        return self.made[-1]

    def submit(self, room: int) -> None:
        """Plan and submit jobs that are ready."""
        while room > 0 and self._next:
            count = min(room, _BATCH, len(self._next))
            chosen = [self._next.pop() for _ in range(count)]
            room -= count
            began = time.thread_time()
            jobs = [self._job(*one) for one in chosen]
            self.snakemake += time.thread_time() - began
            self.run.planner.begin()
            plans = []
            for one, job in zip(chosen, jobs, strict=True):
                self._count += 1
                self.workflow.dag._jobid[job] = self._count
                name = str(JobName.new(job.name, self.name, self._count))
                self.run.workflow_api.raise_attempt(job, self.run.preparation.attempt(job))
                plans.append(self.run.planner.plan(job, name, partial(str, "none"), {}))
                self._where[name] = one
                del self.workflow.dag._jobid[job]
            self.controller.submit(plans)

    def _job(self, level: int, number: int) -> Any:
        from snakemake.jobs import Job

        rule = self.workflow.get_rule(LEVELS[level])
        return Job(rule, self.workflow.dag, {"n": str(number)})

    def poll(self) -> None:
        """Ask once, and take what has ended."""
        self.polls += 1
        succeeded = []
        for outcome in self.controller.call(self.controller.poll()):
            level, number = self._where.pop(outcome.name)
            if not outcome.success:
                sys.exit(f"{outcome.name} has failed: {outcome.message}")
            succeeded.append(outcome.name)
            self.done += 1
            if level + 1 < len(LEVELS):
                self._next.append((level + 1, number))
        self.controller.acknowledge(succeeded)
        if self.controller.exhausted:
            sys.exit(self.controller.exhausted)
        self._look()

    def _look(self) -> None:
        began = time.thread_time()
        memory = _memory_kb()
        self.most = max(self.most, memory)
        if self.done < WARM:
            self.warm = memory
        if self.polls % _LOOK_EVERY == 0:
            count_entries(Path(".snakemake/grid"), self.entries)
        self.looking += time.thread_time() - began

    def all(self) -> None:
        """Take all jobs to their ends."""
        while self.done < self.jobs:
            self.submit(self.limit - len(self._where))
            self.poll()
            time.sleep(_LEAST_PAUSE)

    def all_on_the_grid(self) -> float:
        """Return when all jobs of the first level are there, with the kB that each of them takes.

        What the simulated server keeps in this process counts as well; the first jobs do not.
        """
        self.submit(_BATCH)
        self._until_accepted()
        memory, count = _memory_kb(), len(self._tracked())
        while self._next:
            self.submit(_BATCH)
            self.controller.call(asyncio.sleep(0.01))
        self._until_accepted()
        return (_memory_kb() - memory) / max(1, len(self._tracked()) - count)

    def _until_accepted(self) -> None:
        while any(one.grid_id is None for one in self._tracked()):
            self.controller.call(asyncio.sleep(0.01))

    def _tracked(self) -> list[Any]:
        return list(self.controller._jobs.values())


def count_entries(folder: Path, most: dict[str, int]) -> None:
    """Note the number of entries of each folder, if it has more than before."""
    for path, folders, files in os.walk(folder):
        most[path] = max(most.get(path, 0), len(folders) + len(files))


def _memory_kb() -> float:
    with Path("/proc/self/statm").open() as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def direct(result: Path, folder: Path, jobs: int, limit: int, how: str) -> None:
    """Run without Snakemake's DAG and scheduler."""
    from tests.unit.snakemake_api.dags import made

    os.chdir(folder)
    files_read.stop()  # as the executor does
    resources = snakemake_options.ResourceSettings(nodes=4)
    with made(folder / "Snakefile", resources=resources) as workflow:
        cpu, memory = time.process_time(), _memory_kb()
        if how == "killed":
            run = Direct(workflow, folder, 3 * jobs, jobs)
            each = run.all_on_the_grid()
            run.controller.call(run.controller.poll())
            run.backend.remember()
            result.write_text(json.dumps({"each_kb": each}))
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "return":
            run = Direct(workflow, folder, 3 * jobs, jobs)
            prepared = time.perf_counter() - run.began
            run.all_on_the_grid()
            run.controller.call(run.controller.poll())
            took = time.perf_counter() - run.began
            jobs_seen = sum(one.adopted for one in run._tracked())
            spent = time.process_time() - cpu
            result.write_text(
                json.dumps(
                    {
                        "seconds": took,
                        "prepared": prepared,
                        "adopted": jobs_seen,
                        "snakemake": run.snakemake,
                        "cpu": spent - run.snakemake - run.backend.spent,
                    }
                )
            )
            os._exit(0)
        run = Direct(workflow, folder, jobs, limit)
        run.all()
        spent = time.process_time() - cpu
        after = _memory_kb()
        count_entries(Path(".snakemake/grid"), run.entries)
        folder_of = max(run.entries, key=lambda one: run.entries[one])
        run.run.close("finished", lambda: False)
        asked = sorted(run.backend.asked)
        result.write_text(
            json.dumps(
                {
                    "jobs": run.jobs,
                    "ours": spent - run.backend.spent - run.snakemake - run.looking,
                    "grid": run.backend.spent,
                    "snakemake": run.snakemake,
                    "wall": time.perf_counter() - run.began,
                    "kept_kb": after - run.warm,
                    "most_kb": run.most - memory,
                    "folder": folder_of,
                    "entries": run.entries[folder_of],
                    "rounds": len(asked),
                    "calls": asked[-1],
                }
            )
        )
        os._exit(0)


def through_snakemake(result: Path, folder: Path, slots: int, args: list[str]) -> None:
    """Run Snakemake itself."""
    import snakemake.cli

    meter = Meter()
    meter_executor(meter)
    made = use_simulated_grid(folder / "server", slots)

    def end() -> None:
        meter.switch("snakemake")
        spent: dict[str, float] = dict(meter.spent)
        spent["grid"] = made[-1].spent if made else 0.0
        spent["peak_mb"] = next(
            int(line.split()[1]) / 1024
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        result.write_text(json.dumps(spent))

    atexit.register(end)
    sys.argv[1:] = args
    meter.switch("snakemake")
    snakemake.cli.main()


def main() -> None:
    """Read the command line and run."""
    how, result, folder, jobs, *rest = sys.argv[1:]
    if how == "snakemake":
        through_snakemake(Path(result), Path(folder), int(jobs), rest)
    else:
        direct(Path(result), Path(folder), int(jobs), int(rest[0]), how)


if __name__ == "__main__":
    main()
