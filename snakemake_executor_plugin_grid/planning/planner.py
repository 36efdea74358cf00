"""Turns a Snakemake job into a plan: its command, inputs, outputs, resources and runtime."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

from ..backends.registry import known_names
from ..console.once import once
from ..grid_data.files import GridFiles
from ..model.backend_names import allowed_backends, backend_names
from ..model.bundle_size import problem_of as problem_of_bundle
from ..model.errors import GridError
from ..model.job import JobSpec, read_overrides, read_resources
from ..model.size import read_size
from ..model.tracked import Plan
from ..settings.choices import RUNTIMES, UNDECLARED
from ..settings.options import ExecutorSettings
from ..snakemake_api.compared import Comparison
from ..snakemake_api.deciding.decided import Decided
from ..snakemake_api.grid_files import answers, grid_outputs, grid_paths
from ..snakemake_api.workflow import WorkflowApi, is_flagged, names, products, staying
from ..staging.paths import Layout, OutsideError
from ..worker.description import Blob, Output
from ..worker.runtime import Runtime
from .deciding import Deciding
from .fingerprint import Fingerprints
from .path_check import PathCheck

_NOTHING: frozenset[str] = frozenset()
_OVERRIDES = {
    *("decide", "compare", "runtime", "runtime_image", "runtime_setup"),
    *("undeclared", "output_limit", "bundle", "backend"),
    *("site", "banned_sites", "tags", "platform", "job_type", "priority", "jdl"),
    *("panda_container", "panda_task"),
}


class Ship(Protocol):
    """Stores the packages of a runtime of kind ``wheels``; see `engine.wheels`."""

    def __call__(self, runtime: Runtime, *, snakemake: bool) -> Blob:
        """Return their blob."""


class Planner:
    """Makes the plans of a run, in Snakemake's main thread. Nothing is submitted or stored here.

    The one exception is ``ship``, which stores the packages of the runtime ``wheels``.
    """

    def __init__(
        self,
        settings: ExecutorSettings,
        workflow_api: WorkflowApi,
        layout: Layout,
        path_check: PathCheck,
        deciding: Deciding,
        ship: Ship,
        say: Callable[[str], None],
        grid_files: GridFiles,
        fingerprints: Fingerprints | None = None,
    ) -> None:
        """Set up the planning of a run.

        Args:
            settings: Options of the run.
            workflow_api: Snakemake's workflow.
            layout: Maps paths of the submit host to names in the archives.
            path_check: Knows which paths cannot work.
            deciding: Decides what jobs run.
            ship: Stores the packages of a runtime of kind ``wheels``, and returns their blob.
            say: Shows a line to the user.
            grid_files: Knows the files that stay on the grid.
            fingerprints: Computes fingerprints; None for a preview, which needs none.
        """
        self._fingerprints = fingerprints
        self._comparison = Comparison(layout.workdir, layout.on_worker)
        self._path_check = path_check
        self._settings = settings
        self._workflow_api = workflow_api
        self._layout = layout
        self._ship = ship
        self._say = once(say)
        self._checkpoints: list[str] = []
        self._deciding = deciding
        self._grid_files = grid_files

    def begin(self) -> None:
        """Read the current state of the DAG; called before each batch of jobs is planned."""
        if self._fingerprints is not None:
            self._fingerprints.begin()
        self._checkpoints = list(self._workflow_api.checkpoint_outputs())

    def plan(
        self, job: Any, name: str, command: Callable[[], str], environment: Mapping[str, str]
    ) -> Plan:
        """Return the plan of a Snakemake job.

        Args:
            job: Snakemake's job or group.
            name: Unique name of the grid job.
            command: Returns the shell line that runs it by Snakemake.
            environment: Variables that ``envvars:`` names, with their values.

        Raises:
            GridError: The job cannot run on the grid; the text says why.
        """
        overrides = read_overrides(job.resources.items())
        decided = self._deciding.of(job, overrides.get("decide"))
        spec = self._spec(job, name, overrides, decided)
        if decided is None:
            members = self._workflow_api.members(job)
            translated = self._workflow_api.config_paths.translated
            spec = replace(
                spec,
                command=command(),
                environment=dict(environment),
                comparison=self._comparison.expected(members, environment, translated),
                grid_answers=answers(),
            )
        else:
            spec = replace(spec, environment={**decided.environment, **environment})
        self._check_outputs(spec)
        for resource in spec.overrides.keys() - _OVERRIDES:
            self._say(f"resource grid_{resource} is unknown and is ignored.")
        if problem := problem_of_bundle(spec.overrides.get("bundle", self._settings.bundle)):
            raise GridError(f"resource grid_bundle: {problem}")
        if problem := _problem_of_backend(spec.overrides.get("backend"), self._settings.backend):
            raise GridError(f"resource grid_backend: {problem}")
        undeclared = spec.overrides.get("undeclared", self._settings.undeclared)
        if undeclared not in UNDECLARED:
            raise _unknown_value("grid_undeclared", undeclared, UNDECLARED)
        runtime = self._runtime(spec.overrides, decided=decided is not None)
        blob = self._ship(runtime, snakemake=decided is None) if runtime.kind == "wheels" else None
        identity = (
            self._fingerprints.of(job, spec, decided) if self._fingerprints is not None else ""
        )
        limit = self._output_limit(spec.overrides)
        return Plan(spec, runtime, blob, undeclared == "fetch", identity, limit)

    def _spec(
        self, job: Any, name: str, overrides: Mapping[str, str], decided: Decided | None
    ) -> JobSpec:
        """Return the specification without what the worker's Snakemake needs."""
        workflow_api = self._workflow_api
        members = workflow_api.members(job)
        updated = [
            str(path)
            for member in members
            for path in member.output
            if is_flagged(path, "update") and os.path.lexists(path)
        ]
        self._path_check.check(members, decided=decided is not None)
        # Snakemake on the worker evaluates input functions, which may look at these.
        checkpoints = self._checkpoints if decided is None else []
        inputs = tuple(
            path
            for path in dict.fromkeys([*names(job.input), *updated, *checkpoints])
            if self._may_stage(path, decided=decided is not None)
        )
        unneeded = workflow_api.unneeded_temp_files(job)
        written = [item for member in members for item in products(member)]
        grid_inputs = grid_paths(job.input)
        placeholders = () if job.is_group() else tuple(map(self._layout.member, unneeded))
        spec = JobSpec(
            name=name,
            rule=job.name,
            wildcards=tuple(workflow_api.wildcards(job).items()),
            jobid=str(job.jobid),
            attempt=job.attempt,
            command="",
            inputs=inputs,
            shared=_frozen(
                [*(path for path in inputs if workflow_api.uses(path) > 1), *checkpoints]
            ),
            outputs=tuple(self._outputs(members, written, unneeded, decided)),
            folders=self._folders([*inputs, *(path for _, path in written)]),
            awaited=tuple(path for kind, path in written if kind != "log" and path not in unneeded),
            env_modules=workflow_api.uses_env_modules(job),
            consumed=_frozen(
                self._layout.member(path)
                for member in members
                for path in names(member.output)
                if workflow_api.uses(path)
            ),
            placeholders=placeholders,
            resources=read_resources(job.threads, job.resources.items()),
            environment={},
            overrides=overrides,
            grid_inputs=self._grid_files.inputs(grid_inputs),
            grid_elements=self._grid_files.elements(grid_inputs),
            grid_outputs=self._grid_files.outputs(chain.from_iterable(map(grid_outputs, members))),
        )
        if decided is None:
            copies = workflow_api.config_paths.copies
            return replace(spec, marked_files=tuple(map(self._layout.member, copies)))
        files = {self._layout.member(path): file for path, file in decided.files.items()}
        sent = {self._layout.member(path) for path in inputs if self._is_staged(path)}
        return replace(
            spec,
            decision=decided.decision,
            files=tuple((name, file) for name, file in files.items() if name not in sent),
        )

    def _outputs(
        self,
        members: list[Any],
        written: list[tuple[str, str]],
        unneeded: set[str],
        decided: Decided | None,
    ) -> Iterable[Output]:
        for kind, path in written:
            # Snakemake on the worker deletes those that no job needs.
            stays = decided is not None and path in unneeded
            required = kind != "log" and path not in unneeded
            yield Output(self._layout.member(path), "staying" if stays else kind, required)
        for member in members:
            for one in grid_outputs(member):
                yield Output(self._layout.member(one.path), "grid")
            for path in staying(member.output):
                with contextlib.suppress(OutsideError):
                    yield Output(self._layout.member(path), "staying", required=False)

    def _is_staged(self, path: str) -> bool:
        with contextlib.suppress(OutsideError):
            return bool(self._layout.member(path))
        return False

    def _folders(self, paths: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(chain.from_iterable(map(self._layout.passed, paths))))

    def _check_outputs(self, spec: JobSpec) -> None:
        """Raise an error for outputs that exist and are write-protected."""
        for output in spec.outputs:
            path = self._layout.local(output.name)
            if output.kind != "output" or path.is_symlink() or not path.is_file():
                continue
            if not path.stat().st_mode & 0o222:
                raise GridError(
                    f"output {os.path.relpath(path, self._layout.workdir)} is write-protected; "
                    "remove it or make it writable, so that the rule can write it again"
                )

    def _may_stage(self, path: str, *, decided: bool) -> bool:
        """Return whether an input may have to be staged; tell the user what to expect otherwise."""
        try:
            self._layout.member(path)
        except OutsideError:
            self._say(f"input {path} is expected at the site: it is not staged.")
            return True  # nothing is: see staging.needs
        if decided:
            return True  # the worker puts its own working directory into absolute paths
        fault = self._path_check.fault(path)
        if fault:
            self._say(f"input {path} {fault}. A job finds it only at a site that has this path.")
        # A job looks for it under this path, as it does for data of the site.
        return not self._path_check.uses_alias(path)

    def _output_limit(self, overrides: Mapping[str, str]) -> int | None:
        text = overrides.get("output_limit", self._settings.output_limit)
        try:
            return None if text is None else read_size(text)
        except ValueError as error:
            raise GridError(f"resource grid_output_limit: {error}") from error

    def _runtime(self, overrides: Mapping[str, str], *, decided: bool) -> Runtime:
        settings = self._settings
        kind = overrides.get("runtime", settings.runtime)
        if kind not in RUNTIMES:
            raise _unknown_value("grid_runtime", kind, RUNTIMES)
        if kind == "wheels" and decided and not settings.runtime_packages:
            kind = "inherit"  # nothing in them is used
        image = overrides.get("runtime_image", settings.runtime_image) or ""
        setup = overrides.get("runtime_setup", settings.runtime_setup) or ""
        needed = {"container": ("runtime_image", image), "setup": ("runtime_setup", setup)}
        name, value = needed.get(kind, ("", "not needed"))
        if not value:
            raise GridError(
                f"runtime {kind} needs --grid-{name.replace('_', '-')} or the resource grid_{name}"
            )
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        try:
            return Runtime(
                kind=kind,
                setup=setup,
                image=image if kind == "container" else "",
                engine=settings.runtime_engine,
                engine_options=tuple(shlex.split(settings.runtime_options or "")),
                python=(settings.runtime_python or own) if kind == "wheels" else "",
            )
        except ValueError as error:
            raise GridError(f"runtime {kind}: {error}") from error


def _frozen(paths: Iterable[str]) -> frozenset[str]:
    """Return a set; all empty ones are the same object, as each would take 216 bytes."""
    return frozenset(paths) or _NOTHING


def _problem_of_backend(resource: str | None, option: str) -> str:
    """Return what is wrong with the resource ``grid_backend`` of a job, empty if nothing is."""
    names = backend_names(option)
    others = set(backend_names(resource or "")) - set(names)
    if unknown := sorted(others.difference(known_names())) if others else []:
        return f"there is no {unknown[0]!r}; choose from {', '.join(names)}"
    if not allowed_backends(resource, names):
        return f"is {resource}, which --grid-backend {option} does not name"
    return ""


def _unknown_value(resource: str, value: str, allowed: Iterable[str]) -> GridError:
    return GridError(
        f"resource {resource}: unknown value {value!r}; choose from {', '.join(allowed)}"
    )
