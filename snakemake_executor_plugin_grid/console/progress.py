"""Progress of file transfers: a bar on a terminal, and a line when a long transfer ends.

A process has one terminal, so it has one `Progress`. It is silent until `show` is called. Code that
moves files asks `transfer` for an object and counts bytes in it.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

import rich.progress
from rich.console import Console
from rich.file_proxy import FileProxy
from rich.table import Column

from .format import duration, file_size

Measure = Callable[[], int]
"""Returns the number of bytes moved; an ``OSError`` means that it is not known now."""

_DELAY = 3.0  # seconds after which a transfer is shown
_LONG = 60.0  # seconds after which its end is worth a line
_PERIOD = 0.25


class Transfer:
    """Counts the bytes of a transfer, from any thread; this base class ignores them."""

    def advance(self, count: int) -> None:
        """Add bytes; a negative number if some have to be sent again."""

    def reach(self, position: int) -> None:
        """Set the number of bytes moved."""

    def watch(self, measure: Measure) -> None:
        """Measure the number of bytes moved from now on; see `size_of`."""

    def restart(self) -> None:
        """Start again at 0: for a retry, or after preparation."""


NOTHING = Transfer()


class Moving(Transfer):
    """A transfer that counts.

    Attributes:
        what: File, or several files in words.
        store: Source or target; empty for a copy within this machine.
        up: Whether to the store.
        size: Bytes in all, 0 if unknown.
        opened: Start time, by the clock of its `Progress`.
    """

    def __init__(
        self, what: str, size: int, clock: Callable[[], float], *, up: bool, store: str
    ) -> None:
        self.what = what
        self.store = store
        self.up = up
        self.size = size
        self.opened = clock()
        self._began = self.opened
        self._clock = clock
        self._lock = threading.Lock()
        self._moved = 0
        self._measure: Measure | None = None

    def advance(self, count: int) -> None:
        """Add bytes."""
        with self._lock:
            self._moved += count

    def reach(self, position: int) -> None:
        """Set the number of bytes moved."""
        with self._lock:
            self._moved = position

    def watch(self, measure: Measure) -> None:
        """Call `measure` whenever the number is asked for."""
        self._measure = measure

    def restart(self) -> None:
        """Start again at 0."""
        with self._lock:
            self._moved = 0
            self._began = self._clock()

    def go_on(self, size: int, store: str) -> None:
        """Start the next part, such as the upload after packing."""
        self._measure = None
        self.size = size or self.size
        self.store = store or self.store
        self.restart()

    def moved(self) -> int:
        """Return the number of bytes moved."""
        measure = self._measure
        if measure is not None:
            with suppress(OSError):  # not created yet, or renamed
                self.reach(measure())
        return self._moved

    def summary(self) -> str:
        """Return the line for the end of the transfer, empty if it was short."""
        seconds = self._clock() - self._began
        size = self.size or self.moved()
        if seconds < _LONG or not size:
            return ""
        verb = ("uploaded" if self.up else "downloaded") if self.store else "copied"
        rate = file_size(size / seconds)
        return f"{verb} {self.what}, {file_size(size)} in {duration(seconds)} ({rate}/s)"


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor visible: a process that is killed could not show it again."""
        del show
        return False


class Bar:
    """Draws the oldest long transfer in one line below the output.

    With only one line, a refresh never erases text of other processes, such as local rules.

    Args:
        stream: The terminal.
        logger: Its handlers write to the terminal, too.
        clock: Returns seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._logger = logger
        self._clock = clock
        self._display: rich.progress.Progress | None = None
        self._shown: Moving | None = None
        self._handlers: list[tuple[logging.StreamHandler[Any], TextIO]] = []
        self._broken = False

    def show(self, transfers: Sequence[Moving]) -> None:
        """Draw the first of some transfers; without any, remove the bar."""
        if transfers and not self._broken and not self._in_background():
            try:
                self._draw(transfers[0], len(transfers) - 1)
            except (OSError, ValueError):  # the terminal is gone
                self._broken = True
            else:
                return
        self._remove()

    def _draw(self, moving: Moving, others: int) -> None:
        display = self._display or self._start()
        if moving is not self._shown:
            for task in display.task_ids:
                display.remove_task(task)
            display.add_task("", total=None)
            self._shown = moving
        moved = moving.moved()
        where = f" {'to' if moving.up else 'from'} {moving.store}" if moving.store else ""
        display.update(
            display.task_ids[0],
            description=f"{moving.what}{where}{f' and {others} more' if others else ''}",
            completed=moved,
            # Without a total the bar pulses: the transfer is prepared, or waits.
            total=max(moving.size, moved) if moving.size and moved else None,
        )
        display.refresh()

    def _start(self) -> rich.progress.Progress:
        console = _Console(file=self._stream, soft_wrap=True, markup=False, highlight=False)
        self._display = display = rich.progress.Progress(
            rich.progress.TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            rich.progress.BarColumn(bar_width=16),
            rich.progress.DownloadColumn(),
            rich.progress.TransferSpeedColumn(),
            rich.progress.TimeRemainingColumn(compact=True),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
            get_time=self._clock,
            expand=True,
        )
        self._shown = None
        for handler in self._logger.handlers:
            if isinstance(handler, logging.StreamHandler) and _is_terminal(handler.stream):
                self._handlers.append((handler, handler.stream))
                handler.setStream(cast("TextIO", FileProxy(console, handler.stream)))
        display.start()
        return display

    def _remove(self) -> None:
        display, self._display = self._display, None
        if display is not None:
            with suppress(OSError, ValueError):
                sys.stdout.flush()  # rich keeps the begin of a line
                sys.stderr.flush()
            with suppress(OSError, ValueError):
                display.stop()
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._handlers = []

    def _in_background(self) -> bool:
        """Return whether the terminal belongs to another process group, such as the shell's."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) != os.getpgrp()
        except (OSError, ValueError):  # not the terminal that controls this process
            return False


class Progress:
    """Reports all transfers.

    Args:
        say: Shows a line to the user.
        bar: Shows long transfers, None if there is no terminal.
        clock: Returns seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        bar: Bar | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._bar = bar
        self._clock = clock
        self._own = threading.local()
        self._lock = threading.Lock()
        self._moving: list[Moving] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def start(self) -> None:
        """Show a bar from now on."""
        if self._bar is not None:
            self._thread.start()
            # The interpreter must not end while the thread writes.
            atexit.register(self.close)

    @contextmanager
    def transfer(self, what: str, size: int, *, up: bool, store: str = "") -> Iterator[Transfer]:
        """Count a transfer while the context lasts; see `transfer`."""
        outer: Moving | None = getattr(self._own, "moving", None)
        if outer is not None:
            outer.go_on(size, store)
            yield outer
            return
        moving = Moving(what, size, self._clock, up=up, store=store)
        self._own.moving = moving
        with self._lock:
            self._moving.append(moving)
        try:
            yield moving
        finally:
            self._own.moving = None
            with self._lock:
                self._moving.remove(moving)
        if summary := moving.summary():
            self._say(summary)

    def refresh(self) -> None:
        """Draw the bar while a transfer takes long, else remove it."""
        if self._bar is not None:
            now = self._clock()
            with self._lock:
                long = [moving for moving in self._moving if now - moving.opened >= _DELAY]
            self._bar.show(long)

    def close(self) -> None:
        """Remove the bar and be silent."""
        global _current
        if _current is self:
            _current = Progress()
        atexit.unregister(self.close)
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._bar is not None:
            self._bar.show(())

    def _follow(self) -> None:
        while not self._closed.wait(_PERIOD):
            self.refresh()


_current = Progress()


def transfer(
    what: str, size: int, *, up: bool, store: str = ""
) -> AbstractContextManager[Transfer]:
    """Announce a transfer, which lasts as long as the context.

    A transfer inside another one of the same thread continues it under the same name: the store
    knows only the digest of a blob, its caller knows the files.

    Args:
        what: File, or several files in words.
        size: Bytes, 0 if unknown.
        up: Whether to the store.
        store: URL or name of the store, without secrets; empty for a copy within this machine.

    Returns:
        Context manager of the `Transfer` in which to count; any thread may do so.
    """
    return _current.transfer(what, size, up=up, store=store)


def show(
    say: Callable[[str], None], logger: logging.Logger, stream: TextIO | None = None
) -> Progress:
    """Report transfers from now on, until the result is closed.

    Args:
        say: Shows a line to the user.
        logger: Its handlers write to the terminal, too.
        stream: A bar is drawn there if it is a terminal; stderr by default.
    """
    global _current
    stream = sys.stderr if stream is None else stream
    bar = Bar(stream, logger) if can_draw(stream, os.environ) else None
    _current = Progress(say, bar)
    _current.start()
    return _current


def can_draw(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether a bar can be drawn: on a terminal that somebody looks at."""
    in_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb" and not in_ci


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def size_of(path: Path) -> Measure:
    """Return a function that measures a transfer by the size of a local file."""
    return lambda: path.stat().st_size
