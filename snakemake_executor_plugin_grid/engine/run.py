"""Puts a run together: options and workflow in, controller and its parts out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..backends.registry import make_backend
from ..console import progress
from ..journal.backups import Backups
from ..journal.catalog import Catalog
from ..journal.database import DATABASE_FILE, FOLDER, Database
from ..journal.lock import lock_folder
from ..journal.writer import Journal
from ..model.errors import GridError
from ..planning import sources
from ..planning.fingerprint import Fingerprints
from ..planning.planner import Planner
from ..settings.options import ExecutorSettings
from ..settings.serialize import to_json
from ..snakemake_api.incomplete import marked_incomplete
from ..snakemake_api.scheduler import SchedulerApi
from ..snakemake_api.workflow import WorkflowApi, is_flagged, is_local_file, names
from ..staging.paths import Layout, OutsideError
from ..staging.secret_files import secret_files
from ..staging.upload import Upload
from ..staging.worker_zip import write_worker
from ..worker.description import Blob
from ..worker.environment import STORE_TOKEN
from ..worker.runtime import Runtime
from .context import Parts
from .controller import Controller
from .landing import Landing

_SHOWN = 10


class Run:
    """One run of the executor: all that is behind it.

    Attributes:
        workflow_api: Snakemake's workflow.
        scheduler_api: Snakemake's scheduler.
        backend: Runs the jobs.
        controller: Carries them through.
        planner: Turns Snakemake's jobs into plans.
        left_open: How many jobs are on the grid at the end of the run.
    """

    def __init__(
        self,
        workflow: Any,
        parsed: Mapping[str, bool],
        run_id: str,
        say: Callable[[str], None],
        announce: Callable[[str, str, float], None],
        logger: Any,
    ) -> None:
        """Put the parts together; nothing is started yet.

        Args:
            workflow: Snakemake's workflow.
            parsed: What parsing read.
            run_id: Unique id of the run.
            say: Shows a line to the user.
            announce: Hears that outputs of a job are about to be moved into place, see ``Landing``.
            logger: Snakemake's, which shares the terminal with progress bars.

        Raises:
            GridError: The working directory cannot be written, or a store cannot be opened.
        """
        settings: ExecutorSettings = workflow.executor_settings
        self._settings = settings
        self._workflow = workflow
        self._parsed = parsed
        self._say = say
        self._keep_incomplete = bool(workflow.execution_settings.keep_incomplete)
        self._sent = False
        self._runtimes: dict[tuple[str, ...], Blob] = {}
        self._layout = layout = Layout(Path.cwd())
        folder = layout.workdir / FOLDER
        self._folder = folder
        self._lock = lock_folder(folder)
        self.left_open = 0
        self.workflow_api = WorkflowApi(workflow)
        self.scheduler_api = SchedulerApi(workflow)
        self._database = Database(folder / DATABASE_FILE)
        catalog = Catalog(self._database)
        setup = make_backend(settings, layout.workdir, folder, self._database, catalog, say)
        self.backend, stores = setup.backend, setup.stores
        self._journal = journal = Journal(self._database, run_id, self.backend.name)
        pool = ThreadPoolExecutor(settings.staging_threads, thread_name_prefix="staging")
        self._updates = Backups(folder / "aside", journal)
        try:
            write_worker(folder / "worker.pyz")
            shutil.rmtree(folder / "incoming", ignore_errors=True)
        except OSError as error:
            raise GridError(f"{folder}: {error.strerror}") from error
        self._progress = progress.show(say, logger)
        self._upload = Upload(
            layout,
            stores.inputs,
            catalog,
            pool,
            large_file=settings.large_file,
            compression=settings.compression,
        )
        self._store_url = stores.url
        self.controller = Controller(
            Parts(
                backend=self.backend,
                stores=stores,
                journal=journal,
                layout=layout,
                upload=self._upload,
                landing=Landing(
                    self.backend.name,
                    stores.results,
                    journal,
                    catalog,
                    layout,
                    folder,
                    settings.compression,
                    say,
                    self.backend.monitor_url,
                    announce,
                ),
                pool=pool,
                worker=folder / "worker.pyz",
                folder=folder,
                keep_incomplete=self._keep_incomplete,
                large_file=settings.large_file,
                compression=settings.compression,
                lost_limit=settings.lost_limit,
                retries=settings.infrastructure_retries,
                outages=setup.outages,
                say=say,
            )
        )
        fingerprints = Fingerprints(workflow, layout.workdir, (stores.url, settings.compression))
        self.planner = Planner(
            settings, self.workflow_api, layout, self._ship_runtime, say, fingerprints
        )

    def prepare(self) -> None:
        """Check the backend, and store what every job needs; the first time only.

        Raises:
            GridError: It cannot be done: says what to do.
        """
        if self._sent:
            return
        self._updates.recover()
        self._journal.begin_run(self._store_url, to_json(self._settings))
        self.controller.call(self.controller.check())
        needed = self._members(self.workflow_api.awaited())
        self.controller.call(self.controller.recovery.settle(needed, self._marked))
        found = self._collect_sources()
        for warning in found.warnings:
            self._say(warning)
        if found.left_out:
            shown = ", ".join(
                f"{path} ({size / 1e6:.1f} MB)" for path, size in found.left_out[:_SHOWN]
            )
            more = len(found.left_out) - _SHOWN
            self._say(
                f"left out of what every job gets, for their size: {shown}"
                f"{f' and {more} more' if more > 0 else ''}. Inputs travel with the jobs that name "
                "them; name others that jobs read by --grid-include."
            )
        self.controller.call(self.controller.send_sources(found))
        self._sent = True

    def environment(self) -> dict[str, str]:
        """Return the values that every job gets; they may be secrets.

        Raises:
            GridError: The token of the store cannot be read.
        """
        environment = dict(self.workflow_api.environment())
        token = self._settings.store_token
        if token is not None:
            try:
                environment[STORE_TOKEN] = token.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise GridError(f"--grid-store-token {token}: cannot be read: {error}") from error
        return environment

    def keep_outputs(self, job: Any, *, never_ran: bool) -> None:
        """Keep what Snakemake is about to delete, though the failed job has not spoilt it.

        Args:
            job: The job.
            never_ran: Whether it has not even been submitted, so that all its old outputs are as
                they were; else those that it updates in place.
        """
        if not self._keep_incomplete:
            self._updates.keep(self._outputs(job, only_updated=not never_ran))

    def restore_outputs(self, job: Any) -> None:
        """Put them back."""
        self._updates.restore(self._outputs(job))

    def _marked(self, outputs: Iterable[str]) -> bool:
        """Return whether Snakemake takes any of these outputs for incomplete."""
        paths = [self._layout.local(name) for name in outputs]
        # As rules may name them.
        relative = [os.path.relpath(path, self._layout.workdir) for path in paths]
        return bool(marked_incomplete(self._workflow, [*relative, *map(str, paths)]))

    def attempt(self, job: Any) -> int:
        """Return at which attempt a job is that an earlier run has left; 1 if none has."""
        outputs = self._members(
            path for member in self.workflow_api.members(job) for path in names(member.output)
        )
        wildcards = {} if job.is_group() else job.wildcards_dict
        text = json.dumps({key: str(value) for key, value in wildcards.items()})
        return self.controller.recovery.attempt(sorted(outputs), job.name, text)

    def close(self, end: str, give_up: Callable[[], bool]) -> None:
        """Close everything.

        Args:
            end: How the run has ended, for ``Journal.end_run``.
            give_up: Whether the user does not want to wait any longer.
        """
        self.controller.close(give_up)
        self._progress.close()
        traffic = self._upload.traffic
        with contextlib.suppress(GridError):  # a full disk: it is for people only
            self.left_open = self._journal.open_jobs()
            self._journal.end_run(end, traffic.stored_bytes, traffic.spared_bytes)
        self._database.close()
        self._lock.close()

    def _collect_sources(self) -> sources.Sources:
        settings = self._settings
        declared, warning = self.workflow_api.declared_sources()
        origin = sources.Origin(
            declared=declared,
            parsed={**self._parsed, **dict.fromkeys(self.workflow_api.scripts(), True)},
            folders=self.workflow_api.source_folders(),
            products=self._members(self.workflow_api.products()),
            inputs=self._members(self.workflow_api.inputs()),
        )
        rules = sources.Rules(
            include=tuple(settings.include),
            exclude=tuple(settings.exclude),
            file_limit=settings.source_file_limit,
            total_limit=settings.source_limit,
            secrets=secret_files(os.environ, settings.store_token),
        )
        found = sources.collect(self._layout, origin, rules)
        if warning:
            found.warnings.append(warning)
        return found

    def _members(self, paths: Iterable[str]) -> set[str]:
        members = set()
        for path in paths:
            try:
                members.add(self._layout.member(path))
            except OutsideError:
                continue
        return members

    def _outputs(self, job: Any, *, only_updated: bool = False) -> list[Path]:
        """Return the outputs of a job, wherever they are."""
        return [
            self._layout.workdir / str(path)
            for member in self.workflow_api.members(job)
            for path in member.output
            if is_local_file(path) and (not only_updated or is_flagged(path, "update"))
        ]

    def _ship_runtime(self, runtime: Runtime) -> Blob:
        """Store Snakemake and its needs for a version of Python; once per run.

        Behind a checkpoint the workflow may use more storage plugins than before.
        """
        plugins = self.workflow_api.storage_plugins()
        key = (runtime.python, *plugins)
        if key not in self._runtimes:
            from ..staging.wheels import WheelsSpec, build, default_packages

            settings = self._settings
            spec = WheelsSpec(
                python=runtime.python,
                platform=settings.runtime_platform or "",
                packages=default_packages(settings.runtime_packages, plugins),
            )
            folder = build(spec, self._folder / "runtime", progress=self._say)
            self._runtimes[key] = self.controller.call(self.controller.send_runtime(folder))
        return self._runtimes[key]
