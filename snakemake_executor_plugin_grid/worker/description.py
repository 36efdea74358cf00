"""The worker's instructions, ``job.json``, which the submit host writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .decided.decision import Decision
from .grid_files.records import GridInput, GridOutput
from .records import asdict, dataclass
from .runtime import Runtime

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

VERSION = 5
JOB_FILE = "job.json"
ENVIRONMENT_FILE = "environment.json"
REPORT_FILE = "report.json"
LOG_FILE = "payload.log"
STARTED_FILE = "started"
WORKER_LOG = "worker.log"
"""Output of the worker itself, where it runs in the folder of a job."""
DELIVERY_FOLDER = "out"
OWN_FILES = frozenset(
    {
        *(JOB_FILE, ENVIRONMENT_FILE, REPORT_FILE, LOG_FILE, STARTED_FILE, DELIVERY_FOLDER),
        *("jobs.json", "worker.pyz", WORKER_LOG, "grid-job.sh", "scratch", ".reserve"),
    }
)
"""Names in the job's folder that no file of the user may take."""
WORKDIR = "<grid_workdir>"
"""Stands for the absolute path of the working directory: in a command within single quotes, and in
configuration files as plain text."""

# Shells, JSON and YAML read a path with none of these as it is, also in front of another one.
_NEEDS_QUOTES = r"""["'\\,\[\]{}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]|: | #|[: ]$"""


@dataclass(frozen=True)
class Blob:
    """A piece of the job's input, named by the SHA-256 of its bytes.

    Attributes:
        digest: SHA-256 in hexadecimal of the stored bytes.
        size: Stored bytes.
        url: Where to get it: ``file://…``, ``lfn:/vo/…/<digest>`` for DIRAC's catalog, or a URL
            that `transfer.urls` reads. A file beside ``job.json`` with the digest as its name comes
            first; with an empty URL it is the only place.
        kind: ``tar`` (unpacked into the tree), ``raw`` (one file), ``runtime`` (unpacked
            into a folder that goes into PYTHONPATH) or ``placeholders`` (a listing of files that
            get no contents, see `placeholders`).
        compression: ``none``, ``gzip`` or ``zstd``; for tarballs only.
        wanted: For ``tar``: the names to unpack, None for all.
        name: For ``raw``: name of the file in the tree.
        mode: For ``raw``: permission bits.
        mtime_ns: For ``raw``: modification time in nanoseconds.
    """

    digest: str
    size: int
    url: str = ""
    kind: str = "tar"
    compression: str = "none"
    wanted: tuple[str, ...] | None = None
    name: str = ""
    mode: int = 0o644
    mtime_ns: int = 0


@dataclass(frozen=True)
class Output:
    """A file or folder that a rule creates.

    Attributes:
        name: Name in the tree.
        kind: ``output``, ``log`` or ``benchmark``; ``staying`` for files that never
            leave the node: pipes, services, node-local files; ``grid`` for those that the worker
            stores on the grid.
        required: Whether the job fails if it is missing.
    """

    name: str
    kind: str = "output"
    required: bool = True


@dataclass(frozen=True)
class Job:
    """A job as the worker sees it.

    Attributes:
        name: Unique name.
        command: Shell line that runs Snakemake, with ``"$GRID_PYTHON"`` as the interpreter, and
            `WORKDIR` for the working directory. Empty for a job with a decision.
        nesting: Names of the folders that lead to the working directory.
        blobs: What to stage in.
        outputs: What to stage out.
        folders: Folders to make, because paths lead through them by ``..``.
        marked_files: Names of configuration files in which `WORKDIR` stands.
        runtime: How the job gets its Snakemake on the node.
        env_modules: Whether the payload needs the command ``module`` of environment modules.
        time_limit: Seconds that the payload may take, None for no limit.
        keep_incomplete: Whether outputs of a failed job come back.
        fetch_undeclared: Whether new files that no rule names come back.
        large_file: Files of this size in bytes, or more, travel alone.
        compression: Compression of the tarball of small outputs.
        deliver: Where outputs go: empty for a folder beside the report, ``file://…`` for another
            one, ``sandbox:`` for the WMS's output sandbox, ``lfn:/vo/…`` for its storage element,
            or a URL to which `transfer.urls` uploads. See `worker.delivery`.
        deliver_limit: Bytes that all blobs in the output sandbox may have together, None for no
            limit.
        output_limit: Bytes that all outputs may have together without their holes, None for no
            limit.
        deliver_hint: Advice for the error message when outputs exceed that limit.
        log_limit: Bytes of the payload's output that are kept, None for all.
        comparison: What the worker's Snakemake compares with what it is about to do, as JSON text;
            see ``snakemake_api/comparison``. Empty for nothing.
        report_to: URL of a folder to which log and report are also uploaded; empty if the WMS
            returns them.
        grid_inputs: Files on the grid that the worker fetches.
        grid_outputs: Files that the worker stores on the grid; they are among ``outputs``, too.
        grid_answers: What file catalogs have said while the workflow was parsed, as JSON text, for
            jobs that run Snakemake.
        decision: What the worker does without Snakemake, None if the command runs Snakemake.
        members: The jobs of a bundle, each as the object that is its ``job.json``; then the fields
            above hold only what the bundle has in common. Its ``environment.json`` has the text
            of that of each job, by name.
        side_by_side: How many of them run at a time.
        reports_apart: Whether each sends its own report, and none comes with that of the bundle.
        cancel_list: URL of a JSON array with the names of those that the worker does not begin;
            empty if there is none.
    """

    name: str
    command: str
    nesting: tuple[str, ...]
    blobs: tuple[Blob, ...]
    outputs: tuple[Output, ...]
    runtime: Runtime
    folders: tuple[str, ...] = ()
    marked_files: tuple[str, ...] = ()
    env_modules: bool = False
    time_limit: float | None = None
    keep_incomplete: bool = False
    fetch_undeclared: bool = False
    large_file: int = 8 << 20
    compression: str = "none"
    deliver: str = ""
    deliver_limit: int | None = None
    deliver_hint: str = ""
    output_limit: int | None = None
    log_limit: int | None = None
    comparison: str = ""
    report_to: str = ""
    grid_inputs: tuple[GridInput, ...] = ()
    grid_outputs: tuple[GridOutput, ...] = ()
    grid_answers: str = ""
    decision: Decision | None = None
    members: tuple[dict[str, Any], ...] = ()
    side_by_side: int = 1
    reports_apart: bool = False
    cancel_list: str = ""
    version: int = VERSION

    def dumps(self) -> str:
        """Return the job as JSON text."""
        fields = asdict(self)
        fields["runtime"] = self.runtime.to_json()
        return json.dumps(fields)


class InputDamagedError(Exception):
    """An input is missing in the store, or differs from what the submit host stored."""


class FolderError(Exception):
    """The path of the job's folder cannot stand in a command or configuration file."""


def in_folder(text: str, folder: Path) -> str:
    """Put a folder in the place of `WORKDIR`.

    Raises:
        FolderError: The path would need quotes.
    """
    if WORKDIR not in text:
        return text
    path = str(folder)
    if found := re.search(_NEEDS_QUOTES, path):
        raise FolderError(
            f"the absolute paths of the configuration cannot be set on this node, as the path of "
            f"the job's folder, {path!r}, contains {found[0]!r}; write them relative to the "
            "working directory"
        )
    return text.replace(WORKDIR, path)


def load(path: Path) -> Job:
    """Read ``job.json``.

    Raises:
        ValueError: It is damaged, or was written for another version of the worker.
        OSError: It cannot be read.
    """
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        if fields.get("version") not in range(1, VERSION + 1):  # older versions have fewer fields
            raise ValueError(
                f"{path.name}: version {fields.get('version')!r}, expected {VERSION}: job and "
                "worker come from different versions of snakemake-executor-plugin-grid"
            )
        for blob in fields["blobs"]:
            if blob["wanted"] is not None:
                blob["wanted"] = tuple(blob["wanted"])
        fields["blobs"] = tuple(Blob(**blob) for blob in fields["blobs"])
        fields["outputs"] = tuple(Output(**output) for output in fields["outputs"])
        fields["nesting"] = tuple(fields["nesting"])
        fields["folders"] = tuple(fields.get("folders", ()))
        fields["marked_files"] = tuple(fields.get("marked_files", ()))
        fields["runtime"] = Runtime.from_json(fields["runtime"])
        for name, kind in (("grid_inputs", GridInput), ("grid_outputs", GridOutput)):
            fields[name] = tuple(map(kind.from_json, fields.get(name, ())))
        if fields.get("decision") is not None:
            fields["decision"] = Decision.from_json(fields["decision"])
        fields["members"] = tuple(fields.get("members", ()))
        return Job(**fields)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: damaged: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name}: damaged: {error!r}") from error
