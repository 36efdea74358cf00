"""Puts a run together from the options and the workflow."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..console import error_log, progress
from ..grid_data.files import GridFiles
from ..journal.backups import Backups
from ..journal.catalog import Catalog
from ..journal.database import FOLDER, open_database
from ..journal.lock import lock_folder
from ..model.errors import GridError
from ..model.untrusted import printable_lines
from ..planning.deciding import make_deciding
from ..planning.fingerprint import Fingerprints
from ..planning.path_check import PathCheck
from ..planning.planner import Planner
from ..settings.options import ExecutorSettings
from ..snakemake_api.deciding.scripts.shim import for_worker as stand_in
from ..snakemake_api.grid_files import plugin_files
from ..snakemake_api.scheduler import SchedulerApi
from ..snakemake_api.workflow import WorkflowApi
from ..staging.paths import Layout
from ..staging.worker_zip import write_worker
from .members import Members
from .output_backups import OutputBackups
from .outputs import Announce
from .preparation import Preparation
from .wheels import WheelShipper


class Run:
    """One run of the executor, and everything that it uses.

    Attributes:
        workflow_api: Snakemake's workflow.
        scheduler_api: Snakemake's scheduler.
        controller: Follows the jobs.
        planner: Turns Snakemake's jobs into plans.
        preparation: Must be made before the first job.
        output_backups: Backs up outputs that Snakemake deletes when a job fails.
        say: Shows a line to the user.
        left_open: How many jobs are on the grid at the end of the run.
    """

    def __init__(
        self,
        workflow: Any,
        parsed: Mapping[str, bool],
        run_id: str,
        say: Callable[[str], None],
        announce: Announce,
        logger: Any,
    ) -> None:
        """Make everything; no server is asked yet.

        Args:
            workflow: Snakemake's workflow.
            parsed: Files that were read while the workflow was parsed.
            run_id: Unique id of the run.
            say: Shows a line to the user.
            announce: Called before outputs of a job are replaced.
            logger: Snakemake's, which shares the terminal with progress bars.

        Raises:
            GridError: The working directory cannot be written, or a store cannot be opened.
        """
        say = clean(say)
        settings: ExecutorSettings = workflow.executor_settings
        layout = Layout(Path.cwd())
        folder = layout.workdir / FOLDER
        keep_incomplete = bool(workflow.execution_settings.keep_incomplete)
        self.left_open = 0
        self._lock = lock_folder(folder)
        if self._lock.warning:
            say(self._lock.warning)
        self._log = contextlib.ExitStack()
        self._log.enter_context(error_log.opened(folder))
        self._database = open_database(folder)
        self._catalog = catalog = Catalog(self._database)
        self.say = say
        worker = _empty_folder(folder)
        self._progress = progress.show(say, logger)
        self._pool = ThreadPoolExecutor(settings.staging_threads, thread_name_prefix="staging")
        grid_files = GridFiles(layout)
        self._members = Members(
            *(workflow, layout, folder, self._database, catalog, self._pool),
            *(grid_files, worker, run_id, announce, say),
        )
        self.controller, context = self._members.make()
        self._journal = context.journal
        self.workflow_api = WorkflowApi(workflow, layout.on_worker)
        path_check = PathCheck(layout, self.workflow_api, parsed)
        deciding = make_deciding(workflow, self.workflow_api, layout, say)
        self.scheduler_api = SchedulerApi(workflow)
        backups = Backups(folder / "backups", self._database)
        self.output_backups = OutputBackups(
            self.workflow_api, layout.workdir, backups, enabled=not keep_incomplete
        )
        self.preparation = Preparation(
            *(workflow, self.workflow_api, parsed, layout, context),
            *(self.controller, backups, path_check, deciding),
        )
        shipper = WheelShipper(settings, self.workflow_api, self.controller, folder, say)
        fingerprints = Fingerprints(
            workflow, layout.workdir, (context.stores.url, settings.compression)
        )
        self.planner = Planner(
            settings,
            self.workflow_api,
            layout,
            path_check,
            deciding,
            shipper.ship,
            say,
            grid_files,
            fingerprints,
        )

    def close(self, end: str, give_up: Callable[[], bool]) -> None:
        """Close everything.

        Args:
            end: How the run has ended, for ``Journal.end_run``.
            give_up: Returns whether the user wants to stop waiting.
        """
        try:
            finished = self.controller.close(give_up)
            self._pool.shutdown(wait=finished, cancel_futures=True)
            self._progress.close()
            traffic = [upload.traffic for upload in self._members.uploads]
            with contextlib.suppress(GridError):  # a full disk: only `snakemake-grid` shows this
                self.left_open = sum(one.on_the_grid() for one in self._members.journals)
                stored = sum(one.stored_bytes for one in traffic)
                spared = sum(one.spared_bytes for one in traffic)
                self._journal.end_run(end, stored, spared).wait()
                self._catalog.prune()
                self._journal.prune()
            self._database.close()
        finally:
            self._log.close()
            self._lock.close()


def _empty_folder(folder: Path) -> Path:
    """Remove files of an earlier run; write the worker program and return its path."""
    worker = folder / "worker.pyz"
    try:
        write_worker(worker, {**stand_in(), **plugin_files()})
        for name in ("incoming", "config"):
            shutil.rmtree(folder / name, ignore_errors=True)
    except OSError as error:
        raise GridError(f"{folder}: {error.strerror}") from error
    return worker


def clean(say: Callable[[str], None]) -> Callable[[str], None]:
    """Remove what a terminal would obey: names and reasons come from workers and servers."""
    return lambda text: say(printable_lines(text))
