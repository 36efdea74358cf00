"""Puts a run together from the options and the workflow."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..backends.registry import make_backend
from ..console import error_log, progress
from ..grid_data.files import GridFiles
from ..journal.backups import Backups
from ..journal.catalog import Catalog
from ..journal.database import FOLDER, open_database
from ..journal.lock import lock_folder
from ..journal.writer import Journal
from ..model.errors import GridError
from ..model.untrusted import printable_lines
from ..planning.deciding import make_deciding
from ..planning.fingerprint import Fingerprints
from ..planning.path_check import PathCheck
from ..planning.planner import Planner
from ..resilience.clock import SYSTEM_CLOCK
from ..settings.options import ExecutorSettings
from ..snakemake_api.deciding.scripts.shim import for_worker as stand_in
from ..snakemake_api.grid_files import plugin_files
from ..snakemake_api.polling import wanted_pause
from ..snakemake_api.scheduler import SchedulerApi
from ..snakemake_api.workflow import WorkflowApi
from ..staging.paths import Layout
from ..staging.upload import Upload
from ..staging.worker_zip import write_worker
from .context import RunContext
from .controller import Controller
from .output_backups import OutputBackups
from .outputs import Announce, Outputs
from .payloads import Payloads
from .preparation import Preparation
from .wheels import WheelShipper

_DETACHED_PAUSE = 10.0


class Run:
    """One run of the executor, and everything that it uses.

    Attributes:
        workflow_api: Snakemake's workflow.
        scheduler_api: Snakemake's scheduler.
        backend: Runs the jobs.
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
        setup = make_backend(settings, layout.workdir, folder, self._database, catalog, say)
        self.backend, stores = setup.backend, setup.stores
        self.say = say
        worker = _empty_folder(folder)
        self._journal = Journal(self._database, run_id, self.backend.name)
        self._progress = progress.show(say, logger)
        self._pool = ThreadPoolExecutor(settings.staging_threads, thread_name_prefix="staging")
        grid_files = GridFiles(layout)
        large_file, compression = settings.large_file, settings.compression
        self._upload = Upload(
            layout,
            stores.inputs,
            catalog,
            self._pool,
            large_file=large_file,
            compression=compression,
        )
        longest_pause = wanted_pause(workflow.remote_execution_settings)
        if settings.detach:  # such a run ends when each job has been asked for
            longest_pause = min(longest_pause, _DETACHED_PAUSE)
        context = RunContext(self.backend, stores, self._journal, setup.outages, SYSTEM_CLOCK, say)
        self.controller = Controller(
            context,
            self._upload,
            Payloads(
                backend=self.backend,
                stores=stores,
                layout=layout,
                upload=self._upload,
                worker=worker,
                keep_incomplete=keep_incomplete,
                large_file=large_file,
                compression=compression,
                attempts=self._journal.grid_attempts(),
                outputs_now=grid_files.outputs_now,
            ),
            Outputs(
                *(stores.results, catalog, layout, folder, compression, announce, say),
                grid_files=grid_files,
            ),
            lost_limit=settings.lost_limit,
            avoid_limit=settings.avoid_limit,
            retries=settings.infrastructure_retries,
            longest_pause=longest_pause,
        )
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
        fingerprints = Fingerprints(workflow, layout.workdir, (stores.url, compression))
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
            traffic = self._upload.traffic
            with contextlib.suppress(GridError):  # a full disk: only `snakemake-grid` shows this
                self.left_open = self._journal.on_the_grid()
                self._journal.end_run(end, traffic.stored_bytes, traffic.spared_bytes).wait()
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
