"""Looks at a few single jobs of tasks at a time, as the server needs long for each."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from ...console import error_log
from ...model.names import NAME_PATTERN
from ..packaging import START_SCRIPT
from .client import Client
from .states import JOB_STATES, is_at_work
from .task_registry import TaskRegistry

AT_A_TIME = 50
"""Jobs in one call: the server needs 35 ms for each, and 1.1 s when busy (panda-server 1.0.4)."""
_PERIOD = 60.0
_LIMIT = 300.0
_NAME = re.compile(re.escape(quote(f"{START_SCRIPT} ", safe="")) + f"({NAME_PATTERN})")


class SeenJob(NamedTuple):
    """What the last look at a job has told.

    Attributes:
        number: Its PandaID.
        state: Its state, empty if only the PandaID is known.
        site: Where it is.
        looked: When, on a monotonic clock.
    """

    number: int
    state: str = ""
    site: str = ""
    looked: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has ended, so that its payload may have another job by now."""
        return self.state in JOB_STATES and JOB_STATES[self.state].ended


class JobSample:
    """What is known of single jobs, by task and name of the payload.

    The states of tasks and files do not tell PandaIDs, sites, or whether a pilot has a job.
    """

    def __init__(self, client: Client, registry: TaskRegistry) -> None:
        """Look at nothing yet.

        Args:
            client: Of the server.
            registry: Keeps PandaIDs for later runs.
        """
        self._client = client
        self._registry = registry
        self._seen: dict[int, dict[str, SeenJob]] = {}
        self._numbers: dict[int, set[int]] = {}
        self._looked: dict[int, float] = {}
        self._next = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    def of(self, task: int) -> Mapping[str, SeenJob]:
        """Return what is known of the jobs of a task."""
        return self._seen.get(task, {})

    def numbers(self, task: int, names: Iterable[str]) -> dict[str, int]:
        """Return the PandaIDs of payloads whose jobs are not over; some are of an earlier run."""
        seen, numbers = self._seen.setdefault(task, {}), self._numbers.setdefault(task, set())
        for name, number in self._registry.numbers(set(names) - seen.keys()).items():
            seen[name] = SeenJob(number)
            numbers.add(number)
        return {name: seen[name].number for name in names if name in seen and not seen[name].over}

    def note(self, task: int, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Note what descriptions of jobs tell; of several of a payload, the last one counts."""
        seen, numbers = self._seen.setdefault(task, {}), self._numbers.setdefault(task, set())
        found: dict[str, int] = {}
        for job in jobs:
            number, name = int(job.get("PandaID") or 0), job_name(job)
            if job.get("jobParameters"):  # otherwise the server could not read it just now
                numbers.add(number)
            last = seen.get(name, SeenJob(0)).number
            if name and number >= last:
                state, site = str(job.get("jobStatus") or ""), str(job.get("computingSite") or "")
                seen[name] = SeenJob(number, state, site, time.monotonic())
                if number != last:
                    found[name] = number
        self._registry.numbered(found)

    def forget(self, task: int) -> None:
        """Drop what is known of a task."""
        for known in (self._seen, self._numbers, self._looked):
            known.pop(task, None)

    def refresh(self, active: Mapping[int, Collection[str]]) -> None:
        """Look at some jobs in the background, once a minute: neither polls nor users wait for it.

        Args:
            active: Names of the payloads that have a job, by task.
        """
        now = time.monotonic()
        busy = self._refreshing is not None and not self._refreshing.done()
        if any(active.values()) and now >= self._next and not busy:
            self._next = now + _PERIOD
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh(active))

    async def search(self, task: int) -> bool:
        """Look at jobs that nobody has looked at; return whether there were any."""
        new = (await self._unseen(task))[:AT_A_TIME]
        await self._look({task: new})
        return bool(new)

    async def _refresh(self, active: Mapping[int, Collection[str]]) -> None:
        left = AT_A_TIME
        wanted: dict[int, list[int]] = {}
        try:
            for task in sorted(active, key=lambda task: self._looked.get(task, 0.0)):
                if left > 0:
                    wanted[task] = await self._worth_a_look(task, active[task], left)
                    left -= len(wanted[task])
            await self._look(wanted)
        except Exception as error:  # states are less precise until the next look
            error_log.write("looking at jobs", error)

    async def _worth_a_look(self, task: int, names: Collection[str], most: int) -> list[int]:
        """Return PandaIDs: of payloads whose job is not known, and of the oldest looks."""
        self._looked[task] = time.monotonic()
        self.numbers(task, names)
        seen = self.of(task)
        known = [seen[name] for name in names if name in seen and not seen[name].over]
        waiting = [job for job in known if not is_at_work(job.state)]
        waiting.sort(key=lambda job: job.looked)
        new = await self._unseen(task) if len(known) < len(names) else []
        # Half of each: in a large task, neither has to wait for all of the other.
        old = [job.number for job in waiting][: max(most - len(new), most // 2)]
        return old + new[: most - len(old)]

    async def _unseen(self, task: int) -> list[int]:
        """Return the PandaIDs that nobody has looked at, the latest first.

        The latest are those of new attempts, and the least likely to have ended.
        """
        numbers = {int(number) for number in await self._client.call("job_ids", task)}
        return sorted(numbers - self._numbers.get(task, set()), reverse=True)

    async def _look(self, wanted: Mapping[int, Collection[int]]) -> None:
        numbers = [number for some in wanted.values() for number in some]
        if not numbers:
            return
        jobs = await self._client.call("describe_jobs", numbers, limit=_LIMIT)
        described = {int(job["PandaID"]): job for job in jobs if job}
        for task, some in wanted.items():
            unknown = [number for number in some if number not in described]
            self._numbers.setdefault(task, set()).update(unknown)
            self.note(task, [described[number] for number in some if number in described])


def job_name(job: Mapping[str, Any]) -> str:
    """Return the name of the payload that a description of the server's is of, or nothing."""
    match = _NAME.search(str(job.get("jobParameters") or ""))
    return match[1] if match else ""
