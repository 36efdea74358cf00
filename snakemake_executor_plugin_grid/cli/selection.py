"""The jobs of a journal: their states, and those that the user selects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from ..console.format import listed
from ..journal.records import JobRecord, Phase
from ..model.errors import GridError
from ..model.state import JobState
from .server import tell


class DisplayState(Enum):
    """State of a job as the commands show it, also in their JSON."""

    WAITING = "waiting"
    """It is being submitted; the backend has not answered."""
    QUEUED = "queued"
    AT_SITE = "at the site"
    """It was given to a site; whether a worker node has it is not known."""
    RUNNING = "running"
    HELD = "held"
    UNKNOWN = "unknown"
    """The backend does not list it now."""
    ENDED = "ended"
    """It has ended on the grid; its results are not fetched yet."""
    CANCELLING = "cancelling"
    """The backend has not confirmed the cancellation."""
    OUTPUTS_INSTALLED = "outputs installed"
    """Its outputs are in place; Snakemake has not recorded the success yet."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDED = {state.value for state in JobState if state.ended}


def display_state(job: JobRecord) -> DisplayState:
    """Return the state of a job. It is queued until the backend says otherwise."""
    if job.phase is Phase.SUBMITTING:
        return DisplayState.WAITING
    if job.phase is not Phase.SUBMITTED:
        return DisplayState(job.phase.value)
    if job.state in _ENDED:
        return DisplayState.ENDED
    return next((one for one in DisplayState if one.value == job.state), DisplayState.QUEUED)


def since(job: JobRecord) -> float | None:
    """Return since when a job has its state, None if that is not known.

    For a job that the backend does not list, that is the last time that the journal has.
    """
    match display_state(job):
        case DisplayState.WAITING:
            return job.sent
        case DisplayState.QUEUED | DisplayState.HELD:
            return job.accepted or job.sent
        case DisplayState.RUNNING:
            return job.running
        case DisplayState.UNKNOWN:
            return job.running or job.accepted
        case DisplayState.ENDED:
            return job.ended
        case DisplayState.CANCELLING | DisplayState.AT_SITE:
            return None
        case _:
            return job.finished


def latest(jobs: Iterable[JobRecord]) -> list[JobRecord]:
    """Return the last submission of each job, in the order of these submissions.

    Two submissions are of the same job if they have the same ``origin`` (resubmitted after a fault
    of the infrastructure), or the same rule, wildcards and outputs (submitted again by Snakemake).
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


def latest_to_read(jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the last submission of each job; while it is open, also the one before if it failed.

    They have the order of their submission.
    """
    before: dict[object, JobRecord] = {}
    for job in jobs:
        if job.phase.over:
            before[job.origin] = before[job.work] = job
    wanted: list[JobRecord] = []
    for job in latest(jobs):
        other = before.get(job.origin) or before.get(job.work)
        if not job.phase.over and other is not None and other.phase is Phase.FAILED:
            wanted.append(other)
        wanted.append(job)
    names = {job.name for job in wanted}
    return [job for job in jobs if job.name in names]


def select(jobs: Sequence[JobRecord], words: Sequence[str]) -> list[JobRecord]:
    """Return all submissions that the user's words select, in the order of the journal.

    Args:
        jobs: All submissions.
        words: Rules, which wildcards such as ``sample=a`` may follow (several values of one
            wildcard are alternatives); unique names of jobs; ids on the grid, for PanDA also those
            of tasks; titles as ``status`` prints them. An id that several jobs have had selects
            the last of them, and the user is told so.

    Raises:
        GridError: A word selects no job. The message lists what exists.
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
            raise GridError(f"{word}: no job has {asked}. Jobs: {listed(titles, separator='; ')}.")
        if not any(_is_called(job, word) for job in chosen):
            chosen = _last_of_each_id(word, chosen)
        wanted.update(job.name for job in chosen)
    return [job for job in jobs if job.name in wanted]


def _choices(
    jobs: Sequence[JobRecord], words: Iterable[str]
) -> list[tuple[str, dict[str, list[str]]]]:
    """Return each word that selects jobs, with the allowed values of wildcards."""
    choices: list[tuple[str, dict[str, list[str]]]] = []
    for word in words:
        # A title contains blanks; in other arguments, blanks separate words.
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
    ids = (grid_id, grid_id.partition(":")[0], job.bundle)
    return _is_called(job, word) or (bool(word) and word in ids)


def _is_called(job: JobRecord, word: str) -> bool:
    return word in (job.rule, job.title, job.name, job.origin)


def _last_of_each_id(word: str, jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the last job of each id: a new server of the local backend counts from 1 again."""
    last = {(job.backend, job.grid_id): job for job in jobs}
    others = [job for job in jobs if job is not last[job.backend, job.grid_id]]
    if others:
        shown = listed([f"{job.name} ({job.title})" for job in reversed(others)])
        tell(
            f"{word}: the last job with this id is used; to select others, use their names: {shown}"
        )
    return list(last.values())


def _known(jobs: Sequence[JobRecord]) -> str:
    rules = list(dict.fromkeys(job.rule for job in jobs))
    if not rules:
        return "The journal is empty: no job was submitted here yet."
    return f"Its rules are {listed(rules)}; 'snakemake-grid status --all' lists the ids."
