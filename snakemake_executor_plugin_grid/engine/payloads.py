"""Builds what is submitted: a job, its description for the worker, and its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..backends.base import Backend, Payload
from ..grid_data.attempts import of_attempt
from ..model.job import JobSpec
from ..model.tracked import TrackedJob
from ..staging.paths import Layout, depth
from ..staging.upload import Upload
from ..stores import Stores
from ..worker.description import Blob, Job
from ..worker.grid_files.records import GridOutput

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
        outputs_now: Returns the outputs on the grid of a job that is sent again.
    """

    backend: Backend
    stores: Stores
    layout: Layout
    upload: Upload
    worker: Path
    keep_incomplete: bool
    large_file: int
    compression: str
    outputs_now: Callable[[JobSpec], tuple[GridOutput, ...]]
    attempts: dict[str, list[str]] = field(default_factory=dict)

    def build(
        self,
        job: TrackedJob,
        blobs: tuple[Blob, ...],
        avoid: frozenset[str],
        outputs: tuple[GridOutput, ...] | None = None,
    ) -> Payload:
        """Return the payload of a job.

        Args:
            job: The job.
            blobs: Its inputs.
            avoid: Sites that it should not use.
            outputs: Its outputs on the grid; None for those that were planned.
        """
        plan, spec = job.plan, job.spec
        outputs = spec.grid_outputs if outputs is None else outputs
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
            grid_outputs=tuple(self._of_attempt(one, spec.name) for one in outputs),
            output_limit=plan.output_limit,
            log_limit=limits.log if limits.log is not None else self.backend.log_limit,
            report_to="" if self.backend.brings_files else results.inbox(spec.name),
        )
        return Payload(spec, description.dumps(), blobs, self.worker, avoid)

    def _of_attempt(self, output: GridOutput, name: str) -> GridOutput:
        """Return an output of a submission, which may replace what those before have stored."""
        before = self.attempts.setdefault(output.query, [])
        found = of_attempt(output, name, before)
        before[:] = [*(one for one in before if one != name), name][-_REMEMBERED:]
        return found
