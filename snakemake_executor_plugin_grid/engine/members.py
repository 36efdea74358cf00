"""Makes the backends of a run, each with a controller and all that this uses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backends.registry import for_backend, make_backend, member_folder
from ..grid_data.files import GridFiles
from ..journal.catalog import Catalog
from ..journal.database import Database
from ..journal.writer import Journal
from ..model.backend_names import backend_names
from ..resilience.clock import SYSTEM_CLOCK
from ..settings.options import ExecutorSettings
from ..snakemake_api.polling import wanted_pause
from ..staging.paths import Layout
from ..staging.upload import Upload
from .backend_choice import Member
from .context import RunContext
from .controller import Controller
from .multi_controller import AnyController, MultiController, named
from .outputs import Announce, Outputs
from .payloads import Payloads

_DETACHED_PAUSE = 10.0


@dataclass
class Members:
    """The backends of a run.

    Attributes:
        workflow: Snakemake's workflow.
        layout: Of the submit host.
        folder: This package's own, below the working directory.
        database: Of the workflow.
        catalog: Knows what is in stores.
        pool: Threads that pack and upload.
        grid_files: Knows the files that stay on the grid.
        worker: The worker program.
        run_id: Unique id of the run.
        announce: Called before outputs of a job are replaced.
        say: Shows a line to the user.
        journals: One for each backend that was made.
        uploads: One for each backend that was made.
    """

    workflow: Any
    layout: Layout
    folder: Path
    database: Database
    catalog: Catalog
    pool: ThreadPoolExecutor
    grid_files: GridFiles
    worker: Path
    run_id: str
    announce: Announce
    say: Callable[[str], None]
    journals: list[Journal] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)

    def make(self) -> tuple[AnyController, RunContext]:
        """Make all backends; no server is asked yet.

        Returns:
            What follows the jobs, and the context of the run as a whole.

        Raises:
            GridError: A store cannot be opened.
        """
        settings: ExecutorSettings = self.workflow.executor_settings
        self._attempts = Journal(self.database, self.run_id, settings.backend).grid_attempts()
        names = backend_names(settings.backend)
        if len(names) == 1:
            only, context = self._make(for_backend(settings, names[0]), self.folder, self.say, None)
            return only.controller, context
        troubles: dict[str, str] = {}
        made = [
            self._make(
                for_backend(settings, name),
                member_folder(self.folder, name) if number else self.folder,
                _naming(self.say, name),
                troubles,
            )
            for number, name in enumerate(names)
        ]
        first = made[0][1]
        journal = Journal(self.database, self.run_id, ",".join(names))
        context = RunContext(
            *(first.backend, first.stores, journal, first.outages, first.clock, self.say)
        )
        return MultiController([member for member, _ in made], self.say), context

    def _make(
        self,
        settings: ExecutorSettings,
        folder: Path,
        say: Callable[[str], None],
        troubles: dict[str, str] | None,
    ) -> tuple[Member, RunContext]:
        workflow, layout, grid_files = self.workflow, self.layout, self.grid_files
        setup = make_backend(settings, layout.workdir, folder, self.database, self.catalog, say)
        backend, stores = setup.backend, setup.stores
        journal = Journal(self.database, self.run_id, backend.name, troubles)
        keep_incomplete = bool(workflow.execution_settings.keep_incomplete)
        large_file, compression = settings.large_file, settings.compression
        upload = Upload(
            layout,
            stores.inputs,
            self.catalog,
            self.pool,
            large_file=large_file,
            compression=compression,
        )
        longest_pause = wanted_pause(workflow.remote_execution_settings)
        if settings.detach:  # such a run ends when each job has been asked for
            longest_pause = min(longest_pause, _DETACHED_PAUSE)
        context = RunContext(backend, stores, journal, setup.outages, SYSTEM_CLOCK, say)
        controller = Controller(
            context,
            upload,
            Payloads(
                backend=backend,
                stores=stores,
                layout=layout,
                upload=upload,
                worker=self.worker,
                keep_incomplete=keep_incomplete,
                large_file=large_file,
                compression=compression,
                attempts=self._attempts,
                outputs_now=grid_files.outputs_now,
            ),
            Outputs(
                *(stores.results, self.catalog, layout, self.folder, compression),
                *(self.announce, say),
                grid_files=grid_files,
            ),
            lost_limit=settings.lost_limit,
            avoid_limit=settings.avoid_limit,
            retries=settings.infrastructure_retries,
            longest_pause=longest_pause,
        )
        self.journals.append(journal)
        self.uploads.append(upload)
        return Member(backend, controller), context


def _naming(say: Callable[[str], None], backend: str) -> Callable[[str], None]:
    """Let each line begin with the name of the backend."""
    return lambda text: say(named(backend, text))
