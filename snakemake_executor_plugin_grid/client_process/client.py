"""The side of Snakemake of a client library in a separate process: calls with time limits.

A separate process has three advantages: the output of the library does not reach the terminal, a
call that hangs can be ended, and the library may be installed in another Python.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..model.errors import GridError, PermanentError, TransientError
from ..resilience.calls import CALL_TIMEOUT
from .process import ClientProcess
from .serve import THREADS


class _Lane:
    """The process for one kind of calls, and the threads that wait for it."""

    def __init__(self, name: str) -> None:
        self.starting = threading.Lock()
        self.process: ClientProcess | None = None
        # A pool for each: transfers must not take the threads that calls for states need.
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)


class ProcessClient(ABC):
    """A client library. Calls may come from any thread; those of the event loop do not block it.

    Transfers have a process of their own, which starts with the first of them: a call for states
    that hangs ends no transfer, and the reverse.

    Attributes:
        transfers: Names of the calls that move files.
        name: Of the system, for messages.
        option: Which names the Python that has the library.
        python: Interpreter that has the library.
    """

    transfers: frozenset[str] = frozenset()
    name: str
    option: str
    python: Path

    def __init__(self, python: Path, log: Path) -> None:
        """Start nothing yet; the process starts with the first call.

        Args:
            python: Interpreter that has the library.
            log: File to which the client's output is appended.
        """
        self.python = python
        self._log = log
        self._lock = threading.Lock()
        self._calls, self._transfers = _Lane(self.name), _Lane(f"{self.name} transfers")
        self._processes: list[ClientProcess] = []
        self._facts: Mapping[str, Any] = {}
        self._closed = False

    @property
    @abstractmethod
    def program(self) -> Path:
        """The program that the other Python runs: it serves calls; the first is ``start``."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables of the process."""

    @abstractmethod
    def error(self, call: str, answer: Mapping[str, Any]) -> GridError:
        """Return the error to raise for a failed call.

        Args:
            call: Its name.
            answer: What the program reports of the error.
        """

    async def call(self, name: str, *args: Any, limit: float = CALL_TIMEOUT) -> Any:
        """Make a call, from an event loop.

        Raises:
            TransientError: It may work later.
            CredentialsError: Credentials are missing, have expired or may not do this.
            PermanentError: The request is wrong.
        """
        if self._closed:
            raise TransientError(f"the {self.name} client has been closed")
        work = functools.partial(self.call_now, name, *args, limit=limit)
        return await asyncio.get_running_loop().run_in_executor(self._lane(name).pool, work)

    def call_now(self, name: str, *args: Any, limit: float = CALL_TIMEOUT) -> Any:
        """Make a call and wait for the answer; errors as of ``call``."""
        return self._value(name, self._start(self._lane(name)).ask(name, args, limit))

    def move_now(self, told: Callable[[int], None], name: str, *args: Any, limit: float) -> Any:
        """Make a call that reports its progress; errors as of ``call``.

        Args:
            told: Called, in another thread, with the number of bytes moved.
            name: Of the call.
            args: Of the call.
            limit: Seconds.
        """
        return self._value(name, self._start(self._lane(name)).ask(name, args, limit, told))

    async def facts(self) -> Mapping[str, Any]:
        """Return what the program reported at its start."""
        await asyncio.get_running_loop().run_in_executor(self._calls.pool, self._start, self._calls)
        return self._facts

    def facts_now(self) -> Mapping[str, Any]:
        """Like ``facts``, from any thread; does not ask again."""
        if not self._facts:
            self._start(self._calls)
        return self._facts

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        with self._lock:
            processes, self._processes = self._processes, []
        for process in processes:
            process.begin_end()
        for process in processes:
            process.end()
        for lane in (self._calls, self._transfers):
            lane.pool.shutdown(wait=False, cancel_futures=True)

    def restart(self) -> None:
        """Let the next calls start new processes, with the environment of that time."""
        for lane in (self._calls, self._transfers):
            if lane.process is not None:
                lane.process.retire()

    def _lane(self, call: str) -> _Lane:
        return self._transfers if call in self.transfers else self._calls

    def _value(self, call: str, answer: Mapping[str, Any]) -> Any:
        if "error" in answer:
            raise self.error(call, answer["error"])
        return answer["value"]

    def _start(self, lane: _Lane) -> ClientProcess:
        """Return the process of a lane; start one if there is none that takes calls."""
        with lane.starting:
            if lane.process is None or not lane.process.running:
                lane.process = self._begin()
            return lane.process

    def _begin(self) -> ClientProcess:
        with self._lock:
            if self._closed:
                raise TransientError(f"the {self.name} client has been closed")
            process = ClientProcess(self._launch(), self.name, self._log)
            self._processes = [one for one in self._processes if not one.over] + [process]
        try:
            self._facts = self._value("start", process.ask("start", (), CALL_TIMEOUT))
        except GridError as error:
            process.end()  # the next call starts it again, perhaps with new credentials
            if not process.crashed or not isinstance(error, TransientError):
                raise
            raise type(error)(f"{error} ({self.option} {self.python})") from error
        return process

    def _launch(self) -> subprocess.Popen[str]:
        environment = self.environment()
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a") as log:
                log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}: {self.python}\n")
                log.flush()
                return subprocess.Popen(
                    [str(self.python), str(self.program)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    encoding="utf-8",
                    errors="replace",
                    env=environment,
                    start_new_session=True,  # Ctrl-C is for Snakemake, which cancels the jobs
                )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TransientError(f"no space left for {self._log}") from error
            # A client that has run before exists: its file system or this host has a problem.
            kind = TransientError if self._facts else PermanentError
            raise kind(
                f"the {self.name} client cannot be started by {self.python}: {error.strerror}; "
                f"see {self.option}"
            ) from error
