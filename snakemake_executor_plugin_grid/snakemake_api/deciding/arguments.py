"""The arguments of a rule's function (``run_wrapper`` in ``snakemake.executors.local``, 9.27)."""

from __future__ import annotations

from typing import Any

from snakemake.settings.types import DeploymentMethod

from .unknown import Unknown


def arguments(job: Any, params: Any, resources: Any, repeat: int | None) -> dict[str, Any]:
    """Return the arguments by name, as a local run gives them.

    Args:
        job: ``snakemake.jobs.Job``.
        params: Its params.
        resources: Its resources.
        repeat: Number of the repeat of its benchmark, None without a benchmark.
    """
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
        "params": params,
        "wildcards": job.wildcards,
        "threads": job.threads,
        "resources": resources,
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
