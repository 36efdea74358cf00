"""Fetches the outputs of an ended job, verifies them, and moves them into place.

The functions block: they run in threads of their own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..console.failure_message import reason_of, without_report
from ..console.format import file_size, listed
from ..console.job_logs import JobLogs
from ..console.progress import transfer
from ..grid_data.files import GridFiles
from ..journal.catalog import Catalog
from ..model.errors import GridError
from ..model.job import JobSpec, log_file
from ..model.report import load_report
from ..model.tracked import Outcome, TrackedJob
from ..model.untrusted import UntrustedError, is_regular, path_below, printable
from ..staging.install import Installed, OutputDamagedError, install_outputs
from ..staging.paths import WORK, Layout
from ..stores import ResultStore
from ..worker import report as reports
from ..worker.archive.unpack import most_bytes
from ..worker.description import DELIVERY_FOLDER, LOG_FILE, REPORT_FILE
from ..worker.report import Report
from ..worker.tree import below
from .outcomes import Outcomes
from .undeclared import UndeclaredFiles

Announce = Callable[[str, str, float], None]
"""Called before outputs are replaced: with the job's name, grid id, and running time."""


@dataclass(frozen=True)
class Outputs:
    """Brings the outputs of jobs to the submit host.

    Attributes:
        store: To which jobs deliver outputs.
        catalog: Learns the digests of large outputs.
        layout: Of the submit host.
        folder: Of this package below the working directory.
        compression: Of tarballs.
        announce: Called before outputs are replaced.
        say: Shows a line to the user.
        grid_files: Knows the outputs that stay on the grid.
    """

    store: ResultStore
    catalog: Catalog
    layout: Layout
    folder: Path
    compression: str
    announce: Announce
    say: Callable[[str], None]
    grid_files: GridFiles

    def incoming(self, job: TrackedJob) -> Path:
        """Return the folder for the files that the backend fetches: report, log, maybe outputs."""
        return self.folder / "incoming" / job.spec.name

    def fetch(self, job: TrackedJob) -> None:
        """Download the outputs that the report lists. May be repeated when a server fails.

        Raises:
            GridError: Something is missing, or it is more than the user allows.
        """
        try:
            report = load_report(self.incoming(job) / REPORT_FILE)
        except (FileNotFoundError, UntrustedError):
            return  # install() reports it
        _check_size(job, report)
        files = {item.blob: item.member.name for item in report.returned if item.raw}
        for digest, size in report.blobs.items():
            name = printable(files.get(digest, "").partition("/")[2])
            with transfer(name or f"outputs of {job.spec.title}", size, up=False):
                found = self._fetch(job, digest, size).lstat().st_size
            if found != size:
                raise OutputDamagedError(
                    f"output damaged: {name or 'a tarball'} has {found} bytes, but the job's "
                    f"report says {size}"
                )

    def install(self, job: TrackedJob, outcomes: Outcomes) -> Outcome:
        """Verify the outputs, move them into place, and decide whether the job succeeded.

        The job's own report decides. May be repeated after any error.

        Raises:
            GridError: Outputs are damaged; nothing was moved.
            OSError: The disk is full, or cannot be written.
        """
        log = self._keep_log(job.spec, self.incoming(job))
        try:
            report = load_report(self.incoming(job) / REPORT_FILE)
        except FileNotFoundError:
            return outcomes.failure(job, without_report(job.status), JobLogs.read(log))
        except UntrustedError as error:
            reason = f"its report is damaged: {error}"
            return outcomes.failure(job, reason, JobLogs.read(log))
        if report.name != job.spec.name:
            reason = f"its report is that of job {report.name}"
            return outcomes.failure(job, reason, JobLogs.read(log))
        taken = self._install(job, report)
        rule_logs = self._rule_logs(report)
        if report.reason != reports.SUCCESS:
            logs = JobLogs.read(log, rule_logs)
            maker = partial(self._maker, outcomes.undeclared)
            reason = reason_of(report, self.layout.workdir, logs, maker)
            return outcomes.failure(job, reason, logs, report)
        # The report counts, not the disk: a file there may be left from an earlier run.
        returned = {item.member.name for item in report.returned} - set(taken.not_replaced)
        missing = [
            output.name.partition("/")[2]
            for output in job.spec.outputs
            if output.required and output.kind != "grid" and output.name not in returned
        ]
        if missing:
            reason = f"it reported success, but did not return {listed(missing)}"
            return outcomes.failure(job, reason, JobLogs.read(log, rule_logs), report)
        if queries := [one.query for one in job.spec.grid_outputs]:
            self.catalog.forget_locations(queries)  # older files could perhaps not be removed
        if problem := self.grid_files.confirm(job.spec, report):
            return outcomes.failure(job, problem, JobLogs.read(log, rule_logs), report)
        self._touch_placeholders(job.spec)
        if hidden := self._hidden(job.spec):
            reason = (
                f"it returned {listed(hidden)}, but this path does not exist here: a link that "
                "leads nowhere, or a file in the place of a folder that the path leads through"
            )
            return outcomes.failure(job, reason, JobLogs.read(log, rule_logs), report)
        return outcomes.success(job, report, rule_logs)

    def _rule_logs(self, report: Report) -> dict[str, Path]:
        """Return the rule's own logs that came back, by their paths from the working directory."""
        paths = [
            self.layout.local(item.member.name) for item in report.returned if item.kind == "log"
        ]
        return {os.path.relpath(path, self.layout.workdir): path for path in paths}

    def _maker(self, undeclared: UndeclaredFiles, path: str) -> str:
        """Return the job that left a file undeclared, empty if none is known."""
        with contextlib.suppress(GridError):  # of another place, or the journal cannot be read
            return undeclared.maker(self.layout.member(path))
        return ""

    def _install(self, job: TrackedJob, report: Report) -> Installed:
        # Failed jobs return outputs, too, with --keep-incomplete.
        if any(item.kind == "output" for item in report.returned):
            times = report.times
            ran = times.get("staging out", 0.0) - times.get("running", 0.0)
            self.announce(job.name, job.grid_id or "", max(0.0, ran))
        folder = self.incoming(job)
        taken = install_outputs(
            job.spec,
            report,
            self.layout,
            lambda digest: self._fetch(job, digest, report.blobs[digest]),
            folder,
            self.compression,
            undeclared=job.plan.fetch_undeclared,
        )
        self.catalog.note(taken.digests)
        # Large files that are inputs of other jobs: these read them from the store.
        self.store.keep(
            job.spec.name,
            {
                item.blob
                for item in report.returned
                if item.raw
                and below(item.member.name, job.spec.consumed)
                and not path_below(folder / DELIVERY_FOLDER, item.blob).exists()
            },
        )
        self._tell(job, report, taken)
        return taken

    def _hidden(self, spec: JobSpec) -> list[str]:
        """Make the folders that paths of the job lead through; return outputs not found then.

        Snakemake ends the whole run if it does not find an output under the path that it knows.
        """
        for name in spec.folders:
            with contextlib.suppress(FileExistsError, NotADirectoryError):  # the outputs tell
                self.layout.local(name).mkdir(parents=True, exist_ok=True)
        workdir = self.layout.workdir
        # By the same function as Snakemake, which raises no error.
        return [path for path in spec.awaited if not os.path.exists(workdir / path)]  # noqa: PTH110

    def _touch_placeholders(self, spec: JobSpec) -> None:
        """Make files that Snakemake waits for in order to delete them."""
        for name in spec.placeholders:
            path = self.layout.local(name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def _keep_log(self, spec: JobSpec, folder: Path) -> Path | None:
        source = folder / LOG_FILE
        target = log_file(self.folder, spec.name)
        if is_regular(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        return target if target.exists() else None  # it may be there from an earlier try

    def _fetch(self, job: TrackedJob, digest: str, size: int) -> Path:
        """Return a blob, which is beside the report or was delivered to the store."""
        beside = path_below(self.incoming(job) / DELIVERY_FOLDER, digest)
        return (
            beside if is_regular(beside) else self.store.fetch_output(job.spec.name, digest, size)
        )

    def _tell(self, job: TrackedJob, report: Report, taken: Installed) -> None:
        title = job.spec.title
        if report.undeclared and report.reason == reports.SUCCESS:
            shown = listed([name.partition("/")[2] for name in report.undeclared])
            fetched = job.plan.fetch_undeclared
            where = "came back as well" if fetched else "stayed on the worker"
            self.say(
                f"{title}: {report.undeclared_count} new file(s) that no rule names {where}: "
                f"{shown}"
            )
        if report.left_out:
            left_out = [text.removeprefix(f"{WORK}/") for text in report.left_out]
            self.say(f"{title}: left out: {listed(left_out)}")
        if taken.not_replaced:
            self.say(
                f"{title}: not replaced, as they exist here already: {listed(taken.not_replaced)}"
            )
        if taken.extra:
            self.say(f"{title}: ignored, as the report does not list them: {listed(taken.extra)}")


def _check_size(job: TrackedJob, report: Report) -> None:
    """Raise an error if the outputs are larger than the user allows, whatever the worker did."""
    limit, size = job.plan.output_limit, sum(item.stored for item in report.returned)
    if limit is not None and size > limit:
        raise GridError(
            f"the outputs of {job.spec.title} take {file_size(size)}, more than the limit of "
            f"{file_size(limit)}; see --grid-output-limit and the resource grid_output_limit"
        )
    # Where there is no limit, the blobs still cannot be larger than the files in them.
    held, most = sum(report.blobs.values()), most_bytes(item.member for item in report.returned)
    if held > most + (most >> 8):  # some data grows when it is compressed
        raise OutputDamagedError(
            f"output damaged: the job's report lists {file_size(size)} of files, but they would "
            f"take {file_size(held)} of download"
        )
