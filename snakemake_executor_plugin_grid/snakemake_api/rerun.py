"""What a job does, as far as Snakemake's rerun triggers look at it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .local_script import local_script


def rerun_facts(workflow: Any, job: Any) -> list[Any]:
    """Return JSON values that describe what a single job does.

    Args:
        workflow: ``snakemake.workflow.Workflow``.
        job: ``snakemake.jobs.Job``.
    """
    rule, persistence = job.rule, workflow.persistence
    # Snakemake caches its own list, perhaps from a time when inputs were missing.
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
        # A shell command contains what it uses of the configuration.
        [] if rule.shellcmd is not None else _named(workflow.globals.get("config", {})),
    ]


def _shell_command(job: Any) -> str:
    try:
        return job.shellcmd or ""
    except Exception:  # functions of the workflow may raise anything
        return ""  # the worker reports the error


def _named(value: Any) -> Any:
    """Return a value whose mappings have only texts as keys; YAML has numbers, dates, None too.

    JSON cannot sort keys of several types, and knows no dates.
    """
    if isinstance(value, Mapping):
        pairs = [(key, _named(one)) for key, one in value.items()]
        if all(isinstance(key, str) for key, _ in pairs):
            return dict(pairs)
        return sorted(([repr(key), one] for key, one in pairs), key=lambda pair: pair[0])
    return [_named(one) for one in value] if isinstance(value, list | tuple) else value


def _ordered(value: Any) -> Any:
    """Return a set as a sorted list, as its order differs between processes."""
    return sorted(map(repr, value)) if isinstance(value, set | frozenset) else value
