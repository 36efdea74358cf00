"""Lines about running jobs for the user: important changes, and how many jobs are in each state."""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..model.state import JobState, JobStatus
from .format import plural

_SINGLE_LINES = 5
_SITES = 5
_LONGEST_DETAIL = 200
_PERIOD = 10.0  # seconds between two summaries, at least
_UNKNOWN_SITE = "site not known"


@dataclass(frozen=True)
class Line:
    """The current state of one job.

    Attributes:
        title: Rule and wildcards, such as ``rule fit (x=1)``.
        grid_id: Its id on the grid, None while its inputs are uploaded and it is submitted.
        status: The last status that the backend gave.
        adopted: Whether an earlier run submitted it.
    """

    title: str
    grid_id: str | None
    status: JobStatus
    adopted: bool = False


class _State(enum.Enum):
    """State of a job in the summary; the summary uses this order."""

    SUBMITTING = "being submitted"
    QUEUED = "queued"
    AT_SITE = "at the site"
    RUNNING = "running"
    HELD = "on hold"
    COMING = "coming back"


class _Change(enum.Enum):
    """A change of a job that gets a line; the lines use this order."""

    SUBMITTED = enum.auto()
    RUNS = enum.auto()
    BACK = enum.auto()
    HELD = enum.auto()


_STATE_OF = {
    JobState.QUEUED: _State.QUEUED,
    JobState.AT_SITE: _State.AT_SITE,
    JobState.RUNNING: _State.RUNNING,
    JobState.HELD: _State.HELD,
    JobState.DONE: _State.COMING,
    JobState.FAILED: _State.COMING,
    JobState.CANCELLED: _State.COMING,
    JobState.UNKNOWN: _State.QUEUED,  # for new jobs; other jobs keep their last known state
}


class JobLog:
    """Compares the jobs with those of the previous poll round, and writes lines about changes.

    Call all methods in the same thread.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        monitor_url: Callable[[str], str] = lambda _: "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without jobs.

        Args:
            say: Shows a line to the user.
            monitor_url: Returns the web page of a job by its id on the grid, or an empty text.
            now: Returns the time in seconds, on a monotonic clock.
        """
        self._say = say
        self._monitor_url = monitor_url
        self._now = now
        self._lines: dict[str, Line] = {}
        self._ended = {True: 0, False: 0}
        self._summary = ""
        self._next = now()

    def shows(self, name: str, grid_id: str | None, status: JobStatus) -> bool:
        """Return whether the last update of a job had this id and this very status object."""
        line = self._lines.get(name)
        return line is not None and line.status is status and line.grid_id == grid_id

    def update(self, changed: Mapping[str, Line]) -> None:
        """Write lines about what has changed; call it once per poll round.

        Args:
            changed: Jobs that are new or that have changed, by a name that resubmission does not
                change.
        """
        changes: dict[_Change, list[Line]] = {change: [] for change in _Change}
        for name, line in changed.items():
            last = self._lines.get(name)
            if last is not None and _unknown(line) and last.grid_id == line.grid_id:
                line = last  # keep the last known state
            self._lines[name] = line
            if change := _change(last, line):
                changes[change].append(line)
        if sum(map(len, changes.values())) <= _SINGLE_LINES:
            for change, lines in changes.items():
                for line in lines:
                    self._say(self._line(change, line))
        else:
            for change, lines in changes.items():
                if lines:
                    self._say(_line_about_all(change, lines))
        if self._now() >= self._next:
            self._summarise()

    def done(self, name: str, success: bool) -> None:
        """Count a job that is over, and forget it."""
        self._lines.pop(name, None)
        self._ended[success] += 1

    def flush(self) -> None:
        """Write the last summary, unless it has been written."""
        self._summarise()

    def _summarise(self) -> None:
        counts = Counter(map(_state, self._lines.values()))
        sites = _by_site(
            [line for line in self._lines.values() if _state(line) is _State.RUNNING], _SITES
        )
        parts = [
            f"{counts[state]} {state.value}"
            + (f" ({sites})" if sites and state is _State.RUNNING else "")
            for state in _State
            if counts[state]
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

    def _line(self, change: _Change, line: Line) -> str:
        """Return the line about one job."""
        status, grid_id = line.status, line.grid_id or ""
        detail = f": {first_line(status.detail)}" if status.detail.strip() else ""
        if change is _Change.SUBMITTED:
            monitor_url = self._monitor_url(grid_id)
            return f"{line.title}: submitted as job {grid_id}" + (
                f", see {monitor_url}" if monitor_url else ""
            )
        if change is _Change.RUNS:
            where = f" at {status.site}" if status.site else ""
            return f"{line.title}: job {grid_id} runs{where}"
        if change is _Change.BACK:
            return f"{line.title}: job {grid_id} is back in the queue{detail}"
        return f"{line.title}: job {grid_id} is on hold{detail}"


def _unknown(line: Line) -> bool:
    return line.grid_id is not None and line.status.state is JobState.UNKNOWN


def _state(line: Line) -> _State:
    return _State.SUBMITTING if line.grid_id is None else _STATE_OF[line.status.state]


def _change(last: Line | None, line: Line) -> _Change | None:
    """Return what has happened to a job since the last round, None if it gets no line."""
    state = _state(line)
    is_new = last is None or last.grid_id != line.grid_id
    was = None if last is None or is_new else _state(last)
    if state is _State.RUNNING:
        moved = last is not None and line.status.site not in ("", last.status.site)
        return _Change.RUNS if was is not state or moved else None
    if state is _State.HELD:
        return _Change.HELD if was is not state else None
    if is_new and state in (_State.QUEUED, _State.AT_SITE):
        return None if line.adopted else _Change.SUBMITTED
    if state is _State.QUEUED:
        return _Change.BACK if was is not state else None
    return None


def _line_about_all(change: _Change, lines: Sequence[Line]) -> str:
    """Return one line about all jobs that had the same change."""
    one = len(lines) == 1
    jobs = plural(len(lines), "job")
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
    """Return how many jobs are at each site, an empty text if no site is known.

    Args:
        lines: The jobs.
        shown: Number of sites to name, those with most jobs.
    """
    counts = Counter(line.status.site for line in lines)
    unknown = counts.pop("", 0)
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if unknown:
        ranked.append((_UNKNOWN_SITE, unknown))
    text = ", ".join(f"{site} {count}" for site, count in ranked[:shown])
    rest = [count for _, count in ranked[shown:]]
    return f"{text}, {sum(rest)} at {len(rest)} more" if rest else text


def first_line(text: str) -> str:
    """Return the first line of a reason, without its full stop, shortened if it is long."""
    first = next(iter(text.strip().splitlines()), "").rstrip(".")
    return first if len(first) <= _LONGEST_DETAIL else f"{first[:_LONGEST_DETAIL]}…"
