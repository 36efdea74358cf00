"""What the submit host asks a worker's Snakemake to do: see `comparison`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..model.errors import GridError
from ..worker.description import WORKDIR
from .comparison.facts import Facts, cleaner, facts, key
from .comparison.plain import Place, workdir_places
from .deciding.decided import Unsupported
from .deciding.groups import late_values
from .deciding.variables import LEAST_SECRET

_ON, _OFF = ("yes", "true", "1"), ("no", "false", "0")


class Comparison:
    """Collects the facts of jobs, with which a worker compares what it is about to do."""

    def __init__(self, workdir: Path, translate: Callable[[str], str]) -> None:
        """Store the paths of this host.

        Args:
            workdir: The working directory.
            translate: Returns what stands for an absolute path on a worker, see `Layout.on_worker`.
        """
        self._translate = translate
        self._places: list[Place] = []
        for folder in dict.fromkeys((str(workdir), os.path.realpath(workdir))):
            self._places += workdir_places(folder, len(Path(folder).parts) - 2)

    def expected(
        self, members: list[Any], environment: Mapping[str, str], translated: Iterable[str] = ()
    ) -> str:
        """Return what the worker compares, as JSON text for `comparison.watch`.

        Args:
            members: The single jobs of Snakemake that run together.
            environment: Variables that the worker sets; their values may be secrets.
            translated: Paths of the configuration of which the worker has its own.

        Raises:
            GridError: The resource ``grid_compare`` of a job has an unknown value.
        """
        # Not the variables of which the text says nothing: a flag, a number.
        secrets = {name: value for name, value in environment.items() if len(value) >= LEAST_SECRET}
        places = [*self._places, *self._aliases([*translated, *_absolute(members)])]
        clean = cleaner(members[0], places, secrets)
        jobs: dict[str, Any] = {}
        made = {str(path) for job in members for path in job.output}
        for job in members:
            found, excepted = facts(job, clean), compared(job.resources.get("grid_compare"))
            found.update(dict.fromkeys(late_facts(job, made)))
            if excepted is not None:
                _check(job.rule.name, excepted, found)
                found = {name: text for name, text in found.items() if name not in excepted}
            name = key(job.rule.name, job.wildcards_dict, clean)
            jobs[name] = None if excepted is None else {"facts": found, "except": sorted(excepted)}
        return json.dumps({"places": places, "secrets": sorted(secrets), "jobs": jobs})

    def _aliases(self, paths: Iterable[str]) -> list[Place]:
        """Return other names of the working directory with which paths begin."""
        known = {path for path, _ in self._places}
        found = {}
        for path in paths:
            mark = self._translate(path)
            rest = mark.removeprefix(WORKDIR)
            alias = path[: len(path) - len(rest)]
            if mark.startswith(WORKDIR) and path.endswith(rest) and alias not in known:
                found[alias] = WORKDIR
        return sorted(found.items())


def compared(value: Any) -> frozenset[str] | None:
    """Return the names that the resource ``grid_compare`` excepts; None for no comparison.

    Args:
        value: Of the resource; None if the rule has none.
    """
    text = "yes" if value is None else str(value).strip()
    if text.lower() in _OFF:
        return None
    if text.lower() in _ON:
        return frozenset()
    return frozenset(filter(None, (re.sub(r"\s+", " ", name.strip()) for name in text.split(","))))


def late_facts(job: Any, made: Iterable[str]) -> list[str]:
    """Return the names of facts that change while the group of a job runs.

    Their functions may look at files that the group makes, so that their values here mean nothing.

    Args:
        job: ``snakemake.jobs.Job``.
        made: Outputs of its group.
    """
    try:
        late = late_values(job, made)
    except Unsupported:  # a function of its threads
        return ["params", "resources", "command"]
    if late is None:
        return []
    pairs = enumerate(name for name, _ in job.rule.params._allitems())
    names = [str(index if name is None else name) for index, name in pairs]
    params = [f"params.{names[position]}" for position in late.params]
    return [*params, *(f"resources.{name}" for name in late.resources), "command"]


def _check(rule: str, names: frozenset[str], found: Facts) -> None:
    """Raise an error for a name that the job has not."""
    kinds = {re.split(r"[. ]", name, maxsplit=1)[0] for name in found}
    unknown = sorted(name for name in names if name not in found and name not in kinds)
    # Those of a kind that cannot be evaluated here are not known.
    unknown = [name for name in unknown if name.partition(".")[0] not in found]
    if unknown:
        known = ", ".join(sorted(found))
        raise GridError(
            f"resource grid_compare: rule {rule} has no {unknown[0]!r}; use 'no' to compare "
            f"nothing, or names of what may differ, separated by commas, from: {known}"
        )


def _absolute(members: list[Any]) -> Iterable[str]:
    for job in members:
        for path in (*job.input, *job.output, *job.log):
            if path.startswith("/"):
                yield str(path)
