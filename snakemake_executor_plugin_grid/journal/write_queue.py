"""One thread that writes changes to the journal: in their order, several in one transaction.

A commit waits for the disk, on a network file system perhaps for seconds; the event loop must not.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..model.errors import GridError


class Write:
    """A change on its way to the disk. Wait for it before an effect that relies on it.

    It is written in any case, also if nobody waits, or if whoever waits is cancelled.
    """

    def __init__(self) -> None:
        """Begin; the thread tells the end."""
        self._future: Future[None] = Future()
        self._future.set_running_or_notify_cancel()  # cannot be cancelled from here on

    def wait(self) -> None:
        """Block until it is on disk; not for the event loop.

        Raises:
            GridError: It could not be written.
        """
        self._future.result()

    def __await__(self) -> Generator[Any, None, None]:
        """Let the event loop go on until it is on disk; errors as of ``wait``."""
        return asyncio.wrap_future(self._future).__await__()

    def when_written(self, call: Callable[[], None]) -> None:
        """Call a function once it is on disk, in the thread that has written it."""

        def ended(future: Future[None]) -> None:
            if future.exception() is None:
                call()

        self._future.add_done_callback(ended)

    def end(self, error: Exception | None) -> None:
        """Tell whoever waits that it is on disk, or why not."""
        if error is None:
            self._future.set_result(None)
        else:
            self._future.set_exception(error)


@dataclass(frozen=True)
class Change:
    """A statement to run for each of some rows."""

    statement: str
    rows: Sequence[tuple[Any, ...]]
    write: Write = field(default_factory=Write)


class WriteQueue:
    """Takes changes from any thread; its own thread starts with the first of them."""

    def __init__(self, commit: Callable[[Sequence[Change]], None]) -> None:
        """Start with nothing to write.

        Args:
            commit: Writes some changes in one transaction, or none of them.
        """
        self._commit = commit
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last = Write()
        self._last.end(None)

    def put(self, change: Change) -> Write:
        """Add a change; returns at once."""
        with self._lock:
            if self._closed:
                change.write.end(GridError("the journal has been closed"))
                return change.write
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
                self._thread.start()
            self._changes.put(change)
            self._last = change.write
        return change.write

    def drain(self) -> None:
        """Wait until all changes so far are written; whoever made one is told its errors."""
        with contextlib.suppress(Exception):
            self._last.wait()

    def close(self) -> None:
        """Write what is left, and end the thread."""
        with self._lock:
            self._closed = True
            self._changes.put(None)
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        ended = False
        while not ended:
            batch = [self._changes.get()]
            with contextlib.suppress(queue.Empty):
                while batch[-1] is not None:
                    batch.append(self._changes.get_nowait())
            ended = batch[-1] is None
            self._write([change for change in batch if change is not None])

    def _write(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        problem: Exception | None = None
        try:
            self._commit(changes)
        except Exception as error:
            if len(changes) > 1:  # each alone: one that is wrong must not take the others with it
                for change in changes:
                    self._write([change])
                return
            problem = error
        for change in changes:
            change.write.end(problem)
