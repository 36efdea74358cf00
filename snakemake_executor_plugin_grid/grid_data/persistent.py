"""Repeats calls to a file catalog that fail for a moment."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ..console.format import clause
from ..model.errors import TransientError
from ..stores.file_catalog import FileCatalog, FileFacts

T = TypeVar("T")

_AT_START = (1.0, 3.0)
"""Seconds between tries before the first answer: what never answers may be a mistake."""
_LATER = (1.0, 3.0, 10.0, 30.0, 60.0)
_SLICE = 0.5
_TOLD = 5.0
"""Seconds: what passes sooner is not worth a line."""


class PersistentCatalog(FileCatalog):
    """A catalog, each call of which is tried again. Only then an error is one."""

    def __init__(
        self,
        catalog: FileCatalog,
        say: Callable[[str], None],
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            catalog: Is called.
            say: Shows a line to the user.
            sleep: Waits for some seconds; by default, not beyond the end of the program.
        """
        self.schemes = catalog.schemes
        self.width = catalog.width
        self.catalog = catalog
        self._say = say
        self._sleep = sleep or self._pause
        self._answered = False
        self._hurried = threading.Event()

    def facts(self, names: Collection[str]) -> dict[str, FileFacts | None]:
        """Return what is known of each file."""
        return self.retry(lambda: self.catalog.facts(names))

    def replicas(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Return the storage elements with a replica of each file."""
        return self.retry(lambda: self.catalog.replicas(names))

    def listing(self, folder: str) -> list[str]:
        """Return the names of the files in a folder and below."""
        return self.retry(lambda: self.catalog.listing(folder))

    def get(self, name: str, path: Path) -> None:
        """Download a file."""
        self.retry(lambda: self.catalog.get(name, path))

    def put(self, name: str, path: Path) -> FileFacts:
        """Upload a file."""
        return self.retry(lambda: self.catalog.put(name, path))

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files; those that could not be removed are tried again."""
        why: dict[str, str] = {}
        left = list(names)
        for pause in (0.0, *_AT_START):
            self._sleep(pause)
            why = self.retry(functools.partial(self.catalog.remove, left))
            left = [name for name in left if name in why]
            if not left:
                break
        return why

    def hurry(self) -> None:
        """Wait for seconds only from now on: the run is over."""
        self._hurried.set()

    def close(self) -> None:
        """End what the catalog has started."""
        self.catalog.close()

    def retry(self, call: Callable[[], T]) -> T:
        """Make a call to the catalog until it succeeds, or has failed for too long."""
        begun = time.monotonic()
        for pause in _LATER if self._answered else _AT_START:
            if pause > _AT_START[-1] and self._is_over():
                break
            try:
                return self._succeed(call)
            except TransientError as error:
                if pause > _TOLD or time.monotonic() > begun + _TOLD:
                    self._say(f"{clause(error)}; the next try is in {pause:g} s.")
                self._sleep(pause)
        return self._succeed(call)

    def _succeed(self, call: Callable[[], T]) -> T:
        value = call()
        self._answered = True
        return value

    def _is_over(self) -> bool:
        return self._hurried.is_set() or not threading.main_thread().is_alive()

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (seconds > 1 and self._is_over()):
            self._hurried.wait(min(left, _SLICE))
