"""What a job does, by the measures of Snakemake's rerun triggers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .workflow import local_script


def doing(workflow: Any, job: Any) -> list[Any]:
    """Return what a single job does, fit for JSON.

    Args:
        workflow: ``snakemake.workflow.Workflow``.
        job: ``snakemake.jobs.Job``.
    """
    rule, persistence = job.rule, workflow.persistence
    # Its own list of these is kept from the time when inputs may have been missing.
    params = [persistence._serialize_param(_ordered(value)) for value in job.non_derived_params]
    script = local_script(rule)
    return [
        rule.name,
        dict(job.wildcards_dict),
        persistence._code(rule),
        sorted(text for text in params if isinstance(text, str)),
        persistence._software_stack_hash(job),
        rule.wrapper,
        _shell_command(job),
        hashlib.sha256(Path(script).read_bytes()).hexdigest() if script else "",
        # A shell command holds what it uses of it.
        [] if rule.shellcmd is not None else workflow.globals.get("config", {}),
    ]


def _shell_command(job: Any) -> str:
    try:
        return job.shellcmd or ""
    except Exception:  # whatever the workflow's own functions may raise
        return ""  # the worker says what is wrong with it


def _ordered(value: Any) -> Any:
    """Return a set as a list: its order differs from process to process."""
    return sorted(map(repr, value)) if isinstance(value, set | frozenset) else value
