"""Snakemake with this executor, its processor time metered; for bench_controller.py.

``metered.py FILE ARGS…`` runs ``snakemake ARGS…`` and writes seconds by part to FILE, as JSON.
``metered.py --site FOLDER`` is the local site that such a run starts: all of it is real but the
workers, in whose place a thread writes outputs and report at once, by the worker's own code.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from snakemake_executor_plugin_grid.backends.local import server as site
from snakemake_executor_plugin_grid.worker import description, stageout
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.tree import Tree

_FILE = "GRID_BENCH_FILE"


class Meter(threading.local):
    """Processor time of a thread, booked on whoever has it: a part of ours, or Snakemake."""

    spent: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        """Every thread begins in Snakemake's hands."""
        self._part = "snakemake"
        self._since = time.thread_time()

    def switch(self, part: str) -> str:
        """Book what was used since the last switch; return on whom."""
        now = time.thread_time()
        before = self._part
        self.spent[before] += now - self._since
        self._part, self._since = part, now
        return before

    def booked(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time goes to a part."""

        @functools.wraps(work)
        def metered(*args: Any, **kwargs: Any) -> Any:
            before = self.switch(part)
            try:
                return work(*args, **kwargs)
            finally:
                self.switch(before)

        return metered


def meter_executor(meter: Meter) -> None:
    """Put the meter at the border between Snakemake and this package.

    Ours are, from first to last instruction: the loop of the controller and all its threads,
    Snakemake's polling thread, and the calls of Snakemake's main thread into the executor, with
    whatever they ask of Snakemake's jobs. Not ours is what any executor has to call: Snakemake's
    reports and callbacks, and its making of the job's command.
    """
    from snakemake_interface_executor_plugins.executors.base import AbstractExecutor
    from snakemake_interface_executor_plugins.executors.real import RealExecutor
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    from snakemake_executor_plugin_grid.executor import Executor

    border: dict[type, tuple[str, ...]] = {
        # First ours, some of which call their own version in the classes below.
        Executor: (
            *("__post_init__", "run_jobs", "handle_job_error", "cancel", "shutdown"),
            *("format_job_exec", "get_job_args", "additional_general_args"),
        ),
        RemoteExecutor: ("report_job_submission", "handle_job_error", "shutdown"),
        RealExecutor: ("format_job_exec", "get_job_args"),
        AbstractExecutor: ("run_job_pre", "report_job_success", "report_job_error"),
    }
    for owner, listed in border.items():
        part = "submit" if owner is Executor else "snakemake"
        for name in listed:
            setattr(owner, name, meter.booked(part, getattr(owner, name)))
    Executor._wait_thread = meter.booked("poll", Executor._wait_thread)
    meter_threads(meter)


def meter_threads(meter: Meter) -> None:
    """Book whole threads: the controller's loop, and those that it hands work to."""
    parts = {"grid": "loop", "staging": "staging", "asyncio": "staging"}
    plain = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        part = parts.get(thread.name.partition("_")[0])
        (meter.booked(part, plain) if part else plain)(thread)

    threading.Thread.run = run  # type: ignore[method-assign]


def use_instant_site() -> None:
    """Let the local backend start the site of this file."""
    from snakemake_executor_plugin_grid.backends.local import backend

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        assert command[1:3] == ["-m", site.__name__], command
        return subprocess.Popen([sys.executable, __file__, "--site", *command[3:]], **options)

    backend.subprocess = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)  # type: ignore[assignment]


class InstantSite(site.Site):
    """Its jobs are done as soon as they start."""

    async def _run(self, job: Any) -> None:
        await asyncio.to_thread(work, self._sandbox(job))
        self._finish(job, "done", "")


def work(sandbox: Path) -> None:
    """Make a job's outputs, and return them as the worker does."""
    job = description.load(sandbox / description.JOB_FILE)
    report = reports.Report.start(job.name)
    tree = Tree(sandbox / "scratch" / "tree", job.nesting)
    for output in job.outputs:
        path = tree.path(output.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{output.name}\n")
    (sandbox / description.LOG_FILE).write_text("nothing ran\n" * 20)
    report.exit_code, report.reason = 0, reports.SUCCESS
    stageout.stage_out(job, sandbox, tree, set(), job.outputs, report)
    report.begin("ended")
    report.write(sandbox / description.REPORT_FILE)


def leave(spent: Counter[str], path: Path) -> None:
    """Write the seconds by part, and the peak memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            spent["peak_mb"] = int(line.split()[1]) / 1024
    path.write_text(json.dumps(spent))


def main() -> None:
    """Be one or the other."""
    meter = Meter()
    first = Path(sys.argv.pop(1))
    if str(first) == "--site":
        site.Site = InstantSite  # type: ignore[misc]
        meter.switch("site")
        site.main(Path(sys.argv[1]))
        meter.switch("snakemake")
        leave(meter.spent, Path(os.environ[_FILE]).with_suffix(".site"))
        return
    os.environ[_FILE] = str(first.absolute())
    import snakemake.cli

    meter_executor(meter)
    use_instant_site()

    def end() -> None:
        meter.switch("snakemake")
        leave(meter.spent, first.absolute())

    atexit.register(end)
    meter.switch("snakemake")
    snakemake.cli.main()


if __name__ == "__main__":
    main()
