"""Builds what is submitted: a job, its description for the worker, and its inputs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..backends.base import Backend, Payload
from ..model.names import JobName
from ..model.tracked import TrackedJob
from ..staging.paths import Layout, depth
from ..staging.upload import Upload
from ..stores import Stores
from ..worker.description import Blob, Job
from ..worker.grid_files.records import GridOutput

_GUIDS = uuid.UUID("5f3e8a2c-7f0d-4a86-9b1e-2d6c4f5b7a90")
"""Name space of the guids of outputs on the grid."""
_REMEMBERED = 20
"""Submissions whose files a later one may replace."""


@dataclass(frozen=True)
class Payloads:
    """Builds payloads.

    Attributes:
        backend: Runs the jobs.
        stores: Where files go and come from.
        layout: Of the submit host.
        upload: Knows how many levels above the working directory common files reach.
        worker: The worker program.
        keep_incomplete: Whether outputs of failed jobs come back.
        large_file: Files of this size in bytes, or more, travel alone.
        compression: Of tarballs.
        attempts: Names of submissions that may have stored an output on the grid, and did not
            succeed, by its name, the last one last. Snakemake's ``retries`` are among them.
    """

    backend: Backend
    stores: Stores
    layout: Layout
    upload: Upload
    worker: Path
    keep_incomplete: bool
    large_file: int
    compression: str
    attempts: dict[str, list[str]] = field(default_factory=dict)

    def build(self, job: TrackedJob, blobs: tuple[Blob, ...], avoid: frozenset[str]) -> Payload:
        """Return the payload of a job.

        Args:
            job: The job.
            blobs: Its inputs.
            avoid: Sites that it should not use.
        """
        plan, spec = job.plan, job.spec
        inputs, results = self.stores.inputs, self.stores.results
        if plan.runtime_blob is not None:
            blobs = (plan.runtime_blob, *blobs)
        if inputs.secret:  # signed again: a run may last longer than a signature
            blobs = tuple(replace(blob, url=inputs.locate(blob.digest)) for blob in blobs)
        named = [*spec.folders, *(output.name for output in spec.outputs)]
        named += [name for name, _ in spec.files]
        named += [one.name for one in spec.grid_inputs]
        climbs = max(self.layout.deepest(spec.inputs), depth(named), self.upload.depth(spec))
        limits = results.limits
        description = Job(
            name=spec.name,
            command=spec.command,
            decision=spec.decision,
            nesting=self.layout.nesting(climbs),
            blobs=blobs,
            outputs=spec.outputs,
            folders=spec.folders,
            marked_files=spec.marked_files,
            comparison=spec.comparison,
            runtime=plan.runtime,
            env_modules=spec.env_modules,
            time_limit=spec.resources.runtime_s,
            keep_incomplete=self.keep_incomplete,
            fetch_undeclared=plan.fetch_undeclared,
            large_file=self.large_file,
            compression=self.compression,
            deliver=results.inbox(spec.name),
            deliver_limit=limits.outputs,
            deliver_hint=limits.hint,
            grid_inputs=spec.grid_inputs,
            grid_answers=spec.grid_answers,
            grid_outputs=tuple(
                _of_attempt(one, spec.name, self.attempts.setdefault(one.query, []))
                for one in spec.grid_outputs
            ),
            output_limit=plan.output_limit,
            log_limit=limits.log if limits.log is not None else self.backend.log_limit,
            report_to="" if self.backend.brings_files else results.inbox(spec.name),
        )
        return Payload(spec, description.dumps(), blobs, self.worker, avoid)


def _of_attempt(output: GridOutput, name: str, before: list[str]) -> GridOutput:
    """Return an output with the guids of this submission, and of those before it.

    Args:
        output: As it was planned.
        name: Of this submission.
        before: Names of submissions for the same output: this one is added.
    """
    this = JobName.parse(name)
    resubmitted = [
        str(replace(this, resubmissions=count)) for count in range(this.resubmissions + 1)
    ]
    names = [one for one in dict.fromkeys([*before, *resubmitted]) if one != name]
    before[:] = [*names, name][-_REMEMBERED:]
    guids = tuple(_guid(one, output) for one in names[-_REMEMBERED:])
    return replace(output, guid=_guid(name, output), may_replace=guids)


def _guid(name: str, output: GridOutput) -> str:
    return str(uuid.uuid5(_GUIDS, f"{name} {output.query}")).upper()
