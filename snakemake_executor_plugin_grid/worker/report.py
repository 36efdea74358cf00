"""The worker's report, ``report.json``: it decides whether a job succeeded.

The worker only writes it; the submit host reads it by ``model/report.py``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from .archive.member import Member
from .grid_files.records import Stored
from .records import asdict, dataclass, field

SUCCESS = "success"
PAYLOAD_FAILED = "payload failed"
OUTPUT_MISSING = "output missing"
OUTPUT_TOO_LARGE = "output too large"
OUTPUT_NOT_STORED = "output not stored"
INPUT_DAMAGED = "input damaged"
OUT_OF_DISK = "out of disk"
NO_ROOM = "no room for inputs"
KILLED = "killed"
TIME_LIMIT = "time limit"
NO_RUNTIME = "no runtime"
WORKER_FAILED = "worker failed"
REASONS = (
    *(SUCCESS, PAYLOAD_FAILED, OUTPUT_MISSING, OUTPUT_TOO_LARGE, OUTPUT_NOT_STORED, INPUT_DAMAGED),
    *(OUT_OF_DISK, NO_ROOM, KILLED, TIME_LIMIT, NO_RUNTIME, WORKER_FAILED),
)
"""All reasons of reports."""
STEPS = ("received", "staging in", "running", "staging out", "ended")
"""Steps of a job on the worker, in their order."""
KINDS = ("output", "log", "benchmark", "undeclared")
"""What a returned file can be."""

NO_REPORT = 74
"""Exit code (``EX_IOERR``) of a worker that could not deliver its report."""

LISTED = 100
"""Undeclared files that a report names."""


@dataclass
class Returned:
    """One file, folder or link that the job returns.

    Attributes:
        member: Name, kind, mode, size, time and SHA-256.
        kind: ``output``, ``log``, ``benchmark`` or ``undeclared``.
        blob: Digest of the blob that holds it.
        raw: Whether the blob is the file itself rather than a tarball.
    """

    member: Member
    kind: str
    blob: str
    raw: bool = False

    @property
    def stored(self) -> int:
        """Bytes that it takes, which are less than its size if it has holes in a tarball."""
        return self.member.size if self.raw else self.member.stored


@dataclass
class Report:
    """What happened on the worker node.

    Attributes:
        name: Unique name of the job.
        reason: ``success``, or one of the constants of this module.
        message: Explains the reason.
        exit_code: Exit code of the payload; None if it did not run or a signal killed it.
        signal: Signal that killed the payload, 0 for none.
        host: Name of the worker node.
        site: Name of the grid site, if the environment tells it.
        wms_id: Id of the grid job that made this report, if the environment tells it.
        python: Version of the interpreter that ran the worker.
        times: Seconds since the epoch at which each of `STEPS` began.
        cpu_seconds: Processor time of the payload and its children.
        peak_memory_mb: Largest resident size of any single process of the payload, in MB.
        bytes_in: Bytes staged in.
        bytes_out: Bytes staged out.
        returned: Files, folders and links that the job returns.
        missing: Names of required outputs that the job did not make.
        undeclared: New files that no rule names, the first hundred.
        undeclared_count: Number of all such files.
        left_out: Outputs that could not be returned, with the reason.
        blobs: Stored size of each delivered blob, by digest.
        grid_in: Bytes that the worker has read on the grid.
        stored: Outputs that the worker has stored on the grid.
    """

    name: str
    reason: str = WORKER_FAILED
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    host: str = ""
    site: str = ""
    wms_id: str = ""
    python: str = ""
    times: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    returned: list[Returned] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    undeclared_count: int = 0
    left_out: list[str] = field(default_factory=list)
    blobs: dict[str, int] = field(default_factory=dict)
    grid_in: int = 0
    stored: list[Stored] = field(default_factory=list)

    @classmethod
    def start(cls, name: str) -> Report:
        """Return the report of a job that starts now on this host."""
        report = cls(
            name,
            host=os.uname().nodename,
            site=_first(_SITE_VARIABLES),
            wms_id=_first(_ID_VARIABLES),
            python=sys.version.split()[0],
        )
        report.begin("received")
        return report

    def begin(self, step: str) -> None:
        """Record the time at which a step begins."""
        self.times[step] = time.time()

    def fail(self, reason: str, message: str) -> None:
        """Set the reason, unless an earlier step has failed already."""
        if self.reason in (WORKER_FAILED, SUCCESS):
            self.reason, self.message = reason, message

    def list_undeclared(self, names: list[str]) -> None:
        """Record new files that no rule names."""
        self.undeclared, self.undeclared_count = sorted(names)[:LISTED], len(names)

    def write(self, path: Path) -> None:
        """Write the report so that it is either complete or absent."""
        fields = asdict(self)
        fields["returned"] = [
            {**item, "member": returned.member.to_json()}
            for item, returned in zip(fields["returned"], self.returned)
        ]
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(fields))
        part.replace(path)


# DIRAC sets DIRACSITE in its pilots, PanDA's pilot PANDA_RESOURCE; the local backend SITE_NAME.
_SITE_VARIABLES = ("DIRACSITE", "PANDA_RESOURCE", "SITE_NAME")
# DIRAC's job wrapper sets JOBID (0 without a server), PanDA's pilot the others.
_ID_VARIABLES = ("JOBID", "PANDAID", "PandaID")


def _first(names: tuple[str, ...]) -> str:
    values = (os.environ.get(name, "") for name in names)
    return next((value for value in values if value not in ("", "0")), "")


def megabytes(size: int) -> str:
    """Return a number of bytes in readable form."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"
