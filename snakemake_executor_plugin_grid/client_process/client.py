"""The side of Snakemake of a client library in a separate process: calls with time limits.

A separate process has three advantages: the output of the library does not reach the terminal, a
call that hangs can be ended, and the library may be installed in another Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import itertools
import json
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..model.errors import GridError, PermanentError, TransientError
from ..resilience.calls import CALL_TIMEOUT
from .serve import THREADS


@dataclass(frozen=True)
class _Waiting:
    """A call that has not been answered."""

    process: subprocess.Popen[str]
    future: Future[Any]
    told: Callable[[int], None] | None


class ProcessClient(ABC):
    """A client library. Calls may come from any thread; those of the event loop do not block it.

    Attributes:
        name: Of the system, for messages.
        option: Which names the Python that has the library.
        python: Interpreter that has the library.
    """

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
        self._starting = threading.Lock()
        self._writing = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._waiting: dict[int, _Waiting] = {}
        # A separate pool: transfers must not take all the threads that state calls need.
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=self.name)
        self._numbers = itertools.count(1)
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
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def call_now(self, name: str, *args: Any, limit: float = CALL_TIMEOUT) -> Any:
        """Make a call and wait for the answer; errors as of ``call``."""
        self._start()
        return self._exchange(name, args, limit)

    def move_now(self, told: Callable[[int], None], name: str, *args: Any, limit: float) -> Any:
        """Make a call that reports its progress; errors as of ``call``.

        Args:
            told: Called, in another thread, with the number of bytes moved.
            name: Of the call.
            args: Of the call.
            limit: Seconds.
        """
        self._start()
        return self._exchange(name, args, limit, told)

    async def facts(self) -> Mapping[str, Any]:
        """Return what the program reported at its start."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._start)
        return self._facts

    def facts_now(self) -> Mapping[str, Any]:
        """Like ``facts``, from any thread; does not ask again."""
        if not self._facts:
            self._start()
        return self._facts

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def restart(self) -> None:
        """End the process; the next call starts a new one, with the environment of that time."""
        self._stop()

    def _stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _start(self) -> None:
        with self._starting:
            if self._closed:
                raise TransientError(f"the {self.name} client has been closed")
            if self._process is not None and self._process.poll() is None:
                return
            process = self._launch()
            with self._lock:
                self._process = process
            reader = threading.Thread(
                target=self._read, args=(process,), name=self.name, daemon=True
            )
            reader.start()
            try:
                self._facts = self._exchange("start", (), CALL_TIMEOUT)
            except GridError as error:
                self._stop()  # the next call starts it again, perhaps with new credentials
                if process.poll() in (None, 0) or not isinstance(error, TransientError):
                    raise
                raise type(error)(f"{error} ({self.option} {self.python})") from error

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

    def _exchange(
        self,
        name: str,
        args: tuple[Any, ...],
        timeout: float,
        told: Callable[[int], None] | None = None,
    ) -> Any:
        number, future = next(self._numbers), Future[Any]()
        with self._lock:
            process = self._process
            if process is None:
                raise TransientError(f"the {self.name} client has ended")
            self._waiting[number] = _Waiting(process, future, told)
        try:
            self._write(process, {"id": number, "call": name, "args": args}, timeout)
            answer = future.result(timeout)
        except TimeoutError:
            # It hangs in a connection: only the end of the process frees its thread.
            process.kill()
            with self._lock:
                if self._process is process:
                    self._process = None  # the next call starts another one
            raise TransientError(
                f"{self.name} has not answered {name} within {timeout:.0f} s"
            ) from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if "error" in answer:
            raise self.error(name, answer["error"])
        return answer["value"]

    def _write(
        self, process: subprocess.Popen[str], request: Mapping[str, Any], timeout: float
    ) -> None:
        """Write a request; a write that blocks this one is taken to hang."""
        if not self._writing.acquire(timeout=timeout):
            raise TimeoutError
        stdin: IO[str] = process.stdin  # type: ignore[assignment]  # it is a pipe
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except (OSError, ValueError):  # ValueError: it is closed; its reader may not know yet
            with contextlib.suppress(OSError):
                stdin.close()
            raise TransientError(
                f"the {self.name} client has ended; its log: {self._log}"
            ) from None
        finally:
            self._writing.release()

    def _read(self, process: subprocess.Popen[str]) -> None:
        stdout: IO[str] = process.stdout  # type: ignore[assignment]  # it is a pipe
        for line in stdout:
            try:
                answer = json.loads(line)
                number = int(answer["id"])
            except (ValueError, TypeError, KeyError):
                continue  # output of a wrapper around Python, or of sitecustomize
            with self._lock:
                waiting = self._waiting.get(number)
            if waiting is None:
                continue
            if "moved" not in answer:
                waiting.future.set_result(answer)
            elif waiting.told is not None:
                waiting.told(int(answer["moved"]))
        process.wait()
        with self._lock:
            left = list(self._waiting.values())
        for waiting in left:
            if waiting.process is process and not waiting.future.done():
                waiting.future.set_exception(
                    TransientError(
                        f"the {self.name} client ended with {process.returncode}; its log: "
                        f"{self._log}"
                    )
                )


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
