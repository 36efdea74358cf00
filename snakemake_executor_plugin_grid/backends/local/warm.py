"""A process that has imported the worker, or Snakemake too, and forks a worker for each job.

It reads lines of JSON, ``{"folder": …}``, and answers each with ``{"pid": …}``. It has one thread
and does nothing else, so that a fork of it is as good as a fresh start.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from ...snakemake_api.comparison.watch import watch
from ...worker.comparison import FOLDER
from ...worker.decided import shim
from ...worker.description import WORKER_LOG
from ...worker.payload import Entry
from ...worker.preload import import_all
from ...worker.run import run_job
from .config import CONFIG_FILE, WORKER_FILE, Config
from .isolation import hide

_IMPORTED: dict[str, str] = {}
"""Variables that plugins set for their libraries while they were imported.

A payload gets its own environment after that.
"""
_KEPT = {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "TMPDIR"}


def main(site: Path, *, snakemake: bool) -> None:
    """Serve requests from standard input until it ends.

    Args:
        site: Folder of the site.
        snakemake: Whether to import Snakemake, for jobs that run it.
    """
    config = Config.loads((site / CONFIG_FILE).read_text())
    shim.ARCHIVE = site / WORKER_FILE
    import_all()
    environment = dict(os.environ)
    if snakemake:
        # The program that started the site has imported the same plugins.
        for key in environment.keys() - _KEPT:
            del os.environ[key]
        _import_snakemake()
        _IMPORTED.update((key, os.environ[key]) for key in os.environ.keys() - _KEPT)
        os.environ.update(environment)
    gc.collect()
    gc.freeze()
    # The kernel reaps the workers: the site watches them itself.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        folder = Path(json.loads(line)["folder"])
        pid = os.fork()
        if pid == 0:
            _work(folder, config, _snakemake if snakemake else None)
        replies.write(json.dumps({"pid": pid}) + "\n")


def _import_snakemake() -> None:
    import snakemake.api
    import snakemake.cli
    import snakemake.executors.local
    import snakemake.persistence
    import snakemake.scheduling.job_scheduler
    import snakemake.script
    import snakemake.workflow  # noqa: F401
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
    from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

    # They import all plugins that are installed.
    ExecutorPluginRegistry()
    StoragePluginRegistry()


def _work(folder: Path, config: Config, entry: Entry | None) -> None:
    """Run the worker of a job; does not return."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(folder / WORKER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        # Also drops the pipe to the site, which has to see it closed when this process ends.
        os.closerange(3, 256)
        os.chdir(folder)
        if config.hidden:
            hide(Path(config.hidden), [Path(path) for path in config.kept])
        code = run_job(folder, entry)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _snakemake(argv: list[str]) -> int:
    """Run Snakemake in this process, as ``python -m snakemake`` would in a fresh one."""
    from snakemake.cli import main as snakemake_main

    for key, value in _IMPORTED.items():
        os.environ.setdefault(key, value)
    gc.enable()
    tempfile.tempdir = None
    time.tzset()
    sys.path[0] = os.getcwd()  # noqa: PTH109
    # Set when the module was imported, which was elsewhere.
    sys.modules["snakemake.workflow"].Workflow._rundir = os.getcwd()  # noqa: PTH109
    sys.argv = [sys.modules["snakemake"].__path__[0] + "/__main__.py", *argv]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    comparison = os.environ.pop(FOLDER, "")
    try:
        if comparison:
            watch(comparison)
        snakemake_main(argv)
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            sys.stderr.write(code + "\n")
        return code if isinstance(code, int) else int(code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        atexit._run_exitfuncs()
    return 0
