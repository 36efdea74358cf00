"""What is done once in a run: checks, jobs of earlier runs, source files."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ..console.format import file_size, listed
from ..journal.backups import Backups
from ..journal.database import FOLDER
from ..model.errors import FileChangedError, GridError
from ..planning import sources
from ..planning.config_copies import with_copies
from ..planning.deciding import Deciding
from ..planning.path_check import PathCheck
from ..planning.placeholders import collect, write_listing
from ..settings.options import ExecutorSettings
from ..settings.serialize import to_json
from ..snakemake_api import files_read
from ..snakemake_api.incomplete import marked_incomplete
from ..snakemake_api.workflow import WorkflowApi, names
from ..staging.paths import Layout, OutsideError
from ..worker.environment import STORE_TOKEN
from .context import RunContext
from .multi_controller import AnyController

_TRIES = 10
_PAUSE = 0.2  # seconds


class Preparation:
    """Prepares a run, and knows what earlier runs have left to its jobs."""

    def __init__(
        self,
        workflow: Any,
        workflow_api: WorkflowApi,
        parsed: Mapping[str, bool],
        layout: Layout,
        context: RunContext,
        controller: AnyController,
        backups: Backups,
        path_check: PathCheck,
        deciding: Deciding,
    ) -> None:
        """Store the arguments; ``prepare`` does the work.

        Args:
            workflow: Snakemake's workflow.
            workflow_api: The view of it.
            parsed: Files that were read while the workflow was parsed.
            layout: Of the submit host.
            context: Of the run.
            controller: Asks the backend.
            backups: Of files that jobs of earlier runs were updating.
            path_check: Knows which paths cannot work.
            deciding: Knows which jobs will be decided.
        """
        self._workflow = workflow
        self._workflow_api = workflow_api
        self._settings: ExecutorSettings = workflow.executor_settings
        self._parsed = parsed
        self._layout = layout
        self._context = context
        self._controller = controller
        self._backups = backups
        self._path_check = path_check
        self._deciding = deciding
        self._spelled: dict[str, set[str]] = {}
        self._done = self._sent = False

    def prepare(self) -> None:
        """Check the backend and what earlier runs have left; the first time only.

        Raises:
            GridError: It cannot be done: says what to do.
        """
        if self._done:
            return
        controller = self._controller
        self._backups.recover()
        self._context.journal.begin_run(self._context.stores.url, to_json(self._settings)).wait()
        controller.call(controller.check())
        self._spelled = self._spellings(self._workflow_api.awaited())
        controller.call(controller.recovery.tell_unreached())
        controller.call(controller.recovery.settle(set(self._spelled), self._is_incomplete))
        self._check_paths()
        if self._settings.include:
            included = sources.collect_included(self._layout, sources.filters_of(self._settings))
            for warning in _warnings(included):
                self._context.say(warning)
            controller.call(controller.send(included.entries, included=True))
        self._done = True

    def send_sources(self) -> None:
        """Store the sources of the workflow, for jobs that run Snakemake; the first time only.

        Other programs may write to the folders of the workflow: a database has a journal for some
        milliseconds, a log grows. If files change while they are stored, all are collected again.

        Raises:
            GridError: They cannot be found or stored.
        """
        if self._sent:
            return
        for others in reversed(range(_TRIES)):
            try:
                warnings = self._send_sources()
                break
            except FileChangedError:
                if not others:
                    raise
                time.sleep(_PAUSE)
        for warning in warnings:
            self._context.say(warning)
        self._sent = True

    def _send_sources(self) -> list[str]:
        """Collect and store the sources; return the warnings for the user."""
        found = self._collect_sources()
        copies = self._workflow_api.config_paths.copies
        folder = self._layout.workdir / FOLDER / "config"
        entries = with_copies(found.entries, copies, self._layout, folder)
        listed_names = collect(
            self._layout, files_read.listed(), self._workflow_api.source_folders(), entries
        )
        listing = write_listing(listed_names, folder)
        self._controller.call(self._controller.send(entries, listing))
        return [*_warnings(found), *filter(None, [listed_names.warning])]

    def environment(self) -> dict[str, str]:
        """Return the variables that every job gets; they may be secrets.

        Raises:
            GridError: The token of the store cannot be read.
        """
        environment = dict(self._workflow_api.environment())
        token = self._settings.store_token
        if token is not None:
            try:
                environment[STORE_TOKEN] = token.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise GridError(f"--grid-store-token {token}: cannot be read: {error}") from error
        return environment

    def attempt(self, job: Any) -> int:
        """Return the attempt of a job that an earlier run has left on the grid; 1 if none has."""
        outputs = self._members(
            path for member in self._workflow_api.members(job) for path in names(member.output)
        )
        text = json.dumps(self._workflow_api.wildcards(job))
        return self._controller.recovery.attempt(sorted(outputs), job.name, text)

    def _check_paths(self) -> None:
        """Raise an error if a job has a path that cannot work; say it with --keep-going."""
        problems = self._path_check.check_all(
            (job, self._deciding.expects(job)) for job in self._workflow_api.needed_jobs()
        )
        if not problems:
            return
        if not self._workflow.execution_settings.keep_going:
            raise GridError("\n".join(problems))
        for problem in problems:
            self._context.say(problem)

    def _collect_sources(self) -> sources.Sources:
        workflow_api = self._workflow_api
        declared, warning = workflow_api.declared_sources()
        origin = sources.WorkflowFiles(
            declared=declared,
            parsed={**self._parsed, **dict.fromkeys(workflow_api.scripts(), True)},
            folders=workflow_api.source_folders(),
            products=self._members(workflow_api.products()),
            inputs=self._members(workflow_api.inputs()),
        )
        found = sources.collect(self._layout, origin, sources.filters_of(self._settings))
        if warning:
            found.warnings.append(warning)
        return found

    def _is_incomplete(self, outputs: Iterable[str]) -> bool:
        """Return whether Snakemake considers any of these outputs incomplete."""
        outputs = list(outputs)
        paths = [self._layout.local(name) for name in outputs]
        # As rules may name them.
        relative = [os.path.relpath(path, self._layout.workdir) for path in paths]
        spelled = [path for name in outputs for path in self._spelled.get(name, ())]
        return bool(marked_incomplete(self._workflow, [*relative, *map(str, paths), *spelled]))

    def _members(self, paths: Iterable[str]) -> set[str]:
        return set(self._spellings(paths))

    def _spellings(self, paths: Iterable[str]) -> dict[str, set[str]]:
        """Return paths by their archive names."""
        spellings: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            with contextlib.suppress(OutsideError):
                spellings[self._layout.member(path)].add(path)
        return spellings


def _warnings(found: sources.Sources) -> list[str]:
    if not found.left_out:
        return found.warnings
    shown = listed([f"{path} ({file_size(size)})" for path, size in found.left_out])
    return [
        *found.warnings,
        f"not sent with every job, because of their size: {shown}. A job still gets the inputs "
        "that it names; add other files by --grid-include.",
    ]
