"""The rows of the journal: runs, and submissions of jobs. Times are seconds since the epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from ..model.job import title
from ..model.names import split_id


class Phase(Enum):
    """How far a submission has come, as far as the submit host knows."""

    SUBMITTING = "submitting"
    """The backend is being asked; it may or may not have the job."""
    SUBMITTED = "submitted"
    CANCELLING = "cancelling"
    """The backend has not confirmed the cancellation."""
    OUTPUTS_INSTALLED = "outputs installed"
    """Snakemake may not have recorded the success, and the backend still keeps the results."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing is left to do for the job."""
        return self not in OPEN_PHASES


OPEN_PHASES = (Phase.SUBMITTING, Phase.SUBMITTED, Phase.CANCELLING, Phase.OUTPUTS_INSTALLED)


@dataclass(frozen=True)
class RunRecord:
    """One run of Snakemake.

    Attributes:
        name: Id of the run.
        backend: As in ``--grid-backend``.
        store: URL of its store.
        host: Host of its controller.
        pid: Process id of its controller.
        settings: Options that differ from their defaults.
        started: When it began.
        ended: When it ended; None while it is going on, or if it was killed.
        end: As in ``Journal.end_run``, or empty.
        stored_bytes: Bytes that it put into the store.
        reused_bytes: Bytes that were in the store already.
        trouble: What it waits for, such as a server that does not answer; empty if nothing.
        trouble_since: Since when it waits.
    """

    name: str
    backend: str
    store: str
    host: str
    pid: int
    settings: dict[str, Any]
    started: float
    ended: float | None
    end: str
    stored_bytes: int
    reused_bytes: int
    trouble: str = ""
    trouble_since: float | None = None

    @classmethod
    def from_row(cls, values: Sequence[Any]) -> RunRecord:
        """Return the record of a row of `RUN_COLUMNS`."""
        row = dict(zip(RUN_COLUMNS, values, strict=True))
        return cls(**{**row, "settings": json.loads(row["settings"])})


@dataclass(frozen=True)
class JobRecord:
    """One submission of a job.

    Attributes:
        name: Unique name; ``model.job.log_file`` tells where its output is.
        origin: Unique name of the first submission of the same job.
        run: Id of the run that submitted it, or that took it over last.
        rule: Its rule, or group.
        wildcards: Names and values.
        jobid: Snakemake's own id.
        attempt: Snakemake's attempt, 1 for the first.
        backend: As in ``--grid-backend``.
        grid_id: Id of the backend; None until the backend has answered.
        phase: How far it has come.
        detail: Why it failed.
        state: The last state that the backend gave: a value of ``JobState``, or empty.
        site: Where it runs or ran, by the backend or else by its report; empty if not known.
        outputs: Names of its outputs.
        requested: What it asked for: the fields of ``model.job.Resources``.
        began: When the upload of its inputs began.
        sent: When it was submitted.
        accepted: When the backend confirmed the submission.
        running: When it was first seen running.
        ended: When it was first seen to have ended.
        finished: When its outputs were in place, or its failure was noted.
        report: Fields of ``worker.report.Report``, but ``returned`` is a number; and ``logs``, the
            logs of its rule that came back, as paths from the working directory. Empty if none.
        changed: When the row was changed last.
        identity: Fingerprint of the job; empty if an older version submitted it.
        endpoint: Server that it was submitted to; empty if an older version submitted it.
        needs_cleanup: Whether the backend still keeps something for it.
        decision: SHA-256 of its decision; empty if Snakemake ran on the worker.
        grid_outputs: Names of its outputs that stay on the grid, such as ``lfn:/vo/file``.
    """

    name: str
    origin: str
    run: str
    rule: str
    wildcards: dict[str, str]
    jobid: str
    attempt: int
    backend: str
    grid_id: str | None
    phase: Phase
    detail: str
    state: str
    site: str
    outputs: tuple[str, ...]
    requested: dict[str, Any]
    began: float | None
    sent: float | None
    accepted: float | None
    running: float | None
    ended: float | None
    finished: float | None
    report: dict[str, Any] = field(default_factory=dict)
    changed: float = 0.0
    identity: str = ""
    endpoint: str = ""
    needs_cleanup: bool = False
    decision: str = ""
    grid_outputs: tuple[str, ...] = ()

    @classmethod
    def from_row(cls, values: Sequence[Any]) -> JobRecord:
        """Return the record of a row of `JOB_COLUMNS`."""
        row = dict(zip(JOB_COLUMNS, values, strict=True))
        objects = {key: json.loads(row[key] or "{}") for key in _JSON_OBJECTS}
        return cls(
            **{
                **row,
                **objects,
                "origin": row["origin"] or row["name"],
                "phase": Phase(row["phase"]),
                # PanDA tells the sites of some jobs only; the report of a job always does.
                "site": row["site"] or str(objects["report"].get("site") or ""),
                "outputs": tuple(json.loads(row["outputs"])),
                "grid_outputs": tuple(json.loads(row["grid_outputs"])),
                "needs_cleanup": bool(row["needs_cleanup"]),
            }
        )

    @property
    def title(self) -> str:
        """Rule and wildcards, for messages."""
        return title(self.rule, self.wildcards.items())

    @property
    def bundle(self) -> str:
        """Id of the grid job that it shares with other jobs; empty if it is alone there."""
        bundle_id, job = split_id(self.grid_id or "")
        return bundle_id if job else ""

    @property
    def succeeded(self) -> bool:
        """Whether its outputs are in place."""
        return self.phase in (Phase.SUCCEEDED, Phase.OUTPUTS_INSTALLED)

    @property
    def work(self) -> tuple[object, ...]:
        """What the job makes: the same for all submissions of it, also in later runs."""
        return self.rule, tuple(sorted(self.wildcards.items())), self.outputs


RUN_COLUMNS = tuple(column.name for column in fields(RunRecord))
JOB_COLUMNS = tuple(column.name for column in fields(JobRecord))
_JSON_OBJECTS = ("wildcards", "requested", "report")
