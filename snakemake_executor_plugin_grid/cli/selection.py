"""The jobs of a journal: which of them are meant, and how far each has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from ..journal.reader import JobRecord
from ..journal.writer import Phase
from ..model.errors import GridError
from ..model.state import JobState
from .server import tell

_SHOWN = 10
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Standing(Enum):
    """How far a job has come; the values are the words of the command line and of its JSON."""

    WAITING = "waiting"
    """On its way to the backend, whose answer is not known."""
    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    UNKNOWN = "unknown"
    """The backend does not name it now."""
    ENDED = "ended"
    """Ended on the grid, and not taken in yet."""
    CANCELLING = "cancelling"
    """To be cancelled, which the backend has not confirmed."""
    LANDED = "landed"
    """Its outputs are in place, and Snakemake has not been told yet."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDED = {state.value for state in JobState if state.ended}


def standing(job: JobRecord) -> Standing:
    """Return how far a job has come. What the backend has not spoken of yet is queued."""
    if job.phase is Phase.SUBMITTING:
        return Standing.WAITING
    if job.phase is not Phase.SUBMITTED:
        return Standing(job.phase.value)
    if job.state in _ENDED:
        return Standing.ENDED
    return next((one for one in Standing if one.value == job.state), Standing.QUEUED)


def since(job: JobRecord) -> float | None:
    """Return since when a job stands where it does, None if that was not noted.

    A job whose backend names it no more stands there since it was running, or taken.
    """
    match standing(job):
        case Standing.WAITING:
            return job.sent
        case Standing.QUEUED | Standing.HELD:
            return job.taken or job.sent
        case Standing.RUNNING:
            return job.running
        case Standing.UNKNOWN:
            return job.running or job.taken
        case Standing.ENDED:
            return job.ended
        case Standing.CANCELLING:
            return None
        case _:
            return job.landed


def latest(jobs: Iterable[JobRecord]) -> list[JobRecord]:
    """Return the last submission of each job, in the order of these submissions.

    Submissions are of the same job where the infrastructure has failed the first (``origin``), and
    where Snakemake has sent a job again: rule, wildcards and outputs are the same then.
    """
    by_origin: dict[str, JobRecord] = {}
    for job in jobs:
        by_origin.pop(job.origin, None)
        by_origin[job.origin] = job
    last: dict[object, JobRecord] = {}
    for job in by_origin.values():
        last.pop(job.work, None)
        last[job.work] = job
    return list(last.values())


def select(jobs: Sequence[JobRecord], words: Sequence[str]) -> list[JobRecord]:
    """Return all submissions that words name, in the order of the journal.

    Args:
        jobs: All submissions.
        words: Rules, each perhaps followed by wildcards such as ``sample=a``, where several values
            of one are alternatives; unique names of jobs; ids on the grid, for PanDA also of a
            task; titles as ``status`` shows them. Of jobs that had the same id, the one that was
            submitted last is meant, which the user is told.

    Raises:
        GridError: A word names no job: says what there is.
    """
    wanted: set[str] = set()
    for word, wildcards in _choices(jobs, words):
        named = [job for job in jobs if _is_named(job, word)]
        if not named:
            raise GridError(f"there is no rule and no job {word!r} in the journal. {_known(jobs)}")
        chosen = [
            job
            for job in named
            if all(job.wildcards.get(key) in values for key, values in wildcards.items())
        ]
        if not chosen:
            titles = list(dict.fromkeys(job.title for job in named))
            asked = " ".join(f"{key}={' or '.join(values)}" for key, values in wildcards.items())
            raise GridError(f"{word}: no job has {asked}. There is {_listed(titles, '; ')}.")
        if not any(_is_called(job, word) for job in chosen):
            chosen = _last_of_each_id(word, chosen)
        wanted.update(job.name for job in chosen)
    return [job for job in jobs if job.name in wanted]


def _choices(
    jobs: Sequence[JobRecord], words: Iterable[str]
) -> list[tuple[str, dict[str, list[str]]]]:
    """Return each word that names jobs, with the values that wildcards may have."""
    choices: list[tuple[str, dict[str, list[str]]]] = []
    for word in words:
        # A title has blanks of its own; else they divide what was quoted together.
        parts = [word] if any(_is_named(job, word) for job in jobs) else word.split()
        for part in parts:
            name, sign, value = part.partition("=")
            if not sign or any(_is_named(job, part) for job in jobs):
                choices.append((part, {}))
            elif not choices:
                raise GridError(f"{part}: name the rule before its wildcards, as in: align {part}")
            else:
                choices[-1][1].setdefault(name, []).append(value)
    return choices


def _is_named(job: JobRecord, word: str) -> bool:
    grid_id = job.grid_id or ""
    return _is_called(job, word) or (bool(grid_id) and word in (grid_id, grid_id.partition(":")[0]))


def _is_called(job: JobRecord, word: str) -> bool:
    return word in (job.rule, job.title, job.name, job.origin)


def _last_of_each_id(word: str, jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Return jobs but for those whose id was given again: a new local site begins with 1."""
    last = {(job.backend, job.grid_id): job for job in jobs}
    others = [job for job in jobs if job is not last[job.backend, job.grid_id]]
    if others:
        shown = _listed([f"{job.name} ({job.title})" for job in reversed(others)], ", ")
        tell(f"{word}: the last job with this id is meant; earlier ones go by their names: {shown}")
    return list(last.values())


def _known(jobs: Sequence[JobRecord]) -> str:
    rules = list(dict.fromkeys(job.rule for job in jobs))
    if not rules:
        return "There is no job in it at all: none was submitted here yet."
    return f"Its rules are {_listed(rules, ', ')}; ids are listed by 'snakemake-grid status --all'."


def _listed(items: Sequence[str], sign: str) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return sign.join(items[:_SHOWN]) + more


def in_words(seconds: float) -> str:
    """Return a length of time, such as "40 s", "5 min", "2 h 5 min" or "3 d 4 h".

    Clocks of several hosts differ: what would be negative is no time at all.
    """
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
