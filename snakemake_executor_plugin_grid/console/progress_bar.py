"""Bars below what is written to a terminal, by whomever it is written.

Bars are drawn below an empty line, in which the cursor stays: what another program writes begins
there. What this process writes goes through a `_Guard`, which takes the bars away before; the next
refresh draws them again. `rich.live` would do so for ``sys.stderr`` only, where a logging handler
has long taken hold of the stream; it would break long lines, and hide a cursor that nobody shows
again when the process is killed. So rich draws the bars, and this module puts them on the screen.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

if TYPE_CHECKING:
    from .progress import Moving

_MOST = 8
_OTHER_LINES = 4  # of the terminal, that are left to what else there is to read
_CLEAR = "\x1b[J"  # from the cursor to the end of the screen (ECMA-48, 8.3.39)


class Bar:
    """The bars of a terminal."""

    def __init__(
        self, stream: TextIO, logger: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Know the terminal; nothing is written yet.

        Args:
            stream: The terminal.
            logger: Whose handlers write there, too.
            clock: Returns seconds.
        """
        self._stream = stream
        self._logger = logger
        self._console = Console(file=stream)
        self._bars = Progress(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=16),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            auto_refresh=False,
            get_time=clock,
            expand=True,
        )
        self._tasks: dict[Moving, TaskID] = {}
        # Of what is on the screen; a signal handler may write while it is held.
        self._lock = threading.RLock()
        self._drawn = False
        self._within_line = False
        self._broken = False
        self._guards: list[_Guard] = []

    def show(self, transfers: Sequence[Moving]) -> None:
        """Draw a bar for each transfer; for none of them, take all away."""
        if self._broken or self._in_background():
            transfers = ()
        if transfers:
            self._guard()
        self._update(transfers)
        with self._lock:
            self._erase()
            if transfers and not self._within_line:
                try:
                    self._draw(len(transfers))
                except (OSError, ValueError):  # the terminal has gone
                    self._broken = True
        if not transfers:
            self._release()

    def close(self) -> None:
        """Take all away."""
        self.show(())

    def write(self, stream: TextIO, text: str) -> int:
        """Write for somebody else, where the bars were."""
        with self._lock:
            self._erase()
            if text:
                self._within_line = not text.endswith("\n")
            return stream.write(text)

    def _in_background(self) -> bool:
        """Return whether the terminal is somebody else's at the moment, such as the shell's."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) != os.getpgrp()
        except (OSError, ValueError):  # it is not the one by which this process is controlled
            return False

    def _update(self, transfers: Sequence[Moving]) -> None:
        for gone in self._tasks.keys() - set(transfers):
            self._bars.remove_task(self._tasks.pop(gone))
        for moving in transfers:
            if moving not in self._tasks:
                self._tasks[moving] = self._bars.add_task("", total=None)
            moved = moving.moved()
            where = f" {'to' if moving.up else 'from'} {moving.store}" if moving.store else ""
            self._bars.update(
                self._tasks[moving],
                description=f"{moving.what}{where}",
                completed=moved,
                # Before its first byte a bar pulses: it is prepared, or waits.
                total=max(moving.size, moved) if moving.size and moved else None,
            )

    def _draw(self, count: int) -> None:
        most = max(1, min(_MOST, self._console.size.height - _OTHER_LINES))
        with self._console.capture() as capture:
            self._console.print(
                self._bars.make_tasks_table(self._bars.tasks[:most]),
                width=self._console.size.width - 1,
            )
            if count > most:
                self._console.print(f"and {count - most} more", highlight=False)
        text = capture.get().rstrip("\n")
        height = text.count("\n") + 1
        self._stream.write(f"\n{text}\x1b[{height}A\r")
        self._stream.flush()
        self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            with suppress(OSError, ValueError):
                self._stream.write(_CLEAR)
                self._stream.flush()

    def _guard(self) -> None:
        """Stand between the terminal and those who write there, as far as that is not so."""
        for handler in _handlers(self._logger):
            if not isinstance(handler.stream, _Guard) and handler.stream.isatty():
                handler.setStream(self._guarding(handler.stream))
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not isinstance(stream, _Guard) and stream is not None and stream.isatty():
                setattr(sys, name, self._guarding(stream))

    def _release(self) -> None:
        """Give the streams back; not under the lock, as handlers have locks of their own."""
        for guard in self._guards:
            for handler in _handlers(self._logger):
                if handler.stream is cast("Any", guard):
                    handler.setStream(guard.stream)
            for name in ("stdout", "stderr"):
                if getattr(sys, name) is guard:
                    setattr(sys, name, guard.stream)
        self._guards.clear()

    def _guarding(self, stream: TextIO) -> TextIO:
        guard = _Guard(stream, self)
        self._guards.append(guard)
        return cast("TextIO", guard)


class _Guard:
    """A stream to the terminal that has the bars taken away before it writes."""

    def __init__(self, stream: TextIO, bar: Bar) -> None:
        self.stream = stream
        self._bar = bar

    def write(self, text: str) -> int:
        return self._bar.write(self.stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _handlers(logger: logging.Logger) -> list[logging.StreamHandler[Any]]:
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and hasattr(handler.stream, "isatty")
    ]
