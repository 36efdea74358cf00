"""The ways to submit a task to JEDI: directly, or as a request to iDDS."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ...model.errors import GridError, PermanentError
from .client import Client
from .replies import submitted_task

_REQUEST = "r"
_ENDED = ("failed", "cancelled", "suspended", "expired")
"""States in which a request that has made no task will make none."""


class Task(NamedTuple):
    """The outcome of a submission.

    Attributes:
        number: Id of the task, None if there is none yet.
        problem: Why there will be no task; empty otherwise.
        infrastructure: Whether iDDS has failed to make it, rather than being told not to.
    """

    number: int | None
    problem: str = ""
    infrastructure: bool = False


class Route(ABC):
    """A way for tasks. Errors are those of the client."""

    def __init__(self, client: Client) -> None:
        """Ask nothing yet."""
        self._client = client

    @abstractmethod
    async def submit(self, parameters: Mapping[str, Any]) -> str:
        """Submit a task; return its id, or that of an earlier task of the same name."""

    @abstractmethod
    async def find(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of tasks by their names; unknown names are left out.

        A task that was submitted some seconds ago may still be unknown.
        """

    @abstractmethod
    async def tasks(self, ids: Collection[str]) -> dict[str, Task]:
        """Return the outcome of submissions, by their ids."""

    async def abort(self, grid_id: str) -> None:
        """Ask that a submission makes no task, if it has made none.

        Raises:
            PermanentError: It is not known, or has ended.
        """
        return

    async def kill(self, grid_id: str, number: int) -> None:
        """Kill all jobs of a task.

        Args:
            grid_id: Id of the submission.
            number: Id of its task.

        Raises:
            PermanentError: The task is not known yet, or has ended.
        """
        await self._client.call("kill_task", number)


class Jedi(Route):
    """Tasks go to JEDI directly; the id is that of the task."""

    async def submit(self, parameters: Mapping[str, Any]) -> str:
        """Submit."""
        answer = await self._client.call("submit", dict(parameters))
        code = 0 if answer["success"] else answer.get("data")
        number, _ = submitted_task((0, (code, str(answer.get("message") or ""))))
        return str(number)

    async def find(self, names: Collection[str]) -> dict[str, str]:
        """Look for each name: the server finds a task by its whole name only."""
        found = {}
        for name in names:
            tasks = await self._client.call("tasks_named", name)
            if tasks:
                found[name] = str(tasks[0]["jediTaskID"])
        return found

    async def tasks(self, ids: Collection[str]) -> dict[str, Task]:
        """Return the ids as numbers."""
        return {grid_id: Task(int(grid_id)) for grid_id in ids}


class Idds(Route):
    """Tasks go to iDDS, which makes tasks of requests; the id is that of the request."""

    def __init__(self, client: Client) -> None:
        """Ask nothing yet."""
        super().__init__(client)
        self._numbers: dict[str, Task] = {}

    async def submit(self, parameters: Mapping[str, Any]) -> str:
        """Send a request."""
        name = parameters["taskName"]
        request = await self._client.call("idds_submit", dict(parameters), name)
        return f"{_REQUEST}{request}"

    async def find(self, names: Collection[str]) -> dict[str, str]:
        """Look for requests of these names."""
        found = await self._client.call("idds_find", list(names))
        return {name: f"{_REQUEST}{request}" for name, request in found.items()}

    async def tasks(self, ids: Collection[str]) -> dict[str, Task]:
        """Ask for those whose task is not known yet, in one call."""
        unknown = [grid_id for grid_id in ids if grid_id not in self._numbers]
        found = {grid_id: self._numbers[grid_id] for grid_id in ids if grid_id in self._numbers}
        if unknown:
            requests = [grid_id.removeprefix(_REQUEST) for grid_id in unknown]
            answers = await self._client.call("idds_tasks", requests)
            for request, answer in answers.items():
                number, state = answer.get("task_id"), str(answer.get("status") or "")
                problem = ""
                if number is None and state.casefold() in _ENDED:
                    reason = answer.get("errors") or "it has got no task, and iDDS does not say why"
                    problem = f"iDDS request {request} is {state}: {reason}"
                failed = bool(problem) and state.casefold() == "failed"
                task = Task(None if number is None else int(number), problem, failed)
                found[f"{_REQUEST}{request}"] = task
                if number is not None:
                    self._numbers[f"{_REQUEST}{request}"] = task
        return found

    async def abort(self, grid_id: str) -> None:
        """Abort the request."""
        request = grid_id.removeprefix(_REQUEST)
        if not await self._client.call("idds_abort", [request]):
            raise PermanentError(f"iDDS does not abort request {request}")

    async def kill(self, grid_id: str, number: int) -> None:
        """Abort the request, and kill its task: iDDS would do so later, agent by agent."""
        with contextlib.suppress(GridError):  # without the task, nothing is left of it
            await self.abort(grid_id)
        await super().kill(grid_id, number)
