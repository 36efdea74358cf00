"""Tells of transfers that take long: bars while they last, a line when they have ended.

There is one terminal, so there is one `Progress` in a process. It tells nobody anything until
`show` is called; whoever moves files asks `transfer` for an object and counts in it.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from .progress_bar import Bar

Measure = Callable[[], int]
"""Returns how many bytes have been moved; may raise ``OSError``, which counts as no news."""

_DELAY = 3.0
_LONG = 60.0
_PERIOD = 0.25


class Transfer:
    """What is told of a transfer, from any thread; this one takes no notice."""

    def advance(self, count: int) -> None:
        """Count bytes; a negative number where some are sent again."""

    def reach(self, position: int) -> None:
        """Say how many bytes have been moved in all."""

    def watch(self, measure: Measure) -> None:
        """Have it measured how many bytes have been moved; see `size_of`."""

    def restart(self) -> None:
        """Begin anew: it is tried again, or has only been prepared until now."""


NOTHING = Transfer()
"""For transfers of which nobody wants to know."""


class Moving(Transfer):
    """A transfer that counts.

    Attributes:
        what: File, or several files in words.
        store: From or to where; empty for a copy within this machine.
        up: Whether to the store.
        size: Bytes in all, 0 if that is not known.
        opened: When it was announced, by the clock of its `Reporter`.
    """

    def __init__(
        self, what: str, size: int, clock: Callable[[], float], *, up: bool, store: str
    ) -> None:
        """Begin; arguments as the attributes."""
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
        """Count bytes."""
        with self._lock:
            self._moved += count

    def reach(self, position: int) -> None:
        """Note the number of bytes."""
        with self._lock:
            self._moved = position

    def watch(self, measure: Measure) -> None:
        """Note how to measure; that is done when it is asked for."""
        self._measure = measure

    def restart(self) -> None:
        """Begin at 0, now."""
        with self._lock:
            self._moved = 0
            self._began = self._clock()

    def go_on(self, size: int, store: str) -> None:
        """Begin the next part, such as the upload of what has been packed."""
        self._measure = None
        self.size = size or self.size
        self.store = store or self.store
        self.restart()

    def moved(self) -> int:
        """Return how many bytes have been moved."""
        measure = self._measure
        if measure is not None:
            with suppress(OSError):  # it is not there yet, or has been renamed
                self.reach(measure())
        return self._moved

    def summary(self) -> str:
        """Return what to say of it at its end, nothing if it did not last long."""
        seconds = self._clock() - self._began
        size = self.size or self.moved()
        if seconds < _LONG or not size:
            return ""
        from rich.filesize import decimal

        verb = ("uploaded" if self.up else "downloaded") if self.store else "copied"
        rate = decimal(round(size / seconds))
        return f"{verb} {self.what}, {decimal(size)} in {_duration(seconds)} ({rate}/s)"


class Progress:
    """Hears of all transfers; this one takes no notice."""

    def transfer(
        self, what: str, size: int, *, up: bool, store: str = ""
    ) -> AbstractContextManager[Transfer]:
        """Announce a transfer, which lasts as long as the context; see `transfer`."""
        del what, size, up, store
        return nullcontext(NOTHING)


class Reporter(Progress):
    """Shows and says what goes on."""

    def __init__(
        self,
        say: Callable[[str], None],
        bar: Bar | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know whom to tell; nothing is written yet.

        Args:
            say: Shows a line to the user.
            bar: Where bars are drawn, None for nowhere.
            clock: Returns seconds.
        """
        self._say = say
        self._bar = bar
        self._clock = clock
        self._own = threading.local()
        self._changed = threading.Condition()
        self._moving: list[Moving] = []
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def transfer(self, what: str, size: int, *, up: bool, store: str = "") -> Iterator[Transfer]:
        """Count a transfer among those that go on."""
        outer: Moving | None = getattr(self._own, "moving", None)
        if outer is not None:
            outer.go_on(size, store)
            yield outer
            return
        moving = Moving(what, size, self._clock, up=up, store=store)
        self._own.moving = moving
        self._add(moving)
        try:
            yield moving
        finally:
            self._own.moving = None
            with self._changed:
                self._moving.remove(moving)
        summary = moving.summary()
        if summary:
            self._say(summary)

    def refresh(self) -> None:
        """Draw the bars of those that take long, or take the bars away."""
        if self._bar is None:
            return
        now = self._clock()
        with self._changed:
            long = [moving for moving in self._moving if now - moving.opened >= _DELAY]
        self._bar.show(long)

    def close(self) -> None:
        """Take the bars away, and show no more."""
        global _current
        if _current is self:
            _current = Progress()
        atexit.unregister(self.close)
        self._closed.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def _add(self, moving: Moving) -> None:
        with self._changed:
            self._moving.append(moving)
            if self._bar is not None and self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)
                self._thread.start()
                # A thread that writes must not meet the end of the interpreter.
                atexit.register(self.close)
            self._changed.notify()

    def _follow(self) -> None:
        while not self._closed.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._moving or self._closed.is_set())
            while self._moving and not self._closed.wait(_PERIOD):
                self.refresh()
            self.refresh()


_current: Progress = Progress()


def transfer(
    what: str, size: int, *, up: bool, store: str = ""
) -> AbstractContextManager[Transfer]:
    """Announce a transfer, which lasts as long as the context.

    Within another one of the same thread it is the next part of that one, under whose name it goes
    on: a store knows a blob by its digest only, its caller knows whose files they are.

    Args:
        what: File, or several files in words.
        size: Bytes, 0 if that is not known.
        up: Whether to the store.
        store: URL or name of the store, without secrets; empty for a copy within this machine.

    Returns:
        Context manager of the `Transfer` in which to count; that can be done in any thread.
    """
    return _current.transfer(what, size, up=up, store=store)


def show(say: Callable[[str], None], logger: Logger, stream: TextIO | None = None) -> Reporter:
    """Tell of transfers from now on, until the result is closed.

    Args:
        say: Shows a line to the user.
        logger: Whose handlers write to the terminal, too.
        stream: Where bars are drawn if it is a terminal, by default stderr.
    """
    global _current
    stream = sys.stderr if stream is None else stream
    bar = None
    if can_draw(stream, os.environ):
        from .progress_bar import Bar

        bar = Bar(stream, logger)
    reporter = Reporter(say, bar)
    _current = reporter
    return reporter


def can_draw(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether bars can be drawn: on a terminal, that somebody looks at."""
    in_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    return stream.isatty() and environment.get("TERM", "dumb") != "dumb" and not in_ci


def size_of(path: Path) -> Measure:
    """Return what measures a transfer by the size that a local file has got."""
    return lambda: path.stat().st_size


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
