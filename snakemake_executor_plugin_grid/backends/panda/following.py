"""Follows tasks: two calls per task in a round, and more for failed jobs and a few others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

from ...console.format import duration
from ...model.errors import CredentialsError, GridError, PermanentError, TransientError
from ...model.state import UNKNOWN, JobStatus
from ...resilience.calls import in_words
from .client import Client
from .job_sample import JobSample, SeenJob, job_name
from .reasons import explain
from .replies import UnknownTaskError, payload_files
from .states import has_job, payload_status, waiting_advice

_T = TypeVar("_T")
_AT_A_TIME = 8
_LIMIT = 60.0
_ROUND = 90.0
"""Seconds for all tasks of a round: the whole call has ``CALL_TIMEOUT``."""
DETAILS_LIMIT = 600.0
"""Seconds to describe failed jobs: a busy panda-server 1.0.4 has needed 228 s for 200 jobs."""
_DETAILS_WAIT = 10.0
"""Seconds that a round waits for them; a later one has the answer."""
_DETAILS_TIMEOUT = 600.0
_ADVICE_PERIOD = 60.0
_ASK_PERIOD = 60.0
_SILENCE = 600.0
_WAITING = ("pending", "exhausted", "paused", "throttled", "assigning")
_BROKEN = ("broken", "failed", "aborted")
_GOING_ON = ("running", "scouting", "scouted", "prepared", "pending", "throttled")


class _Failure(NamedTuple):
    """What is known of the last failed job of a payload.

    Attributes:
        number: Its PandaID.
        attempts: How many of the payload have failed.
        state: Its state.
        text: Why, in words.
        site: Where.
        infrastructure: Whether the site or the system has failed it.
    """

    number: int = 0
    attempts: int = 0
    state: str = ""
    text: str = ""
    site: str = ""
    infrastructure: bool = False


_NOTHING_KNOWN = _Failure()


class Wanted(NamedTuple):
    """Which jobs of a task to ask for.

    Attributes:
        names: Names of jobs.
        attempts: How often the server lets each of them fail.
    """

    names: Collection[str]
    attempts: int = 1


class Following:
    """The states of the tasks of a run."""

    def __init__(self, client: Client, sample: JobSample, say: Callable[[str], None]) -> None:
        """Ask nothing yet.

        Args:
            client: Of the server.
            sample: Looks at single jobs.
            say: Shows a line to the user.
        """
        self._client = client
        self._sample = sample
        self._say = say
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._known: dict[int, dict[str, JobStatus]] = {}
        self._files: dict[int, dict[str, str]] = {}
        self._failures: dict[int, dict[str, _Failure]] = {}
        self._learning: dict[int, asyncio.Task[list[dict[str, Any]]]] = {}
        self._answered: dict[int, float] = {}
        self._asked: dict[int, float] = {}
        self._advised: dict[int, float] = {}
        self._in_vain: dict[int, float] = {}
        self._told: set[str] = set()

    async def states(self, wanted: Mapping[int, Wanted]) -> dict[int, dict[str, JobStatus]]:
        """Return the states of jobs; tasks that the server does not know are left out.

        Args:
            wanted: By the ids of tasks.

        Raises:
            GridError: No task could be asked for.
        """
        # Tasks that the last round had no time for come first.
        tasks = sorted(wanted, key=lambda task: self._answered.get(task, 0.0))
        began = time.monotonic()
        until = asyncio.get_running_loop().time() + _ROUND
        answers = await asyncio.gather(
            *(self._until(until, self._of_task(task, wanted[task])) for task in tasks),
            return_exceptions=True,
        )
        found: dict[int, dict[str, JobStatus]] = {}
        problems: list[BaseException] = []
        for task, answer in zip(tasks, answers, strict=True):
            if isinstance(answer, BaseException):
                problems.append(answer)
                if not isinstance(answer, PermanentError):
                    # The last known states stay: an outage changes no job.
                    found[task] = self._known.get(task, {})
                    self._tell_of_silence(task, began, answer)
                continue
            self._answered[task] = time.monotonic()
            if answer is not None:
                found[task] = answer
                self._known.setdefault(task, {}).update(answer)
        expired = [problem for problem in problems if isinstance(problem, CredentialsError)]
        if problems and (expired or len(problems) == len(tasks)):
            raise (expired or problems)[0]
        return found

    def _tell_of_silence(self, task: int, began: float, error: BaseException) -> None:
        """Report once that the server does not answer for a task, though it may for others."""
        silent = time.monotonic() - self._answered.setdefault(task, began)
        text = f"PanDA task {task}"
        if silent > _SILENCE and text not in self._told:
            self._told.add(text)
            self._say(
                f"{text}: no answer for {duration(silent)} ({in_words(error)}); its "
                f"jobs are waited for. If it is beyond help, pbook -c 'kill({task})' ends it, or "
                "Ctrl-C this run."
            )

    def with_jobs(self, wanted: Mapping[int, Wanted]) -> dict[int, list[str]]:
        """Return the names of the payloads, by task, that had a job in the last round."""
        return {
            task: [name for name in names if has_job(self._files.get(task, {}).get(name, ""))]
            for task, (names, _) in wanted.items()
        }

    def forget(self, task: int) -> None:
        """Drop what is known of a task."""
        self._sample.forget(task)
        timed = (self._answered, self._asked, self._advised, self._in_vain)
        for known in (self._known, self._files, self._failures, self._learning, *timed):
            known.pop(task, None)

    async def _until(self, end: float, asking: Coroutine[Any, Any, _T]) -> _T:
        try:
            async with asyncio.timeout_at(end):
                return await asking
        except TimeoutError:
            raise TransientError(f"PanDA has not answered for all tasks in {_ROUND:g} s") from None

    async def _of_task(self, task: int, wanted: Wanted) -> dict[str, JobStatus] | None:
        async with self._slots:
            try:
                # Before its files: the files of a task that has ended do not change.
                state = str(await self._client.call("status", task, limit=_LIMIT))
            except UnknownTaskError:
                return None  # not registered yet, for some seconds after its submission
            files = await self._ask_files(task)
            ask = bool(files) and self._may_have_failed(task, state, files, wanted)
            if ask and not await self._learn(task, has_ended=_has_ended(state)):
                known = self._known.get(task, {})
                return {name: known.get(name, UNKNOWN) for name in wanted.names}
            self._files[task] = files
        diagnosis = await self._advise(task, state)
        failures, seen = self._failures.get(task, {}), self._sample.of(task)
        return {
            name: _status(
                *(state, files.get(name), failures.get(name), seen.get(name)),
                *(wanted.attempts, diagnosis),
            )
            for name in wanted.names
        }

    async def _ask_files(self, task: int) -> dict[str, str]:
        try:
            datasets = await self._client.call("files", task, limit=_LIMIT)
        except UnknownTaskError:
            return {}  # "No data found for the task": it has no files before it is defined
        return payload_files(datasets)

    def _may_have_failed(
        self, task: int, state: str, files: Mapping[str, str], wanted: Wanted
    ) -> bool:
        """Return whether to ask which jobs have failed.

        The file of a payload that has failed is ``ready`` again: the task of one that has never
        been seen to run may also just be slow, so it is asked for now and then.
        """
        known = self._failures.get(task, {})
        open_names = [
            name
            for name in wanted.names
            if known.get(name, _NOTHING_KNOWN).attempts < wanted.attempts
            and files.get(name) != "finished"
        ]
        if not open_names:
            return False
        if _has_ended(state):
            return True
        if task in self._learning:
            return self._learning[task].done()
        before = self._files.get(task, {})
        back = any(
            files.get(name) == "ready" and before.get(name, "ready") != "ready"
            for name in open_names
        )
        due = time.monotonic() > self._asked.get(task, 0.0) + _ASK_PERIOD
        waiting = any(files.get(name) == "ready" for name in open_names)
        return back or (due and waiting and state in _GOING_ON)

    async def _learn(self, task: int, *, has_ended: bool) -> bool:
        """Ask which jobs have failed and why; without an answer that remains unknown.

        Returns:
            Whether states can be told now. If the task has ended, its jobs would fail without a
            reason: the answer is waited for, for a limited time.

        Raises:
            TransientError: The server does not answer, and the task has ended; for the same time.
        """
        now = self._asked[task] = time.monotonic()
        try:
            jobs = await self._failed_jobs(task)
        except PermanentError:
            return True
        except TransientError:
            if has_ended and self._may_wait(task, now):
                raise
            return True
        if jobs is None:
            return not (has_ended and self._may_wait(task, now))
        self._in_vain.pop(task, None)
        self._sample.note(task, jobs)
        known: dict[str, _Failure] = {}
        for job in sorted(jobs, key=lambda job: int(job.get("PandaID") or 0)):
            name = job_name(job)
            said = explain(job)
            known[name] = _Failure(
                number=int(job.get("PandaID") or 0),
                attempts=known.get(name, _NOTHING_KNOWN).attempts + 1,
                state=str(job.get("jobStatus") or ""),
                text=said.text,
                site=str(job.get("computingSite") or ""),
                infrastructure=said.infrastructure,
            )
        self._failures[task] = known
        return True

    def _may_wait(self, task: int, now: float) -> bool:
        """Return whether the reasons of failed jobs may still come."""
        return now < self._in_vain.setdefault(task, now) + _DETAILS_TIMEOUT

    async def _failed_jobs(self, task: int) -> list[dict[str, Any]] | None:
        """Ask for the failed jobs of a task; None if that takes longer than a round may wait.

        A question that is still open is not asked again.
        """
        asking = self._learning.get(task)
        if asking is None or asking.cancelled():
            call = self._client.call("failed_jobs", task, limit=DETAILS_LIMIT)
            asking = self._learning[task] = asyncio.get_running_loop().create_task(call)
            asking.add_done_callback(_note_error)
        await asyncio.wait({asking}, timeout=_DETAILS_WAIT)
        if not asking.done():
            return None
        self._learning.pop(task, None)  # another question may have taken it
        return asking.result()

    async def _advise(self, task: int, state: str) -> str:
        """Report what a task waits for, or why it is broken: once for each reason."""
        if state not in _WAITING and state not in _BROKEN:
            return ""
        now = time.monotonic()
        if state in _WAITING and now < self._advised.get(task, -_ADVICE_PERIOD) + _ADVICE_PERIOD:
            return ""
        self._advised[task] = now
        try:
            details = await self._client.call("details", task, limit=_LIMIT)
        except GridError:
            return ""
        text = waiting_advice(state, task, str(details.get("errorDialog") or ""))
        reason = text.replace(str(task), "")  # several tasks may wait for the same
        if text and state in _WAITING and reason not in self._told:
            self._told.add(reason)
            self._say(text)
        return text


def _note_error(task: asyncio.Task[Any]) -> None:
    """Take the error of a task for which nobody waits any more; asyncio would print it."""
    if not task.cancelled():
        task.exception()


def _status(
    state: str,
    file: str | None,
    failure: _Failure | None,
    job: SeenJob | None,
    attempts: int,
    diagnosis: str,
) -> JobStatus:
    if failure is not None and (failure.attempts >= attempts or _has_ended(state)):
        status = payload_status(
            state, file, failure.text, failure.site, failure.infrastructure, failure.state
        )
        if status.state.ended:
            return status
    if job is None or not has_job(file or ""):
        return payload_status(state, file, diagnosis)
    return payload_status(state, file, diagnosis, job.site, job_status=job.state)


def _has_ended(state: str) -> bool:
    """Return whether a task of that state runs nothing any more."""
    return payload_status(state, "ready").state.ended
