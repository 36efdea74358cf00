"""The preview of a run (``--grid-describe``): the JDL or the task parameters of each job.

Nothing is staged, and no server is contacted.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..backends.base import Payload
from ..backends.dirac.store import SCHEME
from ..backends.registry import for_backend, make_backend, member_folder
from ..console.decision_script import decision_script
from ..console.format import file_size
from ..grid_data.files import GridFiles
from ..journal.catalog import Catalog
from ..journal.database import FOLDER, Database, open_database
from ..journal.lock import lock_folder
from ..model.backend_names import allowed_backends, backend_names
from ..model.errors import GridError
from ..model.job import ASKED_FOR, NOT_YET, JobSpec
from ..model.names import JobName
from ..settings.options import ExecutorSettings
from ..snakemake_api.workflow import WorkflowApi, names
from ..staging.paths import Layout, OutsideError
from ..staging.symlinks import scan_following
from ..stores.spool import RESERVE
from ..worker.archive.listing import Entry
from ..worker.description import Blob
from ..worker.runtime import Runtime
from .deciding import make_deciding
from .path_check import PathCheck
from .planner import Planner

_SANDBOX_LIMIT = 10 << 20  # default of SandboxStore/MaxSandboxSizeMiB, DIRAC 9.1
_PLACEHOLDER_URL = f"{SCHEME}/uploaded-when-submitted"
_NOT_IN_LFN = re.compile(r"[^A-Za-z0-9_.+@=/-]|(?<![^/])[^A-Za-z0-9_/]")


def describe(
    workflow: Any, run_id: str, files_read: Iterable[str], say: Callable[[str], None]
) -> list[str]:
    """Print what would be submitted for each job that has to run.

    Args:
        workflow: Snakemake's workflow, with its DAG.
        run_id: Unique id of the run.
        files_read: Files that were read while the workflow was parsed.
        say: Shows a line to the user.

    Returns:
        One message for each job that cannot be described.

    Raises:
        GridError: No job can be described; the text says why.
    """
    folder = Path.cwd() / FOLDER
    problems = []
    with lock_folder(folder), open_database(folder) as database:
        previews = _Previews(workflow, folder, database, files_read, say)
        jobs = list(previews.workflow_api.needed_jobs())
        for number, job in enumerate(jobs, start=1):
            try:
                text = previews.text(job, str(JobName.new(job.name, run_id, number)))
            except (GridError, WorkflowError) as error:
                problems.append(f"rule {job.name} cannot be described: {error}")
                continue
            if not _write(text):
                break
        if not jobs:
            say("No job has to run on the grid.")
        if previews.workflow_api.has_checkpoints:
            say("Jobs that depend on checkpoints may be missing here.")
    return problems


class _Previews:
    """Plans jobs as a run does, and describes them instead of submitting them."""

    def __init__(
        self,
        workflow: Any,
        folder: Path,
        database: Database,
        files_read: Iterable[str],
        say: Callable[[str], None],
    ) -> None:
        self._settings: ExecutorSettings = workflow.executor_settings
        self._layout = Layout(Path.cwd())
        self._folder = folder
        self._catalog = catalog = Catalog(database)
        self.workflow_api = WorkflowApi(workflow, self._layout.on_worker)
        self._names = backend_names(self._settings.backend)
        self._backends = {}
        for number, name in enumerate(self._names):
            settings = for_backend(self._settings, name)
            own = member_folder(folder, name) if number else folder
            setup = make_backend(settings, self._layout.workdir, own, database, catalog, say)
            self._backends[name] = setup.backend
        path_check = PathCheck(self._layout, self.workflow_api, files_read)
        self._planner = Planner(
            self._settings,
            self.workflow_api,
            self._layout,
            path_check,
            make_deciding(workflow, self.workflow_api, self._layout, say, early=True),
            _ship_nothing,
            say,
            GridFiles(self._layout, early=True),
        )
        self._planner.begin()
        self._awaited = set(self.workflow_api.awaited())

    def text(self, job: Any, name: str) -> str:
        """Return the backend's description of a job, after notes as comments."""
        # No description contains the environment, which may be secret.
        spec = self._planner.plan(job, name, str, {}).spec
        if spec.decision is None:
            self.workflow_api.targets(job)  # raises an error if no command can name the job
        notes, blobs = [], []
        allowed = allowed_backends(spec.overrides.get("backend"), self._names)
        if len(self._names) > 1:
            notes.append(f"backend: {' or else '.join(allowed)}")
        pending = [
            key
            for key, value in job.resources.items()
            if value == NOT_YET and (key in ASKED_FOR or key.startswith("grid_"))
        ]
        if pending:
            notes.append(f"known only when its inputs exist: {', '.join(pending)}")
        if self._settings.dirac_storage_element:
            for entry in self._large_inputs(spec):
                blob, is_stored = self._blob(entry)
                blobs.append(blob)
                if not is_stored:
                    size = file_size(entry.size)
                    notes.append(f"not uploaded yet: {entry.name.partition('/')[2]} ({size})")
            if missing := [path for path in spec.inputs if not self._exists(path)]:
                notes.append(
                    "not made yet; becomes input data if it is too large for a sandbox: "
                    + ", ".join(missing)
                )
        payload = Payload(spec, "", tuple(blobs), self._folder / "worker.pyz")
        comments = [f"# {_line(note)}\n" for note in (self._title(job, spec), *notes)]
        parts = [f"{''.join(comments)}{self._backends[allowed[0]].describe(payload).rstrip()}\n"]
        if spec.decision is not None:
            script = decision_script(spec.decision, self._layout.workdir)
            parts.append(f"# What the worker runs, as a script for bash:\n{script}")
        return "\n".join(parts) + "\n"

    def _exists(self, path: str) -> bool:
        return path not in self._awaited and os.path.lexists(path)

    def _title(self, job: Any, spec: JobSpec) -> str:
        if not job.is_group():
            return spec.title
        jobs = sorted(f"{job.name} -> {', '.join(names(job.output))}" for job in job.jobs)
        return f"group {job.groupid}: {'; '.join(jobs)}"

    def _large_inputs(self, spec: JobSpec) -> Iterator[Entry]:
        """Yield the inputs that exist and are too large for a sandbox."""
        threshold = max(self._settings.large_file, _SANDBOX_LIMIT - RESERVE + 1)
        for path in filter(self._exists, spec.inputs):
            # Inputs outside of the working directory are not staged.
            with contextlib.suppress(OutsideError, OSError):
                member = self._layout.member(path)
                for entry in scan_following(self._layout.local(member), member):
                    if entry.is_large(threshold):
                        yield entry

    def _blob(self, entry: Entry) -> tuple[Blob, bool]:
        """Return the blob of an input, and whether the storage element has it already."""
        digest = self._catalog.digest(entry.path, Path(entry.path).stat())
        url = self._catalog.location(digest) if digest is not None else None
        placeholder = f"{_PLACEHOLDER_URL}/{_NOT_IN_LFN.sub('_', entry.name.partition('/')[2])}"
        return Blob(digest or "", entry.size, url or placeholder, kind="raw"), url is not None


def _ship_nothing(runtime: Runtime, *, snakemake: bool) -> Blob:
    return Blob("", 0, kind="runtime")


def _line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _write(text: str) -> bool:
    """Write to stdout; return False if its reader has gone (``| head``)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # As Python's documentation recommends: otherwise flushing stdout at exit fails again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
