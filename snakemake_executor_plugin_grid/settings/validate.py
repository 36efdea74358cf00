"""The check of the options that all backends share, and what backends check theirs with."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from ..model.bundle_size import problem_of as problem_of_bundle
from ..model.job import words
from ..model.size import read_size
from .choices import COMPRESSIONS, DECIDE, ENGINES, INTERRUPTS, RUNTIMES, UNDECLARED
from .names import flag
from .options import ExecutorSettings

_START_TIMEOUT = 60.0  # seconds; of a Python on a network file system


def problems_of(settings: ExecutorSettings) -> list[str]:
    """Return a sentence for each bad option: its name, its value and what it should be."""
    return [
        *bad_choices(
            settings,
            runtime=RUNTIMES,
            decide=DECIDE,
            runtime_engine=ENGINES,
            compression=COMPRESSIONS,
            undeclared=UNDECLARED,
            on_interrupt=INTERRUPTS,
        ),
        *bad_numbers(
            settings,
            source_file_limit=0,
            source_limit=0,
            large_file=1,
            staging_threads=1,
            start_limit=1,
            lost_limit=1,
            avoid_limit=1,
            bundle_minutes=0,
            bundle_processors=1,
            outage_limit=0,
            infrastructure_retries=0,
            proxy_hours=0,
            priority=0,
        ),
        *bad_pythons(settings, "rucio_python"),
        *_combinations(settings),
        *_sizes(settings),
    ]


def refuse(problems: Sequence[str]) -> None:
    """End the run if there are problems.

    Raises:
        WorkflowError: Names all of them.
    """
    if problems:
        raise WorkflowError("\n".join(problems))


def bad_choices(settings: ExecutorSettings, **allowed: Sequence[str]) -> list[str]:
    """Return a sentence for each option that has none of its allowed values."""
    return [
        f"{flag(name)}: there is no {getattr(settings, name)!r}; choose from {', '.join(values)}."
        for name, values in allowed.items()
        if getattr(settings, name) not in values
    ]


def bad_numbers(settings: ExecutorSettings, **least: int) -> list[str]:
    """Return a sentence for each option that is less than its least value, or no finite number."""
    return [
        f"{flag(name)}: has to be {minimum} or more, not {value}."
        for name, minimum in least.items()
        if (value := getattr(settings, name)) is not None and not minimum <= value < math.inf
    ]


def bad_programs(settings: ExecutorSettings, *names: str) -> list[str]:
    """Return a sentence for each option that names a file which cannot be executed."""
    return [
        f"{flag(name)} {path}: is no program that can be run."
        for name in names
        if (path := getattr(settings, name)) is not None
        and not (path.is_file() and os.access(path, os.X_OK))
    ]


def bad_pythons(settings: ExecutorSettings, *names: str) -> list[str]:
    """Return a sentence for each option that names a file which is no Python: it is called."""
    problems = bad_programs(settings, *names)
    if problems:
        return problems
    paths = {name: path for name in names if (path := getattr(settings, name)) is not None}
    return [
        f"{flag(name)} {path}: {problem}."
        for name, path in paths.items()
        if (problem := _why_no_python(path))
    ]


def _why_no_python(path: Path) -> str:
    try:
        done = subprocess.run(
            [path, "-c", "print('p' + 'ython')"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_START_TIMEOUT,
            check=False,
        )
    except OSError as error:
        return f"is no program that can be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return ""  # a slow file system: the client is given more time
    if b"python" in done.stdout.split():
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "is no Python" + (f"; it says: {said[-1].rstrip('.')}" if said else "")


def _sizes(settings: ExecutorSettings) -> list[str]:
    try:
        read_size(settings.output_limit or "0")
    except ValueError as error:
        return [f"--grid-output-limit: {error}."]
    return []


def _combinations(settings: ExecutorSettings) -> list[str]:
    problems = []
    if problem := problem_of_bundle(settings.bundle):
        problems.append(f"--grid-bundle: {problem}.")
    sites, banned = words(settings.site), words(settings.banned_sites)
    if sites and set(banned).issuperset(sites):
        problems.append(
            f"--grid-site {settings.site}: --grid-banned-sites names the same; remove one of the "
            "two."
        )
    needed = {"setup": "runtime_setup", "container": "runtime_image"}
    name = needed.get(settings.runtime)
    if name and not getattr(settings, name):
        problems.append(f"--grid-runtime {settings.runtime}: needs {flag(name)} as well.")
    problems += [
        f"--grid-include {glob}: --grid-exclude names it as well; remove one of the two."
        for glob in settings.include
        if glob in settings.exclude
    ]
    version = settings.runtime_python
    if version and not re.fullmatch(r"3\.\d+", version):
        problems.append(f"--grid-runtime-python: has to look like 3.11, not {version!r}.")
    if settings.store_token is not None and not settings.store_token.is_file():
        problems.append(f"--grid-store-token {settings.store_token}: there is no such file.")
    return problems
