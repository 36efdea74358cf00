"""Runs what blocks in threads that nothing else waits for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a daemon thread of its own, which does not delay the exit.

    For whatever may wait for a server or a store: in a pool, such calls would take all threads,
    and everything else would wait behind them.
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

    threading.Thread(target=run, name="blocking", daemon=True).start()
    return await future
