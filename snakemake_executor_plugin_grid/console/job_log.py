"""What the user reads of jobs on their way: each change that matters, and how many are where."""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..model.state import JobState, JobStatus

_SINGLE_LINES = 5
_SITES = 5
_LONGEST_DETAIL = 200
_PERIOD = 10.0  # seconds between two summaries at least
_NOWHERE = "site not known"


@dataclass(frozen=True)
class Line:
    """One job, as it stands now.

    Attributes:
        title: In words, such as ``rule fit (x=1)``.
        grid_id: Its id on the grid, None while it is staged in and submitted.
        status: What the backend said last.
        adopted: Whether an earlier run has submitted it.
    """

    title: str
    grid_id: str | None
    status: JobStatus
    adopted: bool = False


class _Place(enum.Enum):
    """Where a job is, in the words of the summary and in their order."""

    SUBMITTING = "being submitted"
    QUEUED = "queued"
    RUNNING = "running"
    HELD = "on hold"
    COMING = "coming back"


class _Change(enum.Enum):
    """What has happened to a job, in the order in which it is told."""

    SUBMITTED = enum.auto()
    RUNS = enum.auto()
    BACK = enum.auto()
    HELD = enum.auto()


_PLACES = {
    JobState.QUEUED: _Place.QUEUED,
    JobState.RUNNING: _Place.RUNNING,
    JobState.HELD: _Place.HELD,
    JobState.DONE: _Place.COMING,
    JobState.FAILED: _Place.COMING,
    JobState.CANCELLED: _Place.COMING,
    JobState.UNKNOWN: _Place.QUEUED,  # new to the backend: later, what was known before counts
}


class Tidings:
    """Compares the jobs of a poll round with those of the last one, and tells what is new.

    All methods are to be called in one thread.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        page: Callable[[str], str] = lambda _: "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with no job.

        Args:
            say: Shows a line to the user.
            page: Returns the URL of a job, by its id on the grid; nothing if it has none.
            now: Returns the time in seconds, on a clock that only goes forward.
        """
        self._say = say
        self._page = page
        self._now = now
        self._lines: dict[str, Line] = {}
        self._ended = {True: 0, False: 0}
        self._summary = ""
        self._next = now()

    def update(self, statuses: Mapping[str, Line]) -> None:
        """Tell what has changed, in a few lines; to be called once in a poll round.

        Args:
            statuses: All jobs that have not come to their end, by a name that stays the same when a
                job is sent again.
        """
        before, self._lines = self._lines, {}
        changes: dict[_Change, list[Line]] = {change: [] for change in _Change}
        for name, line in statuses.items():
            last = before.get(name)
            if last is not None and _unknown(line) and last.grid_id == line.grid_id:
                line = last  # neither failed nor done, nor anything else
            self._lines[name] = line
            if change := _change(last, line):
                changes[change].append(line)
        if sum(map(len, changes.values())) <= _SINGLE_LINES:
            for change, lines in changes.items():
                for line in lines:
                    self._say(self._told(change, line))
        else:
            for change, lines in changes.items():
                if lines:
                    self._say(_told_together(change, lines))
        if self._now() >= self._next:
            self._summarise()

    def done(self, name: str, success: bool) -> None:
        """Count a job that has come to its end; it is not among those of the next update."""
        self._lines.pop(name, None)
        self._ended[success] += 1

    def flush(self) -> None:
        """Tell the last counts, if they have not been told."""
        self._summarise()

    def _summarise(self) -> None:
        counts = Counter(map(_place, self._lines.values()))
        sites = _by_site(
            [line for line in self._lines.values() if _place(line) is _Place.RUNNING], _SITES
        )
        parts = [
            f"{counts[place]} {place.value}"
            + (f" ({sites})" if sites and place is _Place.RUNNING else "")
            for place in _Place
            if counts[place]
        ]
        parts += [
            f"{self._ended[success]} {word}"
            for success, word in ((True, "done"), (False, "failed"))
            if self._ended[success]
        ]
        summary = ", ".join(parts)
        if summary and summary != self._summary:
            self._summary = summary
            self._next = self._now() + _PERIOD
            self._say(f"jobs: {summary}")

    def _told(self, change: _Change, line: Line) -> str:
        """Return the line about one job."""
        status, grid_id = line.status, line.grid_id or ""
        detail = f": {first_line(status.detail)}" if status.detail.strip() else ""
        if change is _Change.SUBMITTED:
            page = self._page(grid_id)
            return f"{line.title}: submitted as job {grid_id}" + (f", see {page}" if page else "")
        if change is _Change.RUNS:
            where = f" at {status.site}" if status.site else ""
            return f"{line.title}: job {grid_id} runs{where}"
        if change is _Change.BACK:
            return f"{line.title}: job {grid_id} is back in the queue{detail}"
        return f"{line.title}: job {grid_id} is on hold{detail}"


def _unknown(line: Line) -> bool:
    return line.grid_id is not None and line.status.state is JobState.UNKNOWN


def _place(line: Line) -> _Place:
    return _Place.SUBMITTING if line.grid_id is None else _PLACES[line.status.state]


def _change(last: Line | None, line: Line) -> _Change | None:
    """Return what has happened to a job since the last round, if it is worth a line."""
    place = _place(line)
    anew = last is None or last.grid_id != line.grid_id
    was = None if last is None or anew else _place(last)
    if place is _Place.RUNNING:
        moved = last is not None and line.status.site not in ("", last.status.site)
        return _Change.RUNS if was is not place or moved else None
    if place is _Place.HELD:
        return _Change.HELD if was is not place else None
    if place is _Place.QUEUED:
        if anew:
            return None if line.adopted else _Change.SUBMITTED
        return _Change.BACK if was is not place else None
    return None


def _told_together(change: _Change, lines: Sequence[Line]) -> str:
    """Return the line about all jobs to which the same has happened."""
    one = len(lines) == 1
    jobs = f"{len(lines)} {'job' if one else 'jobs'}"
    if change is _Change.SUBMITTED:
        ids = [str(line.grid_id) for line in lines]
        return f"{jobs} submitted: {ids[0]}" + ("" if one else f" to {ids[-1]}")
    if change is _Change.RUNS:
        sites = _by_site(lines, len(lines))
        return f"{jobs} {'runs' if one else 'run'} now" + (f": {sites}" if sites else "")
    state = "back in the queue" if change is _Change.BACK else "on hold now"
    details = Counter(first_line(line.status.detail) for line in lines if line.status.detail)
    why = ""
    if details:
        (detail, count), *_ = details.most_common(1)
        why = f": {detail}" if count == len(lines) else f"; {count} of them: {detail}"
    return f"{jobs} {'is' if one else 'are'} {state}{why}"


def _by_site(lines: Sequence[Line], shown: int) -> str:
    """Return how many jobs are at each site, nothing if none is known.

    Args:
        lines: The jobs.
        shown: So many sites are named, those with most jobs.
    """
    counts = Counter(line.status.site for line in lines)
    unknown = counts.pop("", 0)
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if unknown:
        ranked.append((_NOWHERE, unknown))
    text = ", ".join(f"{site} {count}" for site, count in ranked[:shown])
    rest = [count for _, count in ranked[shown:]]
    return f"{text}, {sum(rest)} at {len(rest)} more" if rest else text


def first_line(text: str) -> str:
    """Return the first line of a reason, without its full stop and cut if it is long."""
    first = next(iter(text.strip().splitlines()), "").rstrip(".")
    return first if len(first) <= _LONGEST_DETAIL else f"{first[:_LONGEST_DETAIL]}…"
