"""Commands that tests start. Snakemake is forked from a process that has imported it.

That saves a second of each start. ``GRID_TEST_REAL_COMMAND=1`` starts a fresh interpreter each
time; so does a run under coverage, which cannot follow the forks.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from tests import fork_server

REAL_COMMAND = "GRID_TEST_REAL_COMMAND"
SNAKEMAKE = (sys.executable, "-m", "snakemake")
_ROOT = Path(__file__).parents[1]
_AT_START = ("LANG", "LC_", "PYTHON")
"""Variables that Python reads when it starts; a fork has those of the server."""


class _Child(Protocol):
    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...


class Process:
    """A command that runs in a session of its own. What it prints goes to a file."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]):
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        as_fork = tuple(command[: len(SNAKEMAKE)]) == SNAKEMAKE and _can_fork(environment)
        start = _fork if as_fork else _spawn
        self._child: _Child = start(command, folder, environment, self._output.fileno())
        self.pid = self._child.pid

    @property
    def output(self) -> str:
        """What it and its children have printed so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    @property
    def returncode(self) -> int | None:
        return self._child.poll()

    def poll(self) -> int | None:
        """Return its exit code if it has ended; -9 is SIGKILL."""
        return self._child.poll()

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end, and return its exit code.

        Raises:
            AssertionError: When it does not end in time.
        """
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.output}") from None

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and its process group by SIGKILL, without a chance to clean up."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()


def _can_fork(environment: Mapping[str, str]) -> bool:
    def at_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if name.startswith(_AT_START) and name != "PYTHONPATH"
        }

    asked = os.environ.keys() & {REAL_COMMAND, "COVERAGE_PROCESS_CONFIG"}
    return not asked and at_start(environment) == at_start(os.environ)


def _spawn(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], output: int
) -> _Child:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """Let a process that is about to begin end by Ctrl-C, which those in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Fork:
    """A child of the fork server: what `subprocess.Popen` is for one of this process."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self._code: int | None = None
        self.pid = self._number()

    def _number(self) -> int:
        line = self._status.readline()
        if not line:
            raise RuntimeError("the fork server has ended")
        return int(line)

    def poll(self) -> int | None:
        if self._code is None and select.select([self._status], [], [], 0)[0]:
            self._code = self._number()
        return self._code

    def wait(self, timeout: float) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("snakemake", timeout)
            select.select([self._status], [], [], left)
        return code


def _fork(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], output: int
) -> _Child:
    request = {
        "arguments": command[len(SNAKEMAKE) :],
        "folder": str(folder),
        "environment": dict(environment),
    }
    status, status_end = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        streams = [null, output, output, status_end]
        socket.send_fds(_server(), [json.dumps(request).encode()], streams)
    finally:
        os.close(null)
        os.close(status_end)
    return _Fork(status)


@cache
def _server() -> socket.socket:
    """Start the fork server of this process; it ends when this process does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [sys.executable, "-m", fork_server.__name__],
        cwd=_ROOT,
        stdin=its,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    its.close()
    return ours
