"""Several backends in one run: a controller for each, which seem to be one."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..model.errors import EndingError, GridError
from ..model.tracked import Outcome, Plan
from ..resilience.calls import exit_as_error
from ..resilience.clock import SYSTEM_CLOCK
from ..worker.archive.listing import Entry as FileEntry
from ..worker.description import Blob
from .backend_choice import Member, choose
from .controller import Controller
from .event_loop import EventLoop

T = TypeVar("T")

_AT_ONCE = 0.2
"""Seconds in which all backends have answered that are not asked anything."""


class MultiRecovery:
    """Knows the jobs that earlier runs have left on several backends; see `Recovery`."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Ask those of the backends."""
        self._members = members

    async def tell_unreached(self) -> None:
        """Tell the user of jobs that are on none of the backends."""
        first, *others = (member.controller.recovery for member in self._members)
        await _in_loop_of(self._members[0], first.tell_unreached(others))

    async def settle(
        self, needed: Collection[str], incomplete: Callable[[Iterable[str]], bool]
    ) -> None:
        """Handle jobs that this run does not need."""
        for member in self._members:
            await _in_loop_of(member, member.controller.recovery.settle(needed, incomplete))

    def attempt(self, outputs: Sequence[str], rule: str, wildcards: str) -> int:
        """Return the attempt of a job that may be adopted; 1 if there is none."""
        recoveries = (member.controller.recovery for member in self._members)
        return max(recovery.attempt(outputs, rule, wildcards) for recovery in recoveries)


class MultiController:
    """Follows all jobs of a run on several backends, as `Controller` does on one.

    Each backend has a controller and an event loop of its own, so that one that does not answer
    stops only its own jobs.

    Attributes:
        recovery: Knows the jobs that earlier runs have left.
    """

    def __init__(self, members: Sequence[Member], say: Callable[[str], None]) -> None:
        """Start the event loop.

        Args:
            members: Backends of the run, in the order of preference.
            say: Shows a line to the user.
        """
        self._members = list(members)
        self._controllers = [member.controller for member in members]
        self._say = say
        self._events = EventLoop(SYSTEM_CLOCK, self.crashed)
        self._polls: dict[str, asyncio.Future[list[Outcome]]] = {}
        self._runtimes: dict[str, dict[str, Blob]] = {}
        self._told: set[str] = set()
        self._closed = False
        self.recovery = MultiRecovery(self._members)
        first, *others = (controller.interruption for controller in self._controllers)
        first.beside(others)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop in which ``poll`` runs."""
        return self._events.loop

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float = math.inf) -> T:
        """Run a coroutine in the event loop, from another thread, and wait for its result."""
        return self._events.call(coroutine, timeout)

    def abandon(self) -> None:
        """Unblock the threads that wait in ``call``; from another thread."""
        self._events.abandon()

    def crashed(self, error: BaseException) -> None:
        """End the run; its jobs stay on the grid for the next run."""
        for controller in self._controllers:
            controller.crashed(error)

    async def check(self) -> None:
        """Make sure that jobs can be submitted to each backend; see `Controller.check`.

        Raises:
            GridError: They cannot: names the backend, says why and what to do.
        """
        checks = [_in_loop_of(one, one.controller.check()) for one in self._members]
        results = await asyncio.gather(*checks, return_exceptions=True)
        for member, error in zip(self._members, results, strict=True):
            if isinstance(error, GridError) and not isinstance(error, EndingError):
                raise GridError(named(member.name, str(error))) from error
            if error is not None:
                raise error

    async def send(
        self,
        sources: Mapping[str, FileEntry],
        listing: FileEntry | None = None,
        *,
        included: bool = False,
    ) -> None:
        """Store files that many jobs need; see `Submission.send`."""
        for member in self._members:  # the second finds in the store what the first has sent
            send = member.controller.send
            await _in_loop_of(member, send(sources, listing, included=included))

    async def send_runtime(self, folder: Path) -> Blob:
        """Store a folder of packages that workers put into their PYTHONPATH."""
        blobs = {
            member.name: await _in_loop_of(member, member.controller.send_runtime(folder))
            for member in self._members
        }
        blob = blobs[self._members[0].name]
        self._runtimes[blob.digest] = blobs
        return blob

    def submit(self, plans: Sequence[Plan]) -> None:
        """Take over jobs, and choose the backend of each; returns at once."""
        chosen: dict[str, list[Plan]] = defaultdict(list)
        for plan, member in zip(plans, choose(plans, self._members), strict=True):
            chosen[member.name].append(self._for(member, plan))
        for member in self._members:
            elsewhere = [plan for name in chosen if name != member.name for plan in chosen[name]]
            if elsewhere and not member.controller.recovery.empty:
                asyncio.run_coroutine_threadsafe(
                    _give_up(member, elsewhere), member.controller.loop
                )
            if own := chosen[member.name]:
                member.controller.submit(own)

    def _for(self, member: Member, plan: Plan) -> Plan:
        """Return a plan with the packages that were stored for a backend."""
        if plan.runtime_blob is None:
            return plan
        return replace(plan, runtime_blob=self._runtimes[plan.runtime_blob.digest][member.name])

    def acknowledge(self, names: Iterable[str]) -> None:
        """Note that Snakemake has recorded the success of jobs; returns at once."""
        names = list(names)
        for controller in self._controllers:
            controller.acknowledge(names)

    @property
    def active(self) -> bool:
        """Whether any job has not ended."""
        return any(controller.active for controller in self._controllers)

    @property
    def running(self) -> list[str]:
        """Name of each job that runs, by the last answers of the backends."""
        return [name for controller in self._controllers for name in controller.running]

    @property
    def on_the_grid(self) -> list[str]:
        """Backend, id and title of each job on the grid that has not ended."""
        return [
            f"{member.name} {job}"
            for member in self._members
            for job in member.controller.on_the_grid
        ]

    @property
    def outlives_run(self) -> bool:
        """Whether jobs go on when the run has ended."""
        return any(controller.outlives_run for controller in self._controllers)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is in progress on this host: all jobs wait or run on the grid."""
        polled = any(poll.done() for poll in self._polls.values())
        return not polled and all(controller.at_rest for controller in self._controllers)

    @property
    def exhausted(self) -> str:
        """Why the run has to end at once, as it can use no backend any more; else empty."""
        reasons = [controller.exhausted for controller in self._controllers]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    @property
    def stuck(self) -> str:
        """Why jobs are left, if no other jobs can go on; empty if some can, or none are left."""
        left = [one for one in self._controllers if one.exhausted and not one.idle]
        if left and all(one.idle for one in self._controllers if not one.exhausted):
            return "; ".join(dict.fromkeys(one.exhausted for one in left))
        return ""

    @property
    def trouble(self) -> str:
        """What the run waits for: servers, a disk, credentials; else empty."""
        found = (
            named(one.name, trouble) for one in self._members if (trouble := one.controller.trouble)
        )
        return "; ".join(dict.fromkeys(found))

    @property
    def pause(self) -> float:
        """Seconds until ``poll`` should be called again."""
        busy = [one for one in self._controllers if not one.idle] or self._controllers
        return min(controller.pause for controller in busy)

    async def poll(self) -> list[Outcome]:
        """Ask for the states of all jobs if it is time; return what has ended since then.

        A backend that does not answer is not waited for: its outcomes come with a later call.
        """
        for member in self._members:
            if member.name not in self._polls:
                asking = _in_loop_of(member, member.controller.poll())
                self._polls[member.name] = asyncio.ensure_future(asking)
        try:
            await asyncio.wait(self._polls.values(), timeout=_AT_ONCE)
        except asyncio.CancelledError:
            for poll in self._polls.values():
                poll.cancel()
            raise
        outcomes: list[Outcome] = []
        for member in self._members:
            if self._polls[member.name].done():
                poll = self._polls.pop(member.name)
                try:
                    outcomes += poll.result()
                except Exception as error:
                    member.controller.crashed(error)
            self._tell_left(member)
        return outcomes

    def _tell_left(self, member: Member) -> None:
        """Tell the user once that the jobs of a backend are left while others go on."""
        reason = member.controller.exhausted
        if reason and member.name not in self._told and not self.exhausted:
            self._told.add(member.name)
            count = len(member.controller.open_jobs)
            words = f"{reason}. {count} job(s) are left there for the next run; others go on."
            self._say(named(member.name, words))

    def cancel(self, timeout: float, give_up: Callable[[], bool]) -> list[str]:
        """Cancel all jobs; see `Controller.cancel`."""
        left = self._together(lambda one: one.cancel(timeout, give_up))
        return [
            f"{member.name} {job}"
            for member, jobs in zip(self._members, left, strict=True)
            for job in jobs
        ]

    def leave(self, give_up: Callable[[], bool], *, at_once: bool = False) -> None:
        """Leave the jobs where they are; see `Controller.leave`."""
        self._together(lambda one: one.leave(give_up, at_once=at_once))

    def close(self, give_up: Callable[[], bool] = lambda: False) -> bool:
        """End the connections and the loops; see `Controller.close`."""
        if self._closed:
            return True
        self._closed = True
        finished = self._together(lambda one: one.close(give_up))
        self._events.close()
        return all(finished)

    def _together(self, act: Callable[[Controller], T]) -> list[T]:
        """Do something with all backends at the same time, as each may take long."""
        with ThreadPoolExecutor(len(self._controllers), thread_name_prefix="backends") as pool:
            return list(pool.map(act, self._controllers))


AnyController = Controller | MultiController
"""What the executor uses: one backend, or several."""


def named(backend: str, text: str) -> str:
    """Return a text that begins with the name of a backend."""
    return text if text.startswith(backend) else f"{backend}: {text}"


async def _in_loop_of(member: Member, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the event loop of a backend, from another one."""
    running: Future[T] = asyncio.run_coroutine_threadsafe(
        exit_as_error(coroutine), member.controller.loop
    )
    return await asyncio.wrap_future(running)


async def _give_up(member: Member, plans: Sequence[Plan]) -> None:
    try:
        await member.controller.recovery.give_up(plans)
    except EndingError:
        pass  # the next run cancels them
    except Exception as error:
        member.controller.crashed(error)
