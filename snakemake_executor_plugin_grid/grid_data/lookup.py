"""Answers questions about single files from few calls to a catalog.

Snakemake asks for one file after the other, but makes all names of a workflow before it asks. So
names are registered, and the first question is asked for all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..stores.file_catalog import FileCatalog, FileFacts

_PER_CALL = 1000
_MOMENT = 0.9
"""Seconds in which questions about an absent file have the same answer; Snakemake waits for files
by asking once a second."""
_FRESH = 5.0
"""Seconds for which the answers about files that were held are good for all that are released."""
_LONGEST = 30.0
"""Seconds for which the answer that a file is absent can wait for the first question."""


@dataclass
class _Absent:
    """An answer that a file does not exist.

    Attributes:
        asked: When the catalog gave it.
        used: When it was first given to a question; None if it was not.
    """

    asked: float
    used: float | None = None

    def use(self, now: float) -> bool:
        """Return whether the answer holds for a question now.

        A question before a job takes an answer that came with those for other jobs. The next one,
        a moment later, may be whether the job has made the file.
        """
        if self.used is None:
            if now - self.asked > _LONGEST:
                return False
            self.used = now
        return now - self.used <= _MOMENT


class Lookup:
    """What is known of the files of a workflow. All methods may be called from any thread.

    Attributes:
        calls: Number of calls to the catalog.
    """

    def __init__(
        self,
        catalog: FileCatalog,
        clock: Callable[[], float] = time.monotonic,
        adjust: Callable[[str, FileFacts], FileFacts] | None = None,
    ) -> None:
        """Know nothing.

        Args:
            catalog: Is asked; it repeats calls that fail for a moment.
            clock: Tells seconds that only increase.
            adjust: Returns what is known of a file by what the catalog says; None if that is all.
        """
        self._adjust = adjust
        self._catalog = catalog
        self._clock = clock
        self._asking = threading.Lock()  # one call at a time: the others wait for its answers
        self._lock = threading.Lock()  # of what follows
        self._registered: dict[str, None] = {}
        self._found: dict[str, FileFacts] = {}
        self._absent: dict[str, _Absent] = {}
        self._hidden: set[str] = set()
        self._held: set[str] = set()
        self._refreshed = -_FRESH
        self._changed: set[str] = set()
        self.calls = 0

    def register(self, names: Iterable[str]) -> None:
        """Note names about which questions will come."""
        with self._lock:
            self._registered.update(dict.fromkeys(names))

    def facts(self, name: str) -> FileFacts | None:
        """Return what is known of a file; None if it does not exist.

        Raises:
            GridError: The catalog does not answer.
        """
        self.register([name])
        with self._lock:
            known, facts = self._answer(name)
        if known:
            return facts
        with self._asking:
            while True:
                with self._lock:
                    known, facts = self._answer(name)  # of a call for which this one has waited
                if known:
                    return facts
                self._ask(name)

    def everything(self) -> dict[str, FileFacts | None]:
        """Return what is known of all registered files; those are left out that were not asked."""
        with self._lock:
            found: dict[str, FileFacts | None] = {}
            for name in self._registered:
                if name in self._hidden or name in self._held or name in self._absent:
                    found[name] = None
                elif name in self._found:
                    found[name] = self._found[name]
            return found

    def found(self, name: str) -> FileFacts | None:
        """Return what is known of a file, without a question; None if it is not known to exist."""
        with self._lock:
            hidden = name in self._hidden or name in self._held
            return None if hidden else self._found.get(name)

    def note(self, name: str, facts: FileFacts | None) -> None:
        """Take over what is known from elsewhere: a job has made or removed the file."""
        with self._lock:
            self._hidden.discard(name)
            self._held.discard(name)
            self._put(name, facts, self._clock())
            self._changed.add(name)

    def forget(self, names: Iterable[str], *, absent: bool = False) -> None:
        """Ask again at the next question.

        Args:
            names: Of files.
            absent: Whether to keep what is known of those that exist.
        """
        with self._lock:
            for name in names:
                if not (absent and name in self._found):
                    self._drop(name)

    def hide(self, names: Iterable[str]) -> None:
        """Let files count as absent, whatever the catalog has, until they are shown or noted."""
        with self._lock:
            self._hidden.update(names)

    def show(self, names: Iterable[str]) -> None:
        """End ``hide``."""
        with self._lock:
            self._hidden.difference_update(names)

    def hold(self, names: Iterable[str]) -> None:
        """Let files count as absent that jobs of earlier runs may have made, until these are known.

        That is until they are released, or noted.
        """
        with self._lock:
            self._held.update(names)

    def release(self, names: Iterable[str]) -> None:
        """End ``hold``; what the catalog has now counts."""
        with self._lock:
            due = self._held.intersection(names)
            now = self._clock()
            if due and now - self._refreshed > _FRESH:
                self._refreshed = now
                for name in self._held:  # one question for all: the others will be released next
                    self._drop(name)
            self._held -= due

    def _drop(self, name: str) -> None:
        self._found.pop(name, None)
        self._absent.pop(name, None)
        self._changed.add(name)

    def _answer(self, name: str) -> tuple[bool, FileFacts | None]:
        """Return whether the answer is known, and the answer."""
        if name in self._hidden or name in self._held:
            return True, None
        if name in self._found:
            return True, self._found[name]
        absent = self._absent.get(name)
        return absent is not None and absent.use(self._clock()), None

    def _ask(self, name: str) -> None:
        """Ask for a file, and for others: see ``_due``."""
        with self._lock:
            self._changed.clear()
            names = self._due(name)
        for start in range(0, len(names), _PER_CALL):
            some = names[start : start + _PER_CALL]
            self.calls += 1
            answers = self._catalog.facts(some)
            if (adjust := self._adjust) is not None:
                answers = {name: facts and adjust(name, facts) for name, facts in answers.items()}
            with self._lock:
                now = self._clock()
                for one in some:
                    if one not in self._changed:  # what was noted meanwhile is newer
                        self._put(one, answers.get(one), now)

    def _due(self, name: str) -> list[str]:
        """Return the names to ask for: this one, all unknown ones, absent ones to fill a call.

        Those follow the name in the order in which they were registered: questions about them are
        likely to be next.
        """
        registered = list(self._registered)
        begin = registered.index(name)
        names = [name]
        absent = []
        for one in (*registered[begin + 1 :], *registered[:begin]):
            if one in self._absent:
                absent.append(one)
            elif one not in self._found:
                names.append(one)
        room = -len(names) % min(_PER_CALL, self._catalog.width)
        return names + [one for one in absent if one not in self._hidden][:room]

    def _put(self, name: str, facts: FileFacts | None, now: float) -> None:
        if facts is None:
            self._found.pop(name, None)
            self._absent[name] = _Absent(now)
        else:
            self._absent.pop(name, None)
            self._found[name] = facts
