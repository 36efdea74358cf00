"""Runs what blocks in threads that nothing else waits for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

BUSY, _IDLE = "blocking", "idle"
"""Names of a thread while it works, and while it waits for work."""
_MOST_IDLE = 16


class _Worker(threading.Thread):
    """Does one piece of work after the other."""

    def __init__(self) -> None:
        super().__init__(name=_IDLE, daemon=True)
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.start()

    def do(self, work: Callable[[], None]) -> None:
        """Do something that raises nothing; returns at once."""
        self.name = BUSY
        self._tasks.put(work)

    def run(self) -> None:
        while True:
            work = self._tasks.get()
            work()
            del work  # what it has brought is not kept while the thread waits
            self.name = _IDLE
            if len(_idle) >= _MOST_IDLE:
                return
            _idle.append(self)


_idle: list[_Worker] = []
os.register_at_fork(after_in_child=_idle.clear)  # its threads are not there


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a daemon thread, which does not delay the exit.

    For whatever may wait for a server or a store: there are as many threads as calls, so that no
    call waits behind others. A thread that has ended its work is used again, as a new one takes
    four times as much processor time.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # it is set

    def run() -> None:
        result, problem = None, None
        try:
            result = work(*args)
        except BaseException as error:
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, problem)

    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    worker.do(run)
    return await future
