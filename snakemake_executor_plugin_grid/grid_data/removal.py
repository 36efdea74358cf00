"""Removes files in bulk: Snakemake removes one after the other, and each takes a moment."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ..console.format import clause, listed, plural
from ..journal.catalog import Catalog
from ..journal.database import DATABASE_FILE, Database, open_database
from ..journal.left_outputs import forget_left
from ..journal.lock import lock_folder
from ..journal.writer import Journal
from ..model.errors import GridError
from .lookup import Lookup
from .persistent import PersistentCatalog

Note = Callable[[Mapping[str, str]], None]
"""Notes files that could not be removed, and why."""

_PAUSE = 2.0
"""Seconds in which further files are collected after the first."""
_PAUSE_AFTER_ERROR = 60.0
_SLICE = 0.2
_SHOWN = 5


class Removals:
    """Files that are to be removed. All methods may be called from any thread.

    What is left at the end of the program is removed then, or noted after Ctrl-C.
    """

    def __init__(
        self,
        catalog: PersistentCatalog,
        lookup: Lookup,
        note: Note | None,
        say: Callable[[str], None],
        pause: float = _PAUSE,
    ) -> None:
        """Remove nothing yet.

        Args:
            catalog: Of the files.
            lookup: Is told what is removed.
            note: Notes what could not be removed; None if that is up to the user.
            say: Shows a line to the user.
            pause: Seconds in which further files are collected after the first.
        """
        self._catalog = catalog
        self._lookup = lookup
        self._note = note
        self._say = say
        self._pause = pause
        self._changed = threading.Condition()
        self._queue: dict[str, None] = {}
        self._under_way: frozenset[str] = frozenset()
        self._protected: set[str] = set()
        self._due = 0.0
        self._failures = 0
        self._running = self._ending = self._given_up = False

    def remove(self, name: str) -> None:
        """Remove a file soon; it counts as absent from now on."""
        with self._changed:
            if name in self._protected:
                return
            self._lookup.hide([name])
            self._queue[name] = None
            if not self._running:
                self._running = True
                self._due = time.monotonic() + self._pause
                atexit.unregister(self.flush)
                atexit.register(self.flush)
                # Python shows a traceback if Ctrl-C comes while it waits for another thread.
                threading.Thread(target=self._work, name="removals", daemon=True).start()

    def protect(self, names: Iterable[str]) -> None:
        """Do not remove files until they are written again.

        Snakemake removes the outputs of a failed job, also those of an earlier run that the job
        has not touched, and some of them twice.
        """
        with self._changed:
            self._protected.update(names)

    def withdraw(self, names: Collection[str]) -> None:
        """Do not remove files that are about to be replaced; wait for those being removed."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way.isdisjoint(names))
            for name in names:
                self._queue.pop(name, None)
                self._protected.discard(name)
            self._lookup.show(names)

    def settle(self, names: Collection[str]) -> None:
        """Remove now what is to be removed of these files, as a job is about to write them."""
        with self._changed:
            failures = self._failures
            if self._is_pending(names):
                self._due = 0.0
                self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._is_pending(names) or self._failures != failures
            )
        self.withdraw(names)

    def flush(self) -> None:
        """Remove all that is left, and note what could not be removed."""
        try:
            with self._changed:
                self._ending = True
                self._catalog.hurry()
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._running or self._given_up)
                self._ending = False
        except KeyboardInterrupt:
            self._given_up = True
            self._leave(
                dict.fromkeys([*self._under_way, *self._queue], "interrupted"), by_user=True
            )

    def _work(self) -> None:
        """Remove what is queued, until nothing is."""
        while True:
            with self._changed:
                while not self._is_over() and time.monotonic() < self._due:
                    self._changed.wait(_SLICE)
                last, names = self._is_over(), list(self._queue)
                self._queue.clear()
                self._under_way = frozenset(names)
            try:
                why = self._catalog.remove(names) if names else {}
            except Exception as error:
                self._failed(names, error, last=last)
            else:
                for name in names:
                    if name not in why:
                        self._lookup.note(name, None)
                self._leave(why)
                self._due = time.monotonic() + self._pause
            with self._changed:
                self._under_way = frozenset()
                self._running = bool(self._queue)
                self._changed.notify_all()
                if not self._running:
                    return

    def _is_pending(self, names: Collection[str]) -> bool:
        return any(name in self._queue or name in self._under_way for name in names)

    def _is_over(self) -> bool:
        return self._ending or not threading.main_thread().is_alive()

    def _failed(self, names: Collection[str], error: Exception, *, last: bool) -> None:
        """Try again later, or note the files."""
        if last or not isinstance(error, GridError):
            self._leave(dict.fromkeys(names, str(error) or type(error).__name__))
            return
        self._say(f"Files on the grid cannot be removed now: {clause(error)}.")
        with self._changed:
            self._failures += 1
            self._queue = {**dict.fromkeys(names), **self._queue}
            self._due = time.monotonic() + _PAUSE_AFTER_ERROR

    def _leave(self, why: Mapping[str, str], *, by_user: bool = False) -> None:
        """Note what could not be removed, and tell it."""
        if not why or (self._given_up and not by_user):
            return
        how = "remove them yourself"
        try:
            if self._note is not None:
                self._note(why)
                how = "`snakemake-grid clean` removes them"
        except (GridError, RuntimeError) as error:  # Python 3.12.1 starts no thread so late
            how += f", as they could not be noted ({clause(error)})"
        reasons = listed(sorted({clause(reason) for reason in why.values()}), 1)
        self._say(
            f"{plural(len(why), 'file')} on the grid could not be removed ({reasons}): "
            f"{listed(sorted(why), _SHOWN)}; {how}."
        )


def note_in_journal(folder: Path, element: str, why: Mapping[str, str]) -> None:
    """Note files for ``snakemake-grid clean``.

    Args:
        folder: This package's own, below the working directory.
        element: Storage element where they, or parts of them, may be.
        why: The reason for each file.

    Raises:
        GridError: The journal cannot be written.
    """
    with open_journal(folder) as database:
        catalog = Catalog(database)
        catalog.note_locations(("", name) for name in why).wait()
        if element:
            for parent in sorted({name.rpartition("/")[0] for name in why}):
                catalog.note_store(parent, element)


def forget_in_journal(folder: Path, names: Collection[str]) -> None:
    """Let ``snakemake-grid clean`` keep files that this host writes, and ask no open job for them.

    Args:
        folder: This package's own, below the working directory.
        names: Of the files.

    Raises:
        GridError: The journal cannot be written.
    """
    if (folder / DATABASE_FILE).exists():
        with open_journal(folder) as database:
            Catalog(database).forget_locations(names)
            forget_left(database, names)


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[Database]:
    """Open the journal to write into it, also beside the executor of this process.

    Args:
        folder: This package's own, below the working directory.

    Raises:
        GridError: The journal cannot be written.
    """
    with contextlib.ExitStack() as stack:
        guest = False
        try:
            stack.enter_context(lock_folder(folder))
        except GridError:  # by the executor in this process, mostly
            if not (folder / DATABASE_FILE).exists():
                raise
            guest = True
        database = stack.enter_context(open_database(folder, guest=guest))
        Journal(database, "", "")  # makes its tables, if there was no run with the executor
        yield database
