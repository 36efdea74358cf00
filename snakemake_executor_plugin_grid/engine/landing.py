"""The end of a job's way: its report decides, its outputs are checked and moved into place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ..console import failures as messages
from ..console.progress import transfer
from ..journal.catalog import Catalog
from ..journal.writer import Journal, Phase
from ..model.errors import GridError
from ..model.job import JobSpec, log_file
from ..model.state import JobState
from ..model.tracked import Outcome, TrackedJob
from ..staging.download import Taken, install_outputs
from ..staging.paths import Layout
from ..stores import ResultStore
from ..worker import report as reports
from ..worker.description import DELIVERY_FOLDER, LOG_FILE, REPORT_FILE
from ..worker.report import Report
from ..worker.tree import below


class Landing:
    """Takes in what jobs bring back. Its methods block: they run in the staging threads."""

    def __init__(
        self,
        backend: str,
        store: ResultStore,
        journal: Journal,
        catalog: Catalog,
        layout: Layout,
        folder: Path,
        compression: str,
        say: Callable[[str], None],
        monitor_url: Callable[[str], str] = lambda _: "",
        announce: Callable[[str, str, float], None] = lambda *_: None,
    ) -> None:
        """Know where things are.

        Args:
            backend: Name of the backend, for messages.
            store: Where the outputs are.
            journal: Where the end is noted.
            catalog: Learns the digests of large outputs.
            layout: Of the submit host.
            folder: Of this package below the working directory.
            compression: Of tarballs.
            say: Shows a line to the user.
            monitor_url: Returns the URL of a job, by its id on the grid; nothing if it has none.
            announce: Hears that outputs of a job are about to be moved into place: the name that
                this run knows it by, its id on the grid, and the seconds that it ran.
        """
        self._monitor_url = monitor_url
        self._announce = announce
        self._backend = backend
        self._store = store
        self._journal = journal
        self._catalog = catalog
        self._layout = layout
        self._folder = folder
        self._compression = compression
        self._say = say

    def fetch(self, job: TrackedJob, folder: Path) -> None:
        """Make sure that what the report lists is at hand; may be repeated when a server fails.

        Raises:
            GridError: Something is not there.
        """
        try:
            report = reports.load(folder / REPORT_FILE)
        except (FileNotFoundError, ValueError):
            return  # land() says so
        files = {item.blob: item.member.name for item in report.returned if item.raw}
        for digest, size in report.blobs.items():
            name = files.get(digest, "").partition("/")[2]
            with transfer(name or f"outputs of {job.spec.title}", size, up=False):
                self._fetch(job.spec.name, folder, digest)

    def land(self, job: TrackedJob, folder: Path) -> Outcome:
        """Read the report and take in what it lists; may be repeated after any error.

        Args:
            job: The job.
            folder: Holds what the backend brought: report, log, perhaps tarballs.

        Raises:
            GridError: Outputs are damaged; nothing was moved.
            OSError: Disk full and the like.
        """
        log = self._keep_log(job.spec, folder)
        try:
            report = reports.load(folder / REPORT_FILE)
        except FileNotFoundError:
            return self.failure(job, messages.without_report(job.status), log)
        except ValueError as error:
            return self.failure(job, f"its report is damaged: {error}", log)
        if report.name != job.spec.name:
            return self.failure(job, f"its report is that of job {report.name}", log)
        # Also some outputs of a failed job, which --keep-incomplete wants.
        if any(item.kind == "output" for item in report.returned):
            times = report.times
            ran = times.get("staging out", 0.0) - times.get("running", 0.0)
            self._announce(job.name, job.grid_id or "", max(0.0, ran))
        taken = install_outputs(
            job.spec,
            report,
            self._layout,
            lambda digest: self._fetch(job.spec.name, folder, digest),
            folder,
            self._compression,
            undeclared=job.plan.fetch_undeclared,
        )
        self._catalog.note(taken.digests)
        # Large files that other jobs take serve them from the store.
        self._store.keep(
            job.spec.name,
            {
                item.blob
                for item in report.returned
                if item.raw
                and below(item.member.name, job.spec.consumed)
                and not (folder / DELIVERY_FOLDER / item.blob).exists()
            },
        )
        self._tell(job, report, taken)
        return self._judge(job, report, log)

    def failure(
        self,
        job: TrackedJob,
        reason: str,
        log: Path | None = None,
        rule_logs: Sequence[str] = (),
        report: Report | None = None,
        *,
        final: bool = True,
    ) -> Outcome:
        """Note that a job has failed, and say so in words.

        Args:
            job: The job.
            reason: Why.
            log: File with its output.
            rule_logs: Files that its rule calls logs.
            report: The job's own.
            final: Whether it has failed itself, rather than this side: then the next run takes it
                in once more.
        """
        try:
            if final:
                self._note(job.spec.name, Phase.FAILED, reason, report)
        except GridError as error:  # a full disk, most likely
            reason = f"{reason}; also {error}"
        monitor_url = self._monitor_url(job.grid_id) if job.grid_id else ""
        text = messages.failure(
            job.spec, job.grid_id, self._backend, reason, log, rule_logs, monitor_url
        )
        logs = (str(log),) if log is not None else ()
        return Outcome(
            job.name,
            success=False,
            message=text,
            logs=logs,
            grid_id=job.grid_id,
            reason=report.reason if report is not None else "",
            site=report.site if report is not None else "",
        )

    def _judge(self, job: TrackedJob, report: Report, log: Path | None) -> Outcome:
        spec = job.spec
        if report.reason != reports.SUCCESS:
            logs = [
                item.member.name.partition("/")[2] for item in report.returned if item.kind == "log"
            ]
            reason = messages.reason_of(report, self._layout.workdir, log)
            return self.failure(job, reason, log, logs, report)
        # Not by what is on disk: that may be left from an earlier run.
        brought = {item.member.name for item in report.returned}
        absent = [
            output.name.partition("/")[2]
            for output in spec.outputs
            if output.required and output.name not in brought
        ]
        if absent:
            reason = f"it reported success, but did not bring {messages.names(absent)}"
            return self.failure(job, reason, log, report=report)
        for name in spec.placeholders:
            path = self._layout.local(name)
            if not path.exists():
                # Snakemake waits for it, to delete it.
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        self._note(spec.name, Phase.OUTPUTS_INSTALLED, report.reason, report)
        if job.status.state is not JobState.DONE:
            self._say(
                f"{spec.title}: {self._backend} calls job {job.grid_id} "
                f"{job.status.state.value} ({job.status.detail or 'no reason given'}), but "
                "its report and its outputs are good: it has succeeded."
            )
        return Outcome(job.name, success=True, grid_id=job.grid_id, site=report.site)

    def _note(self, name: str, phase: Phase, detail: str, report: Report | None) -> None:
        text = None
        if report is not None:
            text = json.dumps({**vars(report), "returned": len(report.returned)})
        self._journal.ended(name, phase, detail, text)

    def _keep_log(self, spec: JobSpec, folder: Path) -> Path | None:
        source = folder / LOG_FILE
        target = log_file(self._folder, spec.name)
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        return target if target.exists() else None  # the latter when this is done once more

    def _fetch(self, name: str, folder: Path, digest: str) -> Path:
        """Return a blob that lies beside the report, or was delivered to the store."""
        beside = folder / DELIVERY_FOLDER / digest
        return beside if beside.exists() else self._store.fetch_output(name, digest)

    def _tell(self, job: TrackedJob, report: Report, taken: Taken) -> None:
        title = job.spec.title
        if report.undeclared and report.reason == reports.SUCCESS:
            shown = messages.names([name.partition("/")[2] for name in report.undeclared])
            fetched = job.plan.fetch_undeclared
            fate = "came back as well" if fetched else "stayed on the worker"
            self._say(
                f"{title}: {report.undeclared_count} new file(s) that no rule names {fate}: {shown}"
            )
        if report.left_out:
            self._say(f"{title}: left out: {messages.names(report.left_out)}")
        if taken.kept:
            self._say(
                f"{title}: not brought back, as they are here already: {messages.names(taken.kept)}"
            )
        if taken.extra:
            self._say(
                f"{title}: not taken, as the report does not name them: "
                f"{messages.names(taken.extra)}"
            )
