"""An event loop in a thread, which other threads call."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ..model.errors import EndingError, TransientError
from ..resilience.calls import exit_as_error
from ..resilience.clock import Clock

T = TypeVar("T")

_TICK = 0.1


class EventLoop:
    """Runs coroutines for other threads, and tasks in the background.

    Attributes:
        loop: The event loop.
    """

    def __init__(self, clock: Clock, crashed: Callable[[BaseException], None]) -> None:
        """Start the thread.

        Args:
            clock: Measures how long a thread waits for a coroutine.
            crashed: Called in the loop with the error of a background task.
        """
        self._clock = clock
        self._crashed = crashed
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self._abandoned = False
        self._closing = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="grid", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine, from any thread."""
        return asyncio.run_coroutine_threadsafe(exit_as_error(coroutine), self.loop)

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float = math.inf) -> T:
        """Run a coroutine and wait for its result, from another thread."""
        return self.wait(self.start(self._call(coroutine)), timeout, lambda: self._abandoned)

    def abandon(self) -> None:
        """Unblock the threads that wait in ``call``; from another thread."""
        self._abandoned = True

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background, from any thread."""
        self.loop.call_soon_threadsafe(self._spawn, coroutine)

    def watch(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that does not end before the loop; nobody waits for it."""
        self.loop.call_soon_threadsafe(self._watch, coroutine)

    def wait(
        self, future: Future[T], timeout: float, give_up: Callable[[], bool] = lambda: False
    ) -> T:
        """Wait for a result, from another thread.

        Args:
            future: Gets the result.
            timeout: Seconds to wait.
            give_up: Called several times a second; returns whether to stop waiting.

        Raises:
            EndingError: ``give_up`` has said so.
            TransientError: The time is over.
        """
        deadline = self._clock.monotonic() + timeout
        while not future.done():
            if give_up():
                raise EndingError("interrupted")
            if self._clock.monotonic() > deadline:
                raise TransientError(f"no answer within {timeout:g} s")
            self._clock.wait(future, _TICK)
        return future.result()

    async def tasks_ended(self) -> None:
        """Wait for all background tasks."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def calls_ended(self) -> None:
        """Wait for calls whose thread stopped waiting after an interrupt."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    def close(self) -> None:
        """Cancel everything that still runs, and end the thread."""
        self._closing = True
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return await coroutine

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(exit_as_error(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _watch(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._watching = self.loop.create_task(exit_as_error(coroutine))
        self._watching.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not self._closing:
                self._crashed(RuntimeError("a background task was cancelled"))
        elif (error := task.exception()) is not None:
            self._crashed(error)


async def _cancel_all() -> None:
    """Cancel all tasks. Their threads go on for a while, but nobody waits for them."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
