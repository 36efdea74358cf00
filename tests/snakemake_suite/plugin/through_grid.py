"""A plugin of pytest for Snakemake's suite: its workflows run through the grid executor.

The suite runs each workflow by `tests.common.run`. This puts another function in its place, which
changes the executor and leaves the rest: the suite compares the results as ever.

This module is imported in the suite's process by its bare name; the package ``tests`` there is
Snakemake's.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

WAY = "GRID_SUITE_WAY"
"""``local``, or a value of ``--grid-decide``."""
RESULTS = "GRID_SUITE_RESULTS"
"""File to which a line of JSON is added for each test."""
EXECUTED = "executed"
ON_GRID = "on_grid"
DECIDED = "decided"
_NODES = 3
PACKAGES = "GRID_SUITE_PACKAGES"
"""Folder that has the plugin; the suite sets a PYTHONPATH without it."""


class _Runs:
    """What the test that runs now has done."""

    def __init__(self) -> None:
        self.folder = Path()
        self.executed = 0
        self.on_grid = 0
        self.decided = 0


_runs = _Runs()


def pytest_configure(config: pytest.Config) -> None:
    """Change the suite before its tests import what they use."""
    sys.path.insert(0, str(Path.cwd()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib.request, "urlopen", _unconnected)
        patch.delenv("CI", raising=False)
        common = importlib.import_module("tests.common")
    common.subprocess = _Finding(subprocess, "run")  # type: ignore[attr-defined]
    common.api = _Finding(common.api, "SnakemakeApi")  # type: ignore[attr-defined]
    common.run = _through(os.environ[WAY], common.run)  # type: ignore[attr-defined]


def _unconnected(*args: Any, **options: Any) -> Any:
    """Let the suite leave out what needs the internet, on any machine."""
    raise urllib.error.URLError("not used by these tests")


class _Finding:
    """A module, whose calls find this plugin as this process does, whatever the suite has set."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module = module
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
            if os.environ[PACKAGES] not in paths:
                paths.append(os.environ[PACKAGES])
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
            from snakemake_executor_plugin_grid.snakemake_api.deciding import process_state

            # The suite and this plugin have changed variables since the last workflow.
            process_state._environment = None
            process_state.remember()
        return getattr(self._module, name)


def _through(way: str, run: Callable[..., Path | None]) -> Callable[..., Path | None]:
    """Return a function as `run` that uses another executor."""

    def replaced(path: Any, *args: Any, **options: Any) -> Path | None:
        others = ("executor", "cluster", "sigint_after")
        _runs.executed += 1
        if way == "local" or any(options.get(name) is not None for name in others):
            return run(path, *args, **options)
        cleanup = options.pop("cleanup", True)
        if command := options.get("shellcmd"):
            options["shellcmd"] = _command(command, way)
        else:
            options = {"nodes": _NODES, "executor_settings": _settings(way)} | options
            options["executor"] = "grid"
        try:
            folder = run(path, *args, **options, cleanup=False)
        finally:
            _runs.on_grid += len(list(_runs.folder.glob("tmp/*/.snakemake/grid/logs/**/*.log")))
            _runs.decided += sum(map(_decided, _runs.folder.glob("tmp/*/.snakemake/grid/*.sqlite")))
        if folder is None or not cleanup:
            return folder
        shutil.rmtree(folder)
        return None

    return replaced


def _decided(journal: Path) -> int:
    """Return how many jobs of a journal were decided."""
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs WHERE decision<>''").fetchone()
    return int(count)


def _command(command: str, way: str) -> str:
    """Return a command line of Snakemake with the executor in it."""
    words = command.replace("--executor local ", "").split(" ", 1)
    options = ["--executor grid", "--grid-local-isolation require"]
    options.append(f"--grid-local-dir {_runs.folder / 'site'}")
    if not any(f" {name}" in command for name in ("-j", "--jobs")):
        options.append(f"--jobs {_NODES}")
    if knows_decide():
        options.append(f"--grid-decide {way}")
    return " ".join([words[0], *options, *words[1:]])


def _settings(way: str) -> Any:
    from snakemake_executor_plugin_grid import ExecutorSettings

    chosen = {"decide": way} if knows_decide() else {}
    return ExecutorSettings(local_dir=_runs.folder / "site", local_isolation="require", **chosen)


def knows_decide() -> bool:
    """Return whether the installed plugin has ``--grid-decide``."""
    from snakemake_executor_plugin_grid import ExecutorSettings

    return any(field.name == "decide" for field in fields(ExecutorSettings))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Give each test a folder, and the state that a fresh process has."""
    environment, folder = dict(os.environ), Path.cwd()
    umask = os.umask(0o022)
    os.umask(umask)
    _runs.__init__()  # type: ignore[misc]
    _runs.folder = Path(tempfile.mkdtemp(prefix="suite-"))
    temporary = _runs.folder / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        os.umask(umask)
        os.chdir(folder)
        _end_processes(_runs.folder)
        shutil.rmtree(_runs.folder, ignore_errors=True)


def _end_processes(folder: Path) -> None:
    """Kill what runs with a command line that names the folder: the site of a test."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            named = os.fsencode(folder) in entry.read_bytes()
        except OSError:
            continue
        if named and (pid := int(entry.parent.name)) != os.getpid():
            os.kill(pid, signal.SIGKILL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note what the test ran."""
    try:
        return (yield)
    finally:
        item.user_properties += [
            (EXECUTED, _runs.executed),
            (ON_GRID, _runs.on_grid),
            (DECIDED, _runs.decided),
        ]


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write a line for each test that was called, in the process that collects reports."""
    if report.when != "call" or "PYTEST_XDIST_WORKER" in os.environ:
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    result = {
        "name": report.nodeid.rpartition("::")[2],
        "outcome": report.outcome,
        "reason": getattr(crash, "message", "") if report.failed else "",
        "seconds": report.duration,
    } | dict(report.user_properties)
    with Path(os.environ[RESULTS]).open("a") as stream:
        stream.write(json.dumps(result) + "\n")
