"""A process that has imported Snakemake and forks a ``python -m snakemake`` for each request.

It reads requests from the Unix socket at descriptor 0: JSON, with four descriptors beside it. The
first three are the command's standard streams. To the fourth it writes two lines: the process id
of the command, and its exit code. It has one thread, so a fork of it is as good as a fresh start.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MESSAGE = 1 << 17
"""Bytes that a request may have."""
STREAMS = 3
_HIGHEST_DESCRIPTOR = 256
_HEAVY = ("asyncio", "rich.console", "snakemake.api", "snakemake.cli", "sqlite3", "yte")
"""Imported before the forks. The plugin is not: tests change it while it is imported."""


def serve() -> tuple[dict[str, Any], list[int]]:
    """Fork for each request; return it in the fork, and never in the server."""
    channel = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, MESSAGE, STREAMS + 1)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    channel.close()
    *streams, status = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        _report(pid, streams, status)
    os.close(status)
    request: dict[str, Any] = json.loads(data)
    return request, streams


def _report(pid: int, streams: list[int], status: int) -> None:
    """Tell whoever asked of the command, until it has ended; never returns."""
    for descriptor in (0, 1, 2, *streams):
        os.close(descriptor)
    os.write(status, f"{pid}\n".encode())
    _, code = os.waitpid(pid, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
    os._exit(0)


def become(request: Mapping[str, Any], streams: list[int], imported: Mapping[str, str]) -> None:
    """Be the process that was asked for, as if it had just been started."""
    os.setsid()
    for target, source in enumerate(streams):
        os.dup2(source, target)
    os.closerange(STREAMS, _HIGHEST_DESCRIPTOR)
    os.chdir(request["folder"])
    own_paths = os.environ.get("PYTHONPATH", "")
    os.environ.clear()
    os.environ.update(request["environment"])
    for name, value in imported.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None
    time.tzset()
    sys.modules["snakemake.workflow"].Workflow._rundir = request["folder"]
    paths = _folders(os.environ.get("PYTHONPATH", ""))
    sys.path[:] = [request["folder"], *paths, *sys.path[1 + len(_folders(own_paths)) :]]
    sys.argv = ["snakemake", *request["arguments"]]  # runpy replaces the first
    gc.enable()
    if any(Path(path, "sitecustomize.py").exists() for path in paths):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")


def _folders(paths: str) -> list[str]:
    return [path for path in paths.split(os.pathsep) if path]


def import_all() -> dict[str, str]:
    """Import Snakemake and what its plugins need; return the variables that this has set."""
    before = set(os.environ)
    for name in _HEAVY:
        importlib.import_module(name)
    for module in pkgutil.iter_modules():
        if module.name.startswith("snakemake_storage_plugin_"):
            importlib.import_module(module.name)
    return {name: os.environ[name] for name in os.environ.keys() - before}


if __name__ == "__main__":
    _imported = import_all()
    gc.collect()
    gc.freeze()
    become(*serve(), _imported)
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
