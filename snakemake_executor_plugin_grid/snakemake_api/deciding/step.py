"""Decides what a single job does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from snakemake.common import get_function_params
from snakemake.io import is_callable
from snakemake.settings.types import DeploymentMethod

from ...worker.decided.decision import TMPDIR, Command, Step
from .arguments import arguments
from .benchmarks import benchmark_of
from .call import call, kind_of
from .containers import container_of
from .decided import NotYet, Unsupported
from .groups import Late, refuse_late_scripts
from .marking import check
from .outputs import output_of, refuse_storage
from .resources import COMPUTES, TOKEN, has_undecided, marked, tmpdir_of, with_tmpdir, without
from .scripts import render
from .shell import shell_of, stripped
from .texts import Texts

_UNDECIDED = "it depends on files that are not there yet"


@dataclass(frozen=True)
class _Values:
    """What the command of a job is made of.

    Attributes:
        params: ``snakemake.iocontainers.Params``.
        resources: ``snakemake.iocontainers.ResourceList``, with a mark as ``tmpdir``.
        late: Values that may change while the job's group runs; any use of them is refused.
    """

    params: Any
    resources: Any
    late: Late | None


def step_of(
    job: Any,
    texts: Texts,
    packages: set[str],
    late: Late | None = None,
    staying: frozenset[str] = frozenset(),
) -> Step:
    """Return what a single job does.

    Args:
        job: ``snakemake.jobs.Job``.
        texts: Translates its paths and texts.
        packages: Receives the Python packages that it needs on the worker.
        late: Values that may change while its group runs.
        staying: Pipes and services of its group.

    Raises:
        Unsupported: It needs Snakemake on the worker.
        WorkflowError: Code of the workflow fails.
        RuleException: The same, in the command of the rule.
    """
    rule = job.rule
    benchmark = [job.benchmark] if job.benchmark else []
    kind = kind_by_rule(job)
    folder = tmpdir_of(rule)
    values = _values(job, folder, TOKEN if kind == "shell" else TMPDIR, late)

    def text(text: str) -> str:
        return texts.command(text, job)

    shell = shell_of(job, values.resources, text)
    if texts.path(shell.executable) != shell.executable:
        raise Unsupported("its shell is a file below the working directory")
    commands: list[Command] = []
    repeats: list[int | None] = [*range(job.benchmark_repeats)] if benchmark else [None]
    for repeat in repeats if kind else ():
        command = _command(job, kind, values, repeat, texts, packages)
        if kind == "shell":
            command = replace(command, text=stripped(command.text, shell))
        commands.append(command)
    shown = with_tmpdir(values.resources, folder, TMPDIR)
    made = Step(
        rule=rule.name,
        wildcards=tuple((key, check(str(value))) for key, value in job.wildcards.items()),
        jobid=str(job.jobid),
        threads=max(1, job.threads),
        inputs=tuple(texts.path(str(path)) for path in job.input if str(path) not in staying),
        awaited=tuple(texts.path(str(path)) for path in job.input if str(path) in staying),
        outputs=tuple(output_of(job, path, texts.path) for path in job.output),
        logs=tuple(texts.path(str(path)) for path in job.log),
        commands=tuple(commands),
        shell=shell,
        benchmark=benchmark_of(job, values.params, shown, texts.path),
        container=container_of(job, texts.paths, texts.products, text) if kind else None,
        tmpdir=texts.path(folder) if folder else "",
        service=job.is_service,
    )
    texts.variables.refuse(made)
    return made


def kind_by_rule(job: Any) -> str:
    """Return how a job's command is written, such as ``shell``; empty without a command.

    Raises:
        Unsupported: It needs Snakemake on the worker, as its rule tells before its inputs exist.
    """
    rule = job.rule
    benchmark = [job.benchmark] if job.benchmark else []
    refuse_storage([*job.input, *job.output, *job.log, *benchmark])
    kind = "" if rule.norun else kind_of(rule)
    if not kind and benchmark:
        raise Unsupported("it has a benchmark and no command")
    _refuse_conda(job)
    if kind == "notebook" and job.dag.is_edit_notebook_job(job):
        raise Unsupported("its notebook is edited")
    return kind


def _refuse_conda(job: Any) -> None:
    methods = job.rule.workflow.deployment_settings.deployment_method
    if DeploymentMethod.CONDA in methods and job.conda_env_spec:
        raise Unsupported("its conda environment is made by Snakemake on the worker")


def _values(job: Any, folder: str | None, mark: str, late: Late | None) -> _Values:
    resources = with_tmpdir(job.resources, folder, mark)
    takes = _takes_resources(job.rule)
    if getattr(job, "_params_and_resources_resetted", False) and not takes:
        # Since its inputs exist, evaluated once, as locally: Snakemake records these values.
        params = _caught(late, lambda: type(job.params)(toclone=job.params))
    else:
        params = _params(job, resources, late)
        if takes and mark != TOKEN and folder == "":
            other = _params(job, with_tmpdir(job.resources, folder, TOKEN), late)
            if repr(list(other)).replace(TOKEN, mark) != repr(list(params)):
                raise Unsupported(COMPUTES)
    if late is not None:
        late.hide(params, resources)
    return _Values(params, resources, late)


def _params(job: Any, resources: Any, late: Late | None) -> Any:
    """Evaluate the params of a job with given resources, without changing the job."""
    saved = job._resources
    job._resources = resources
    try:
        params, _ = _caught(
            late,
            lambda: job.rule.expand_params(job.wildcards_dict, job.input, job.output, job),
        )
    finally:
        job._resources = saved
    return params


def _caught(late: Late | None, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        if late is not None and late.params:
            raise Unsupported(f"its params cannot be made before it runs: {error}") from error
        raise


def _takes_resources(rule: Any) -> bool:
    """Return whether a function of the params of a rule takes threads or resources."""
    return any(
        not {"threads", "resources"}.isdisjoint(get_function_params(value))
        for value in rule.params
        if is_callable(value)
    )


def _command(
    job: Any, kind: str, values: _Values, repeat: int | None, texts: Texts, packages: set[str]
) -> Command:
    """Return the command of a job, or of one repeat of its benchmark."""
    resources = values.resources if kind == "shell" else _for_script(job, kind, values)
    try:
        got = call(job.rule, kind, arguments(job, values.params, resources, repeat))
    except Unsupported:
        raise
    except Exception as error:
        if values.late is not None:  # perhaps not with the values of the time when it runs
            raise Unsupported(f"its command cannot be made before it runs: {error}") from error
        raise
    if kind == "shell":
        return Command(_shell_text(job, got.args[0], texts))
    # With quotes, as a name may have blanks.
    texts.note(" ".join(map(repr, _texts_in(list(values.params)))), job)
    rendered = render(kind, got.args, job, texts.paths)
    texts.paths.files.update(rendered.files)
    packages.update(rendered.packages)
    return rendered.command


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the texts and paths in params."""
    if isinstance(value, str | PurePath):
        yield str(value)
    elif isinstance(value, dict):
        yield from _texts_in(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _texts_in(one)


def _shell_text(job: Any, text: str, texts: Texts) -> str:
    if has_undecided(text):
        raise NotYet(_UNDECIDED)
    return marked(texts.command(text, job))


def _for_script(job: Any, kind: str, values: _Values) -> Any:
    """Return the resources for a script, which gets all of the params and resources."""
    resources = values.resources
    if values.late is not None:
        refuse_late_scripts(values.late, _source(job) if kind == "script" else None)
        resources = without(resources, values.late.resources)
    if has_undecided([*values.params, *resources]):
        raise NotYet(_UNDECIDED)
    for items in (values.params, job.wildcards, job.input, job.output, job.log):
        check(repr(list(items)).replace(TMPDIR, ""))
    return resources


def _source(job: Any) -> str | None:
    try:
        path = job._path_to_source_file(job.rule.script)
        with job.rule.workflow.sourcecache.open(path) as source:
            return str(source.read())
    except Exception:  # the script is looked up again to be rendered, where an error is told
        return None
