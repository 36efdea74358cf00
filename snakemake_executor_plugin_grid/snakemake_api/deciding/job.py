"""Decides what the worker does for a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

from snakemake.settings.types import DeploymentMethod

from ...worker.decided.decision import TMPDIR, Command, Decision, Step
from ..workflow import WorkflowApi, is_flagged
from .benchmarks import benchmark_of
from .call import call, kind_of
from .containers import container_of
from .decided import Decided, NotYet, Unsupported
from .groups import Late, late_values, refuse_late_scripts
from .marking import Marker, check
from .mentioned import Mentioned
from .outputs import output_of, refuse_storage
from .paths import Paths
from .process_state import changed_environment, changed_umask
from .resources import TOKEN, has_undecided, marked, tmpdir_of, with_tmpdir, without
from .scripts import render
from .shell import shell_of, stripped
from .unknown import Unknown

_UNDECIDED = "it depends on files that are not there yet"


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
        self._workflow = workflow
        self._workflow_api = WorkflowApi(workflow)
        self._translate = translate
        self._products = products
        workdir = os.getcwd()  # noqa: PTH109 - a text
        cache = workflow.sourcecache
        # The folder for one run often lies in the other one.
        self._caches = (cache.runtime_cache_path, cache.cache_path)
        given = os.environ.get("PWD", "")
        names = [workdir]
        if os.path.realpath(given) == os.path.realpath(workdir):
            names.append(given)
        names += [os.path.abspath(workflow.workdir_init), os.path.realpath(workdir)]  # noqa: PTH100
        self._marker = Marker(translate, [*self._same(names, workdir), *self._caches])
        self._mentioned = Mentioned(workdir)
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
            RuleException: The same, which Snakemake says in this way of a rule's command.
        """
        paths = Paths(self._translate, self._caches)
        decision = _Job(paths, self._marker, self._mentioned, self._products())
        if job.is_group():
            layers = self._layers(job, decision)
        else:
            layers = ((decision.step(job, None, frozenset()),),)
        temporary = self._workflow_api.unneeded_temp_files(job)
        return Decided(
            Decision(
                layers,
                cores=max(1, job.threads),
                temporary=tuple(sorted(map(decision.path, temporary))),
                umask=self._umask,
            ),
            environment=changed_environment(lambda text: self._marker.mark(text, paths)),
            files=dict(paths.files),
            undeclared=tuple(sorted(decision.undeclared)),
            packages=tuple(sorted(decision.packages)),
        )

    def expects(self, job: Any) -> bool:
        """Return whether a job can be decided, by what its rules say: inputs may be missing yet."""
        try:
            for member in self._workflow_api.members(job):
                refuse_storage([*member.input, *member.output, *member.log])
                if not member.rule.norun:
                    kind_of(member.rule)
                _refuse_conda(member)
        except Unsupported:
            return False
        return True

    def _layers(self, group: Any, decision: _Job) -> tuple[tuple[Step, ...], ...]:
        made = {str(path) for member in group.jobs for path in member.output}
        staying = frozenset(
            str(path)
            for member in group.jobs
            for path in member.output
            if is_flagged(path, "pipe", "service")
        )
        layers = []
        for layer in group.toposorted:
            steps = []
            for member in layer:
                try:
                    steps.append(decision.step(member, late_values(member, made), staying))
                except Unsupported as why:
                    raise Unsupported(f"rule {member.rule.name} of the group: {why}") from why
            layers.append(tuple(steps))
        return tuple(layers)

    @staticmethod
    def _same(names: list[str], workdir: str) -> list[str]:
        """Return the names that mean the working directory."""
        real = os.path.realpath(workdir)
        return [name for name in dict.fromkeys(names) if os.path.realpath(name) == real]


@dataclass
class _Made:
    """What the commands of a job are made of."""

    params: Any
    resources: Any
    late: Late | None


class _Job:
    """Makes the steps of one job, and collects what they need."""

    def __init__(
        self, paths: Paths, marker: Marker, mentioned: Mentioned, products: Container[str]
    ) -> None:
        self.undeclared: set[str] = set()
        self.packages: set[str] = set()
        self._paths = paths
        self._marker = marker
        self._mentioned = mentioned
        self._products = products

    def path(self, path: str) -> str:
        """Return a path as the worker finds it."""
        return self._paths.on_worker(check(path))

    def step(self, job: Any, late: Late | None, staying: frozenset[str]) -> Step:
        """Return what a single job does.

        Args:
            job: ``snakemake.jobs.Job``.
            late: Values that may change while its group runs.
            staying: Pipes and services of its group.
        """
        rule = job.rule
        benchmark = [job.benchmark] if job.benchmark else []
        refuse_storage([*job.input, *job.output, *job.log, *benchmark])
        kind = "" if rule.norun else kind_of(rule)
        if not kind and benchmark:
            raise Unsupported("it has a benchmark and no command")
        _refuse_conda(job)
        mark = self._mark
        folder = tmpdir_of(rule)
        made = self._made(job, folder, TOKEN if kind == "shell" else TMPDIR, late)
        shell = shell_of(job, made.resources, mark)
        commands: tuple[Command, ...] = ()
        if kind:
            repeats = range(job.benchmark_repeats) if benchmark else [None]
            texts = (self._command(job, kind, made, one) for one in repeats)
            commands = tuple(
                Command(stripped(one.text, shell), one.script) if kind == "shell" else one
                for one in texts
            )
        return Step(
            rule=rule.name,
            wildcards=tuple((key, check(str(value))) for key, value in job.wildcards.items()),
            jobid=str(job.jobid),
            threads=max(1, job.threads),
            inputs=tuple(self.path(str(path)) for path in job.input if str(path) not in staying),
            awaited=tuple(self.path(str(path)) for path in job.input if str(path) in staying),
            outputs=tuple(output_of(job, path, self.path) for path in job.output),
            logs=tuple(self.path(str(path)) for path in job.log),
            commands=commands,
            shell=shell,
            benchmark=self._benchmark(job, made, folder) if benchmark else None,
            container=container_of(job, self._paths, self._products, mark) if kind else None,
            tmpdir=mark(folder) if folder else "",
            service=job.is_service,
        )

    def _mark(self, text: str) -> str:
        return self._marker.mark(text, self._paths)

    def _made(self, job: Any, folder: str | None, mark: str, late: Late | None) -> _Made:
        resources = with_tmpdir(job.resources, folder, mark)
        params = _params(job, resources, late)
        if late is not None:
            late.hide(params, resources)
        return _Made(params, resources, late)

    def _benchmark(self, job: Any, made: _Made, folder: str | None) -> Any:
        resources = with_tmpdir(made.resources, folder, TMPDIR)
        return benchmark_of(job, made.params, resources, self.path)

    def _command(self, job: Any, kind: str, made: _Made, repeat: int | None) -> Command:
        """Return the command of a job, or of one repeat of its benchmark."""
        if kind != "shell":
            made = self._for_script(job, kind, made)
        try:
            got = call(job.rule, kind, _arguments(job, made, repeat))
        except Unsupported:
            raise
        except Exception as error:
            if made.late is not None:  # perhaps not with the values of the time when it runs
                raise Unsupported(f"its command cannot be made before it runs: {error}") from error
            raise
        if kind == "shell":
            return Command(self._shell_command(job, got.args[0]))
        rendered = render(kind, got.args, job, self._paths)
        self._paths.files.update(rendered.files)
        self.packages.update(rendered.packages)
        return rendered.command

    def _shell_command(self, job: Any, text: str) -> str:
        if has_undecided(text):
            raise NotYet(_UNDECIDED)
        check(text)
        found = self._mentioned.files(text, job, self._paths, self._products)
        self.undeclared.update(found.keys() - self._paths.files.keys())
        for name, path in found.items():
            self._paths.files.setdefault(name, path)
        return marked(self._mark(text))

    def _for_script(self, job: Any, kind: str, made: _Made) -> _Made:
        """Return what a script gets, which is all of the params and resources."""
        resources = made.resources
        if made.late is not None:
            refuse_late_scripts(made.late, _source(job) if kind == "script" else None)
            resources = without(resources, made.late.resources)
        if has_undecided([*made.params, *resources]):
            raise NotYet(_UNDECIDED)
        for value in (made.params, job.wildcards, job.input, job.output, job.log):
            check(repr(list(value)).replace(TMPDIR, ""))
        return _Made(made.params, resources, None)


def _refuse_conda(job: Any) -> None:
    methods = job.rule.workflow.deployment_settings.deployment_method
    if DeploymentMethod.CONDA in methods and job.conda_env_spec:
        raise Unsupported("its conda environment is made by Snakemake on the worker")


def _params(job: Any, resources: Any, late: Late | None) -> Any:
    """Evaluate the params of a job with given resources, without changing the job."""
    saved = job._resources
    job._resources = resources
    try:
        params, _ = job.rule.expand_params(job.wildcards_dict, job.input, job.output, job)
    except Exception as error:
        if late is not None and late.params:
            raise Unsupported(f"its params cannot be made before it runs: {error}") from error
        raise
    finally:
        job._resources = saved
    return params


def _source(job: Any) -> str | None:
    try:
        path = job._path_to_source_file(job.rule.script)
        with job.rule.workflow.sourcecache.open(path) as source:
            return str(source.read())
    except Exception:  # the script is looked up again to be rendered, where an error is told
        return None


def _arguments(job: Any, made: _Made, repeat: int | None) -> dict[str, Any]:
    """Return the arguments of a rule's function as ``run_wrapper`` of Snakemake 9.27 gives them."""
    rule, workflow = job.rule, job.rule.workflow
    deployment = workflow.deployment_settings
    uses_container = DeploymentMethod.APPTAINER in deployment.deployment_method
    uses_modules = DeploymentMethod.ENV_MODULES in deployment.deployment_method
    inside = bool(uses_container and job.container_img_url)
    is_shell = rule.shellcmd is not None

    def of_worker(name: str) -> Any:
        why = f"its command contains {name}, which Snakemake on the worker knows"
        return Unknown(why) if inside and is_shell else None

    return {
        "input": job.input._plainstrings(),
        "output": job.output._plainstrings(),
        "params": made.params,
        "wildcards": job.wildcards,
        "threads": job.threads,
        "resources": made.resources,
        "log": job.log._plainstrings(),
        "rule": rule.name,
        "conda_env": None,
        "container_img": of_worker("container_img"),
        "singularity_args": deployment.apptainer_args,
        "use_singularity": uses_container,
        "env_modules": job.env_modules if uses_modules else None,
        "bench_record": None,
        "jobid": job.jobid,
        "is_shell": is_shell,
        "bench_iteration": repeat,
        "cleanup_scripts": workflow.execution_settings.cleanup_scripts,
        "shadow_dir": of_worker("shadow_dir") if job.is_shadow else None,
        "edit_notebook": None,
        "conda_base_path": None,
        "basedir": rule.basedir,
        "sourcecache_path": workflow.sourcecache.cache_path,
        "runtime_sourcecache_path": workflow.sourcecache.runtime_cache_path,
        "runtime_paths": workflow.runtime_paths,
    }
