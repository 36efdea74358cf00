"""The shell of a rule: executable, prefix, suffix, modules (``snakemake.shell``, 9.27)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snakemake.settings.types import DeploymentMethod
from snakemake.shell import shell

from ...worker.decided.decision import Shell


def shell_of(job: Any, resources: Any, mark: Callable[[str], str]) -> Shell:
    """Return the shell that runs the commands of a job.

    Args:
        job: ``snakemake.jobs.Job``.
        resources: Its resources; ``shell_exec`` is an executable of its own.
        mark: Puts marks into a text.
    """
    executable = resources.get("shell_exec") or shell.get_executable() or ""
    prefix, suffix = shell._get_process_prefix(executable), shell._process_suffix
    methods = job.rule.workflow.deployment_settings.deployment_method
    loads = DeploymentMethod.ENV_MODULES in methods and job.env_modules
    return Shell(
        executable=str(executable),
        prefix=mark(f"{prefix} ") if prefix else "",
        suffix=mark(f" {suffix}") if suffix else "",
        modules=mark(job.env_modules.shellcmd("")) if loads else "",
    )


def stripped(text: str, runner: Shell) -> str:
    """Return a command without the blanks that Snakemake removes at both ends of a line."""
    text = text if runner.prefix else text.lstrip()
    return text if runner.suffix else text.rstrip()
