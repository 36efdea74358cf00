"""Decides what the worker does for a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from typing import Any

from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import RuleException
from snakemake_interface_common.exceptions import WorkflowError

from ...worker.decided.decision import Decision, Step
from ..workflow import WorkflowApi, is_flagged
from .decided import Decided, Unsupported
from .groups import late_values
from .marking import Marker
from .mentioned import Mentioned
from .paths import Paths
from .process_state import changed_environment, changed_umask
from .step import kind_by_rule, step_of
from .texts import Texts
from .variables import Variables


class Decider:
    """Decides jobs of a workflow, in Snakemake's main thread and the working directory."""

    def __init__(
        self,
        workflow: Any,
        translate: Callable[[str], str],
        products: Callable[[], Container[str]],
    ) -> None:
        """Set up the decisions of a run.

        Args:
            workflow: ``snakemake.workflow.Workflow``, parsed.
            translate: Returns what stands for an absolute path below the working directory, with
                the mark for it, and another path as it is.
            products: Returns the outputs, logs and benchmarks of all jobs, relative to the working
                directory and normalised. It is called for each job, so it has to be cheap.
        """
        self._workflow_api = WorkflowApi(workflow)
        self._translate = translate
        self._products = products
        workdir = os.getcwd()  # noqa: PTH109 - a text
        cache = workflow.sourcecache
        # The folder for one run often lies in the other one.
        self._caches = (cache.runtime_cache_path, cache.cache_path)
        self._marker = Marker(translate, [*_names(workdir, workflow.workdir_init), *self._caches])
        sources = [str(folder) for folder in self._workflow_api.source_folders()]
        elsewhere = [folder for folder in sources if translate(folder) == folder]
        self._mentioned = Mentioned(workdir, elsewhere)
        self._umask = changed_umask()

    def decide(self, job: Any) -> Decided:
        """Decide what the worker does for a job.

        Nothing of the job is changed. Functions of the workflow are called as they are in a local
        run.

        Args:
            job: ``snakemake.jobs.Job`` or ``GroupJob`` that is ready to run.

        Raises:
            Unsupported: It needs Snakemake on the worker; the text says why.
            WorkflowError: Code of the workflow fails; the text is Snakemake's.
        """
        try:
            return self._decide(job)
        except RuleException as error:  # which is no WorkflowError
            raise WorkflowError(str(error)) from error

    def _decide(self, job: Any) -> Decided:
        paths = Paths(self._translate, self._caches)
        variables = Variables(self._workflow_api.variables())
        texts = Texts(paths, self._marker, self._mentioned, self._products(), variables)
        packages: set[str] = set()
        if job.is_group():
            layers = _layers(job, texts, packages)
            first = next(iter(job.jobs))
        else:
            layers = ((step_of(job, texts, packages),),)
            first = job
        temporary = self._workflow_api.unneeded_temp_files(job)
        environment = changed_environment(lambda text: texts.text(text, first))
        return Decided(
            Decision(
                layers,
                cores=max(1, job.threads),
                temporary=tuple(sorted(map(texts.path, temporary))),
                umask=self._umask,
            ),
            environment=environment,
            files=dict(paths.files),
            undeclared=tuple(sorted(texts.undeclared)),
            large=tuple(sorted(texts.large - paths.files.keys())),
            packages=tuple(sorted(packages)),
        )


def needs_snakemake(job: Any) -> str:
    """Return why a job needs Snakemake on the worker, as far as rules tell; empty if it does not.

    Args:
        job: ``snakemake.jobs.Job`` or ``GroupJob``.
    """
    for member in WorkflowApi.members(job):
        try:
            kind_by_rule(member)
        except Unsupported as why:
            return f"{_of_group(member)}{why}" if job.is_group() else str(why)
    return ""


def fixed_resource(job: Any, name: str) -> str:
    """Return a resource of a job's rule if it is a text, else an empty text.

    Nothing is evaluated: functions of a workflow may need inputs that do not exist yet.

    Args:
        job: ``snakemake.jobs.Job`` or ``GroupJob``; the members of a group have the same value.
        name: Of the resource.
    """
    for member in WorkflowApi.members(job):
        resource = member.rule.resources.get(name)
        value = getattr(resource, "_value", resource)
        if isinstance(value, str) and not isinstance(value, TBDString):
            return str(value)
    return ""


def _layers(group: Any, texts: Texts, packages: set[str]) -> tuple[tuple[Step, ...], ...]:
    """Return the steps of a group in the order in which Snakemake runs them."""
    outputs = [path for member in group.jobs for path in member.output]
    made = {str(path) for path in outputs}
    staying = frozenset(str(path) for path in outputs if is_flagged(path, "pipe", "service"))

    def step(member: Any) -> Step:
        try:
            return step_of(member, texts, packages, late_values(member, made), staying)
        except Unsupported as why:
            raise Unsupported(f"{_of_group(member)}{why}") from why

    return tuple(tuple(map(step, layer)) for layer in group.toposorted)


def _of_group(member: Any) -> str:
    return f"rule {member.rule.name} of the group: "


def _names(workdir: str, started_in: str) -> list[str]:
    """Return the names of the working directory, with and without links."""
    real = os.path.realpath(workdir)
    given = [workdir, os.environ.get("PWD", ""), os.path.abspath(started_in), real]  # noqa: PTH100
    return [name for name in dict.fromkeys(given) if name and os.path.realpath(name) == real]
