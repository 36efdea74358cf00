"""Snakemake's workflow and DAG: the part that this package uses."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.utils import (
    TargetSpec,
    encode_target_jobs_cli_args,
    format_cli_arg,
)

from . import storage_options as storage_settings
from .command import (
    named_snakefile,
    quote_for_shell,
    read_target,
    resources_as_given,
    unambiguous_output,
)
from .config_paths import ConfigPaths, Translate
from .grid_files import is_grid_path
from .local_script import local_script
from .temporary import removed_files

_SOURCE = "sourcecache_entry"
"""Flag of a file of ``workflow.source_path``; its value is the path in the workflow."""


class WorkflowApi:
    """Snakemake's workflow and DAG."""

    def __init__(self, workflow: Any, translate: Translate = str) -> None:
        """Create the view of a workflow.

        Args:
            workflow: ``snakemake.workflow.Workflow``.
            translate: Returns what stands for an absolute path in the command of a job.
        """
        self._workflow = workflow
        self._translate = translate
        self._dag = workflow.dag
        self._uses: Counter[str] = Counter()
        self._counted = self._named = -1
        self._product_names: frozenset[str] = frozenset()

    @property
    def replaces_config(self) -> bool:
        """Whether --replace-workflow-config acts, which Snakemake does not pass to workers."""
        settings = self._workflow.config_settings
        return bool(
            getattr(settings, "replace_workflow_config", False) and settings.overwrite_config
        )

    @cached_property
    def config_paths(self) -> ConfigPaths:
        """The absolute paths of the configuration that are translated for workers."""
        return ConfigPaths(self._workflow, self._translate, self._declared())

    def _declared(self) -> Iterator[str]:
        """Yield the paths of jobs that have to run, also with wildcards, as rules name them."""
        jobs = list(self._dag.needrun_jobs())
        for job in jobs:
            yield from names(job.input)
            yield from (path for _, path in products(job))
        # A checkpoint may add jobs of any rule.
        for rule in self._workflow.rules if self.has_checkpoints else {job.rule for job in jobs}:
            for path in (*rule.input, *rule.output, *rule.log, rule.benchmark):
                if isinstance(path, str):
                    yield str(path)

    @property
    def has_checkpoints(self) -> bool:
        """Whether any rule is a checkpoint."""
        return any(rule.is_checkpoint for rule in self._workflow.rules)

    @staticmethod
    def members(job: Any) -> list[Any]:
        """Return the single jobs of a group, or the job itself."""
        return list(job.jobs) if job.is_group() else [job]

    @staticmethod
    def wildcards(job: Any) -> dict[str, str]:
        """Return the wildcards of a single job; a group has none."""
        given = {} if job.is_group() else job.wildcards_dict
        return {key: str(value) for key, value in given.items()}

    @staticmethod
    def raise_attempt(job: Any, attempt: int) -> None:
        """Make this the attempt of a job if it is a later one; its resources may depend on it."""
        job.attempt = max(job.attempt, attempt)

    def needed_jobs(self) -> Iterator[Any]:
        """Yield all jobs and groups that have to run on the grid, in order of dependency."""
        groups = set()
        for layer in self._dag.toposorted(set(self._dag.needrun_jobs())):
            for job in sorted(layer, key=_rule_and_wildcards):
                group = self._dag.get_job_group(job)
                if group is None and not job.is_local:
                    yield job
                elif group is not None and group not in groups and not group.is_local:
                    groups.add(group)
                    yield group

    def awaited(self) -> Iterator[str]:
        """Yield the outputs of all jobs that have to run."""
        for job in self._dag.needrun_jobs():
            yield from map(str, job.output)

    def declared_sources(self) -> tuple[frozenset[str], str]:
        """Return the source files that Snakemake lists, and a warning if it could not ask git."""
        try:
            return frozenset(self._dag.get_sources()), ""
        except (WorkflowError, OSError, subprocess.SubprocessError) as error:
            return frozenset(self._included()), f"not all sources could be listed: {error}"

    def scripts(self) -> frozenset[str]:
        """Return the absolute paths of local scripts and notebooks that rules name."""
        return frozenset(filter(None, map(local_script, self._workflow.rules)))

    def source_folders(self) -> tuple[Path, ...]:
        """Return the local folders of the included Snakefiles."""
        # Normalized, so that nested folders are recognised.
        folders = (Path(os.path.abspath(path)).parent for path in self._included())  # noqa: PTH100
        return tuple(dict.fromkeys(folders))

    def _included(self) -> Iterator[str]:
        for source in self._workflow.included:
            path = str(source)
            if os.path.exists(path):  # noqa: PTH110 - may be a URL
                yield path

    def products(self) -> Iterator[str]:
        """Yield outputs, logs and benchmarks of all jobs."""
        for job in self._dag.jobs:
            benchmark = [job.benchmark] if job.benchmark else []
            for path in chain(job.output, job.log, benchmark):
                if not path.is_storage:
                    yield str(path)

    def product_names(self) -> frozenset[str]:
        """Return outputs, logs and benchmarks of all jobs, normalised, relative where possible."""
        jobs = len(self._dag.jobs)
        if jobs != self._named:  # the first call, or a checkpoint has changed the DAG
            base = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118
            normalised = map(os.path.normpath, self.products())
            self._product_names = frozenset(path.removeprefix(base) for path in normalised)
            self._named = jobs
        return self._product_names

    def inputs(self) -> Iterator[str]:
        """Yield inputs of all jobs."""
        for job in self._dag.jobs:
            for path in job.input:
                if not path.is_storage:
                    yield str(path)

    def uses(self, path: str) -> int:
        """Return how many jobs have the path as an input."""
        jobs = len(self._dag.jobs)
        if jobs != self._counted:  # the first call, or a checkpoint has changed the DAG
            self._uses = Counter(chain.from_iterable(set(job.input) for job in self._dag.jobs))
            self._counted = jobs
        return self._uses[path]

    def checkpoint_outputs(self) -> Iterator[str]:
        """Yield outputs of checkpoints that need not run again.

        A worker evaluates input functions, too, and would run the checkpoint without them. The DAG
        drops the job of a checkpoint once the jobs below it are known.
        """
        for path in sorted(self._workflow.checkpoints.created_output):
            if not path.is_storage and os.path.lexists(path):
                yield str(path)

    def send_local_files(self) -> None:
        """Let jobs with ``local()`` files run on the grid: this executor transfers the files.

        Without a shared file system Snakemake 9.27 runs them on the submit host. It still does so
        for jobs that are added after a checkpoint.
        """
        for job in self._dag.jobs:
            for path in chain(job.input, job.output):
                # The flag on the rule stays: it says that a file is in no storage.
                path.flags.pop("local", None)

    def storage_plugins(self) -> list[str]:
        """Return the packages of the storage plugins that the workflow uses."""
        return [
            f"snakemake-storage-plugin-{plugin.name}"
            for plugin, _ in storage_settings.used(self._workflow)
        ]

    def environment(self) -> dict[str, str]:
        """Return variables of ``envvars`` and settings of storage plugins that may be secrets.

        Raises:
            GridError: A setting cannot be passed to a worker.
        """
        return self.variables() | storage_settings.environment(
            storage_settings.used(self._workflow)
        )

    def variables(self) -> dict[str, str]:
        """Return the variables of ``envvars``; their values may be secrets."""
        workflow = self._workflow
        remote = (
            workflow.remote_execution_settings
        )  # None if only jobs of this host were thought of
        declared = chain(remote.envvars if remote else (), workflow.envvars)
        return {name: os.environ[name] for name in declared}

    def uses_env_modules(self, job: Any) -> bool:
        """Return whether the job or a member of the group loads environment modules."""
        from snakemake.settings.types import DeploymentMethod

        methods = self._workflow.deployment_settings.deployment_method
        return DeploymentMethod.ENV_MODULES in methods and any(
            member.env_modules for member in self.members(job)
        )

    def unneeded_temp_files(self, job: Any) -> set[str]:
        """Return temporary outputs that no other job needs; the worker may delete them."""
        return set(names(removed_files(self._workflow, job, self.members(job))))

    def targets(self, job: Any) -> tuple[list[str], list[str]]:
        """Return the targets and outputs that name the jobs to the worker.

        Wildcards in ``--target-jobs`` end at a comma and lose quotes at their ends. A job with such
        a wildcard is named by an output with the same wildcards.

        Args:
            job: Single job or group.

        Returns:
            Values of ``--target-jobs``, and paths.

        Raises:
            GridError: A job cannot be named in either way.
        """
        targets, outputs = [], []
        for member in self.members(job):
            (target,) = member.get_target_spec()
            given = {key: str(value) for key, value in target.wildcards_dict.items()}
            wanted = {key: self._translate(value) for key, value in given.items()}
            (text,) = encode_target_jobs_cli_args([TargetSpec(target.rulename, wanted)])
            if read_target(text) == wanted:
                targets.append(text)
            else:
                outputs.append(unambiguous_output(member, given))
        return targets, outputs

    def requote(self, args: str, job: Any) -> str:
        """Quote targets and temporary files for a shell.

        Snakemake uses Python's repr, which differs from the rules of a shell for backslashes,
        newlines, ``$`` and mixed quotes.
        """
        given = encode_target_jobs_cli_args(job.get_target_spec())
        unneeded = list(self._dag.get_unneeded_temp_files(job))
        targets, outputs = self.targets(job)
        args = quote_for_shell(args, "--target-jobs", given, targets)
        if outputs:
            # In front, because the arguments may end with an option that takes several values.
            named = " ".join(["--target-files-omit-workdir-adjustment", *map(shlex.quote, outputs)])
            args = f"{named} {args}"
        # Without files in a storage: the main process waits for them.
        sent = [self._translate(path) for path in sorted(self.unneeded_temp_files(job))]
        return quote_for_shell(args, "--unneeded-temp-files", unneeded, sent)

    def worker_command(self, command: str) -> str:
        """Leave cache and retries to the submit host, and quote values of users for a shell."""
        workflow = self._workflow
        piece = format_cli_arg("--cache", workflow.workflow_settings.cache)
        command = command.replace(piece, "", 1) if piece else command
        files = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
        command = quote_for_shell(command, "--snakefile", *named_snakefile(workflow.main_snakefile))
        command = resources_as_given(command, workflow.resource_settings)
        given = list(workflow.config_settings.config_args)
        command = quote_for_shell(command, "--config", given, self.config_paths.arguments)
        command = self._with_storage(quote_for_shell(command, "--configfiles", files))
        # The worker would retry by the `retries` of the rule, with the resources of the first
        # attempt. --retries 0 does not stop that, but these options do, for all rules.
        return f"{command} --preemptible-rules --preemptible-retries 0"

    def _with_storage(self, command: str) -> str:
        """Pass the settings of the storage plugins in use only."""
        storage, factory = self._workflow.storage_settings, self._workflow.spawned_job_args_factory
        for piece in filter(None, factory.get_storage_provider_args()):
            command = command.replace(piece, "", 1)
        prefixes = [prefix] if (prefix := storage.default_storage_prefix) else []
        command = quote_for_shell(command, "--default-storage-prefix", prefixes)
        words = [] if storage.retrieve_storage else ["--not-retrieve-storage"]
        return " ".join(
            [command, *words, *storage_settings.options(storage_settings.used(self._workflow))]
        )

    def uses_cache(self, job: Any) -> bool:
        """Return whether the outputs of the job use Snakemake's between-workflow cache."""
        if job.is_group() or self._workflow.workflow_settings.cache is None:
            return False
        return bool(_cache(self._workflow, job))

    def fetch_from_cache(self, job: Any) -> bool:
        """Link the outputs of the job from the cache; return whether the cache has them.

        Must be called outside of an event loop.
        """
        from snakemake.exceptions import CacheMissException

        async def fetch() -> None:
            # Links do not replace files.
            for path in job.output:
                await path.remove(remove_non_empty_dir=False)
                path.prepare()
            await _cache(self._workflow, job).fetch(job)

        async def exists() -> bool:
            try:
                return bool(await _cache(self._workflow, job).exists(job))
            except CacheMissException:
                return False

        if not self._workflow.async_run(exists()):
            return False
        self._workflow.async_run(fetch())
        return True

    async def store_in_cache(self, job: Any) -> None:
        """Move the outputs of the job to the cache and link them."""

        async def store() -> None:
            await _cache(self._workflow, job).store(job)

        # Snakemake runs coroutines in threads that have no event loop.
        await asyncio.to_thread(self._workflow.async_run, store())


def _rule_and_wildcards(job: Any) -> tuple[str, list[str]]:
    return job.name, [str(value) for value in job.wildcards_dict.values()]


def is_flagged(path: Any, *names: str) -> bool:
    """Return whether a file of a job has any of these flags, such as ``temp``."""
    return any(name in path.flags for name in names)


def is_local_file(path: Any) -> bool:
    """Return whether the executor has to transfer a file.

    The worker's Snakemake transfers files of storage plugins; pipes, services and node-local files
    never leave the worker. A file of ``workflow.source_path`` is a copy in Snakemake's own cache:
    the worker makes another one from the source.
    """
    staying = ("pipe", "service", "nodelocal", _SOURCE)
    return not path.is_storage and not is_flagged(path, *staying)


def source_paths(paths: Iterable[Any]) -> list[str]:
    """Return where the files of ``workflow.source_path`` among some paths come from."""
    return [str(path.flags[_SOURCE]) for path in paths if is_flagged(path, _SOURCE)]


def names(paths: Iterable[Any]) -> list[str]:
    """Return the paths of files that the executor has to transfer."""
    return [str(path) for path in paths if is_local_file(path)]


def products(job: Any) -> Iterator[tuple[str, str]]:
    """Yield the kind and path of each output, log and benchmark that the executor transfers."""
    benchmark = [job.benchmark] if job.benchmark else []
    for kind, paths in (("output", job.output), ("log", job.log), ("benchmark", benchmark)):
        for path in paths:
            if is_local_file(path) or (kind == "log" and is_grid_path(path)):
                yield kind, str(path)


def staying(paths: Iterable[Any]) -> list[str]:
    """Return the paths of pipes, services and node-local files."""
    return [str(path) for path in paths if not path.is_storage and not is_local_file(path)]


def _cache(workflow: Any, job: Any) -> Any:
    """Return the rule's cache with ``fetch``, ``exists`` and ``store``, or None."""
    cache = job.rule.cache
    return cache if cache and cache.output else None
