"""Stops a job that this Snakemake would do differently than the submit host has asked for."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .facts import Facts, cleaner, facts, key
from .placeholders import Placeholders
from .plain import UNDECIDED, workdir_places

EXPECTED_FILE = "expected.json"
"""What the submit host asked for."""
DIFFERENCE_FILE = "difference.txt"
"""Why a job did not run; the worker puts it into its report."""
_CLOSED = "(none)"
_ADVICE = {
    "input": "Declare the files by which the workflow decides as inputs of the rule, or send them "
    "by --grid-include",
    "params": "Take the value from the configuration (--config, configfile:), or from a variable "
    "that envvars: names; declare a file on which it depends as an input, or send it by "
    "--grid-include",
    "resources": "Set the resource by a number, or by --set-resources",
    "global": "Pass the value to the rule by params or the configuration",
}
_KINDS = {"output": "input", "log": "input", "benchmark": "input", "wildcards": "input"}


def watch(folder: str) -> None:
    """Have this process compare each job before Snakemake touches anything.

    ``Executor.run_single_job`` starts every job, also each member of a group, and the call of
    ``Job.prepare`` in it removes outputs (Snakemake 9.27).

    Args:
        folder: Holds `EXPECTED_FILE`. Python runs it as a program: see `start`.

    Raises:
        AttributeError: This version of Snakemake has other names.
    """
    from snakemake.executors import local

    expected = json.loads(Path(folder, EXPECTED_FILE).read_text())
    placeholders = Placeholders(folder)
    inner = local.Executor.run_single_job
    python = local.Executor.get_python_executable

    def run_single_job(self: Any, job: Any) -> Any:
        message = difference(job, expected)
        if message:
            Path(folder, DIFFERENCE_FILE).write_text(message)
            # The whole text goes into the report.
            return self.pool.submit(
                _fail, f"{_title(job)} did not run: it differs from the submit host's."
            )
        if self.use_threads or job.is_template_engine or not (job.is_shadow or job.is_run):
            placeholders.remove()  # another process runs the other jobs
        return inner(self, job)

    def get_python_executable(self: Any) -> str:
        # `start` takes "-m snakemake", which follows.
        return f"{python(self)} {shlex.quote(folder)}"

    local.Executor.run_single_job = run_single_job
    local.Executor.get_python_executable = get_python_executable


def _fail(text: str) -> None:
    """Fail as a job does; an error of ``run_single_job`` would end Snakemake instead."""
    from snakemake_interface_common.exceptions import WorkflowError

    raise WorkflowError(text)  # of which it shows no traceback


def difference(job: Any, expected: Mapping[str, Any]) -> str:
    """Return why a job must not run, empty if it may.

    Args:
        job: ``snakemake.jobs.Job``.
        expected: ``jobs``, by `key`: ``facts`` and the names to ``except``, or None if the rule is
            not compared; ``places``: paths and marks; ``secrets``: names of variables; ``folders``:
            how many folders above the working directory the job has.
    """
    here = os.getcwd()  # noqa: PTH109
    own = workdir_places(here, int(expected["folders"]))
    places = [*own, *((path, mark) for path, mark in expected["places"])]
    secrets = {name: os.environ[name] for name in expected["secrets"] if name in os.environ}
    clean = cleaner(job, places, secrets)
    jobs = expected["jobs"]
    name = key(job.rule.name, job.wildcards_dict, clean)
    if name not in jobs and any(rule.is_checkpoint for rule in job.rule.workflow.rules):
        return (
            ""  # it makes temporary files again that a checkpoint reads; nothing of it comes back
        )
    if name not in jobs:
        asked = "; ".join(sorted(jobs))
        return (
            f"{_BEGIN}, so {_title(job)} does not run. The submit host has not asked for this job, "
            f"but for {asked}. What to do: {_advice('input')}."
        )
    if jobs[name] is None:
        return ""
    wanted, excepted = jobs[name]["facts"], set(jobs[name]["except"])
    found = list(compare(wanted, facts(job, clean), excepted))
    if not found:
        return ""
    shown = ". ".join(f"{item}: {one} on the submit host, {two} here" for item, one, two in found)
    names = ",".join(item for item, _, _ in found)
    advice = ". ".join(dict.fromkeys(_advice(item) for item, _, _ in found))
    return (
        f"{_BEGIN}, so {_title(job)} does not run. {shown}. What to do: {advice}. If it may "
        f'differ, set the resource grid_compare="{names}" of the rule.'
    )


_QUOTED = re.compile(rf"'([\w@%+=:,./-]*{re.escape(UNDECIDED)}[\w@%+=:,./-]*)'")
_BEGIN = "the workflow means something else on this worker than on the submit host"


def compare(
    wanted: Mapping[str, str | None], here: Facts, excepted: Iterable[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield the name and both values of each fact that differs.

    Args:
        wanted: Facts of the submit host.
        here: Facts of this process.
        excepted: Names of facts, or of kinds of facts, that may differ.
    """
    skipped = {*excepted, *(kind for kind in ("params", "resources") if kind in {*wanted, *here})}
    for name in sorted({*wanted, *here}, key=_rank):
        if name in skipped or _kind(name) in skipped:
            continue
        if name not in wanted and _kind(name) == "resources":
            continue  # a worker's Snakemake sets defaults, such as mem_mb (9.27)
        there, own = wanted.get(name, _CLOSED), here.get(name, _CLOSED)
        if there is not None and own is not None and not _same(there, own):
            yield name, there, own


def _same(there: str, here: str) -> bool:
    """Return whether two texts are the same, as far as the submit host could decide."""
    if there == here:
        return True
    there, here = _unquoted(there), _unquoted(here)
    first, *parts = there.split(UNDECIDED)
    if not parts or not here.startswith(first):
        return False
    *parts, last = parts
    start, end = len(first), len(here) - len(last)
    for part in parts:  # the first place is the best; a regular expression would try all
        start = here.find(part, start, end) + len(part)
        if start < len(part):
            return False
    return start <= end and here.endswith(last)


def _unquoted(text: str) -> str:
    """Return a text without the quotes that the brackets of a mark need in a command."""
    with contextlib.suppress(SyntaxError, ValueError):  # a list, or shortened
        literal = ast.literal_eval(text)  # ``repr`` chooses its quotes by those in the text
        text = literal if isinstance(literal, str) else text
    return _QUOTED.sub(r"\1", text)


def _kind(name: str) -> str:
    return re.split(r"[. ]", name, maxsplit=1)[0]


def _rank(name: str) -> tuple[bool, str]:
    """Return the order of facts: a command, which contains others, comes last."""
    return name == "command", name


def _advice(name: str) -> str:
    kind = _kind(name)
    return _ADVICE.get(_KINDS.get(kind, kind), _ADVICE["params"])


def _title(job: Any) -> str:
    values = ", ".join(f"{name}={value}" for name, value in job.wildcards_dict.items())
    return f"rule {job.rule.name} ({values})" if values else f"rule {job.rule.name}"
