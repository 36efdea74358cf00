"""Submits jobs as tasks: one task for all jobs of a shape, and never two of the same name."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...model.errors import GridError, PermanentError
from ...model.names import JobName
from ..base import Payload, Rejected, Submitted
from ..packaging import JobPackage, load, portions
from .client import Client
from .routes import Route
from .sandboxes import SANDBOX_LIMIT, SEPARATE_SIZE, Sandboxes
from .task import Options, attempts, shape, task, task_name
from .task_registry import TaskRegistry

JOBS_PER_TASK = 1000
_AT_A_TIME = 8


class _Chunk(NamedTuple):
    """The jobs of a task.

    Attributes:
        task: Its name.
        jobs: What they need.
        shape: The parameters that they have in common.
        tried: Whether it has been submitted before, without an answer.
    """

    task: str
    jobs: list[JobPackage]
    shape: Mapping[str, Any]
    tried: bool


class Submitting:
    """Submits tasks."""

    def __init__(
        self,
        client: Client,
        route: Route,
        registry: TaskRegistry,
        sandboxes: Sandboxes,
        options: Options,
    ) -> None:
        """Submit nothing yet.

        Args:
            client: Of the server.
            route: By which tasks get there.
            registry: Remembers which job is in which task.
            sandboxes: Uploads what the jobs need.
            options: For task parameters.
        """
        self._client = client
        self._route = route
        self._registry = registry
        self._sandboxes = sandboxes
        self._options = options
        self._slots = asyncio.Semaphore(_AT_A_TIME)

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Submit jobs; after a lost answer, the same jobs go into the same tasks.

        Raises:
            GridError: Of some tasks it is not known whether they were taken.
        """
        answers: dict[str, Submitted | Rejected] = {}
        shapes: dict[str, Mapping[str, Any]] = {}
        for payload in payloads:
            try:
                shapes[payload.spec.name] = shape(payload.spec, self._options, payload.avoid)
            except PermanentError as error:
                answers[payload.spec.name] = Rejected(str(error))
        accepted = [payload for payload in payloads if payload.spec.name in shapes]
        chunks = list(self._chunks(accepted, shapes))
        results = await asyncio.gather(
            *(self._submit_chunk(chunk, accepted[0]) for chunk in chunks), return_exceptions=True
        )
        unanswered: list[BaseException] = []
        for chunk, result in zip(chunks, results, strict=True):
            names = [package.name for package in chunk.jobs]
            if isinstance(result, str):
                answers.update((name, Submitted(f"{result}:{name}")) for name in names)
            elif isinstance(result, PermanentError):
                answers.update((name, Rejected(str(result))) for name in names)
            else:
                unanswered.append(result)
        if unanswered:
            raise unanswered[0]  # accepted tasks are found by their names
        return [answers[payload.spec.name] for payload in payloads]

    def _chunks(
        self, payloads: Sequence[Payload], shapes: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[_Chunk]:
        """Group jobs by task; jobs keep the task of an earlier attempt."""
        packages = {
            package.name: package
            for package in load(payloads, self._sandboxes.uploaded, SEPARATE_SIZE)
        }
        for name, known in self._registry.tasks_of(packages).items():
            yield _Chunk(name, [packages.pop(job) for job in known], shapes[known[0]], tried=True)
        kinds: dict[str, list[JobPackage]] = {}
        for package in packages.values():
            kind = json.dumps(
                [JobName.parse(package.name).run, shapes[package.name]], sort_keys=True
            )
            kinds.setdefault(kind, []).append(package)
        for alike in kinds.values():
            for jobs in portions(alike, JOBS_PER_TASK, lambda size: size <= SANDBOX_LIMIT):
                names = [package.name for package in jobs]
                name = task_name(self._options.user, JobName.parse(names[0]).run, names)
                yield _Chunk(name, jobs, shapes[names[0]], tried=False)

    async def _submit_chunk(self, chunk: _Chunk, any_payload: Payload) -> str:
        """Return the id of the task."""
        names = [package.name for package in chunk.jobs]
        if not chunk.tried:
            await self._registry.submitting(chunk.task, names, attempts(chunk.shape))
        async with self._slots:
            try:
                grid_id = await self._hand_over(chunk, any_payload.worker)
            except PermanentError:
                self._registry.ended(names)
                with contextlib.suppress(GridError):  # it is only superfluous
                    await self._sandboxes.forget(chunk.task)
                raise
            self._registry.submitted(chunk.task, grid_id)
            return grid_id

    async def _hand_over(self, chunk: _Chunk, worker: Path) -> str:
        # A task that may exist is looked for, not submitted again: the server would rerun all jobs
        # of one that is done. Also after the upload, during which it may have been registered.
        known = await self._route.find([chunk.task]) if chunk.tried else {}
        if known:
            return known[chunk.task]
        cache = str((await self._client.facts())["cache"])
        packed = await self._sandboxes.upload(chunk.task, chunk.jobs, worker, cache)
        known = await self._route.find([chunk.task]) if chunk.tried else {}
        if known:
            return known[chunk.task]
        names = [package.name for package in chunk.jobs]
        return await self._route.submit(
            task(chunk.shape, chunk.task, names, packed.name, cache, secrets=packed.secrets)
        )
