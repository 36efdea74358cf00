"""Jobs become tasks: one for all of a shape, and never a second one of the same name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...model.errors import GridError, PermanentError
from ..base import Payload, SubmitError, Submitted
from ..packaging import Cargo, load, portions
from .client import Client
from .routes import Route
from .sandboxes import SANDBOX_LIMIT, SEPARATE_SIZE, Sandboxes
from .task import Options, attempts, shape, task, task_name
from .task_registry import Ledger

JOBS_PER_TASK = 1000
_AT_A_TIME = 8
_RUN = re.compile(r".+-([0-9a-f]{8})-\d+(?:\.\d+)?")


class _Chunk(NamedTuple):
    """The jobs of a task.

    Attributes:
        task: Its name.
        jobs: What they need.
        shape: The parameters that they have in common.
        tried: Whether it has been submitted before, without an answer.
    """

    task: str
    jobs: list[Cargo]
    shape: Mapping[str, Any]
    tried: bool


class Submitting:
    """Submits tasks."""

    def __init__(
        self,
        client: Client,
        route: Route,
        ledger: Ledger,
        sandboxes: Sandboxes,
        options: Options,
    ) -> None:
        """Use a client.

        Args:
            client: Of the server.
            route: By which tasks get there.
            ledger: Remembers which job is in which task.
            sandboxes: Uploads what the jobs need.
            options: For task parameters.
        """
        self._client = client
        self._route = route
        self._ledger = ledger
        self._sandboxes = sandboxes
        self._options = options
        self._slots = asyncio.Semaphore(_AT_A_TIME)

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | SubmitError]:
        """Submit jobs; where an answer is lost, the same jobs go into the same tasks again.

        Raises:
            GridError: Of some tasks it is not known whether they were taken.
        """
        answers: dict[str, Submitted | SubmitError] = {}
        shapes: dict[str, Mapping[str, Any]] = {}
        for payload in payloads:
            try:
                shapes[payload.spec.name] = shape(payload.spec, self._options, payload.avoid)
            except PermanentError as error:
                answers[payload.spec.name] = SubmitError(str(error))
        accepted = [payload for payload in payloads if payload.spec.name in shapes]
        chunks = list(self._chunks(accepted, shapes))
        results = await asyncio.gather(
            *(self._submit_chunk(chunk, accepted[0]) for chunk in chunks), return_exceptions=True
        )
        unanswered: list[BaseException] = []
        for chunk, result in zip(chunks, results, strict=True):
            names = [cargo.name for cargo in chunk.jobs]
            if isinstance(result, str):
                answers.update((name, Submitted(f"{result}:{name}")) for name in names)
            elif isinstance(result, PermanentError):
                answers.update((name, SubmitError(str(result))) for name in names)
            else:
                unanswered.append(result)
        if unanswered:
            raise unanswered[0]  # those that were taken are found by their names
        return [answers[payload.spec.name] for payload in payloads]

    def _chunks(
        self, payloads: Sequence[Payload], shapes: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[_Chunk]:
        """Sort jobs by task; what was divided before stays as it was."""
        cargos = {
            cargo.name: cargo for cargo in load(payloads, self._sandboxes.uploaded, SEPARATE_SIZE)
        }
        for name, known in self._ledger.tasks_of(cargos).items():
            yield _Chunk(name, [cargos.pop(job) for job in known], shapes[known[0]], tried=True)
        kinds: dict[str, list[Cargo]] = {}
        for cargo in cargos.values():
            kind = json.dumps([run_of(cargo.name), shapes[cargo.name]], sort_keys=True)
            kinds.setdefault(kind, []).append(cargo)
        for alike in kinds.values():
            for jobs in portions(alike, JOBS_PER_TASK, lambda size: size <= SANDBOX_LIMIT):
                names = [cargo.name for cargo in jobs]
                name = task_name(self._options.user, run_of(names[0]), names)
                self._ledger.submitting(name, names, attempts(shapes[names[0]]))
                yield _Chunk(name, jobs, shapes[names[0]], tried=False)

    async def _submit_chunk(self, chunk: _Chunk, any_payload: Payload) -> str:
        """Return the id of the task."""
        async with self._slots:
            try:
                grid_id = await self._hand_over(chunk, any_payload.worker)
            except PermanentError:
                self._ledger.ended(cargo.name for cargo in chunk.jobs)
                with contextlib.suppress(GridError):  # it only is of no use any more
                    await self._sandboxes.forget(chunk.task)
                raise
            self._ledger.submitted(chunk.task, grid_id)
            return grid_id

    async def _hand_over(self, chunk: _Chunk, worker: Path) -> str:
        # One that may be there is looked for, not submitted again: of one that is done the server
        # would run all anew. Also after the upload, which may last until it is.
        known = await self._route.find([chunk.task]) if chunk.tried else {}
        if known:
            return known[chunk.task]
        cache = str((await self._client.facts())["cache"])
        packed = await self._sandboxes.upload(chunk.task, chunk.jobs, worker, cache)
        known = await self._route.find([chunk.task]) if chunk.tried else {}
        if known:
            return known[chunk.task]
        names = [cargo.name for cargo in chunk.jobs]
        return await self._route.submit(
            task(chunk.shape, chunk.task, names, packed.name, cache, secrets=packed.secrets)
        )


def run_of(name: str) -> str:
    """Return the run that a job is of, which its name tells."""
    match = _RUN.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} does not tell its run")
    return match[1]
