"""One process with a client library: requests go out as lines of JSON, answers come back."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..model.errors import TransientError

_PING = "ping"
_PING_LIMIT = 10.0
_ENDING = 5.0


@dataclass(frozen=True)
class _Waiting:
    """A call that has not been answered."""

    told: Callable[[int], None] | None
    future: Future[Mapping[str, Any]] = field(default_factory=Future)


class ClientProcess:
    """A process that serves calls from any thread, until it is retired or ended."""

    def __init__(self, process: subprocess.Popen[str], name: str, log: Path) -> None:
        """Read its answers from now on.

        Args:
            process: It was started with pipes.
            name: Of the system, for messages.
            log: File with its output, for messages.
        """
        self._process = process
        self._name = name
        self._log = log
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = itertools.count(1)
        self._retired = self._over = False
        threading.Thread(target=self._read, name=name, daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether it takes further calls."""
        return not self._retired and self._process.poll() is None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over

    @property
    def crashed(self) -> bool:
        """Whether it has ended with an error."""
        return self._process.poll() not in (None, 0)

    def ask(
        self,
        call: str,
        args: tuple[Any, ...],
        limit: float,
        told: Callable[[int], None] | None = None,
    ) -> Mapping[str, Any]:
        """Make a call and wait for the answer.

        A call that takes too long hangs in a connection: only the end of the process frees its
        thread. Other calls under way may be transfers of hours, so they are answered before that.

        Args:
            call: Its name.
            args: Its arguments.
            limit: Seconds.
            told: Called, in another thread, with the number of bytes moved.

        Raises:
            TransientError: It took too long, or the process has ended.
        """
        try:
            return self._exchange(call, args, limit, told)
        except TimeoutError:
            self._retired = True
            if not self._answers():
                self._process.kill()
            raise TransientError(
                f"{self._name} has not answered {call} within {limit:.0f} s"
            ) from None
        finally:
            self._end_if_done()

    def retire(self) -> None:
        """Take no further calls, and end when those under way are answered."""
        self._retired = True
        self._end_if_done()

    def begin_end(self) -> None:
        """Ask it to end; calls under way fail."""
        self._retired = True
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def end(self) -> None:
        """Wait until it has ended, and kill it if that takes long."""
        self.begin_end()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        """Return whether other calls are under way, and the process answers at all.

        Any answer will do, also that there is no such call.
        """
        with self._lock:
            others = bool(self._waiting)
        if others:
            with contextlib.suppress(TimeoutError, TransientError):
                self._exchange(_PING, (), _PING_LIMIT, None)
                return True
        return False

    def _end_if_done(self) -> None:
        with self._lock:
            done = self._retired and not self._waiting
        if done:
            self._process.kill()  # its reader waits for it

    def _exchange(
        self,
        call: str,
        args: tuple[Any, ...],
        limit: float,
        told: Callable[[int], None] | None,
    ) -> Mapping[str, Any]:
        number, waiting = next(self._numbers), _Waiting(told)
        with self._lock:
            if self._over:
                raise self._ended()
            self._waiting[number] = waiting
        try:
            self._write({"id": number, "call": call, "args": args}, limit)
            return waiting.future.result(limit)
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def _write(self, request: Mapping[str, Any], limit: float) -> None:
        """Write a request; a write that blocks this one is taken to hang."""
        if not self._writing.acquire(timeout=limit):
            self._process.kill()  # it reads nothing, so it answers nothing
            raise TimeoutError
        stdin: IO[str] = self._process.stdin  # type: ignore[assignment]  # it is a pipe
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except (OSError, ValueError):  # ValueError: it is closed; its reader may not know yet
            with contextlib.suppress(OSError):
                stdin.close()
            raise self._ended() from None
        finally:
            self._writing.release()

    def _read(self) -> None:
        stdout: IO[str] = self._process.stdout  # type: ignore[assignment]  # it is a pipe
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
        self._process.wait()
        with self._lock:
            self._over = True
            left = list(self._waiting.values())
        for waiting in left:
            if not waiting.future.done():
                waiting.future.set_exception(self._ended())

    def _ended(self) -> TransientError:
        code = self._process.poll()
        how = "has ended" if code is None else f"ended with {code}"
        return TransientError(f"the {self._name} client {how}; its log: {self._log}")
