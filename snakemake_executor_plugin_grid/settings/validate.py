"""The one check of all options, at the start of a run."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from ..model.errors import PermanentError
from ..model.job import words
from ..stores import check_store
from .options import (
    BACKENDS,
    COMPRESSIONS,
    DIRAC_INPUTS,
    DIRAC_MODES,
    ENGINES,
    INTERRUPTS,
    ISOLATIONS,
    PANDA_ROUTES,
    PANDA_SECRETS,
    RUNTIMES,
    UNDECLARED,
    ExecutorSettings,
)

_DIRAC_ONLY = ("tags", "job_type", "jdl", "dirac_python", "dirac_storage_element")
_PANDA_ONLY = (
    *("panda_python", "panda_vo", "panda_working_group", "panda_cloud", "panda_transformation"),
    *("panda_container", "panda_task", "panda_monitor"),
)
_SERVERS_ONLY = ("platform", "priority")


def check(settings: ExecutorSettings, workdir: Path) -> None:
    """Check all options at once.

    Args:
        settings: As given.
        workdir: Working directory of the workflow.

    Raises:
        WorkflowError: Names each bad option, what it should be and what it was.
    """
    problems = [
        *_choices(settings),
        *_numbers(settings),
        *_combinations(settings),
        *_folders(settings, workdir),
    ]
    if problems:
        raise WorkflowError("\n".join(problems))


def _choices(settings: ExecutorSettings) -> list[str]:
    allowed = {
        "backend": BACKENDS,
        "runtime": RUNTIMES,
        "runtime_engine": ENGINES,
        "compression": COMPRESSIONS,
        "undeclared": UNDECLARED,
        "local_isolation": ISOLATIONS,
        "on_interrupt": INTERRUPTS,
        "dirac_mode": DIRAC_MODES,
        "dirac_inputs": DIRAC_INPUTS,
        "panda_route": PANDA_ROUTES,
        "panda_secrets": PANDA_SECRETS,
    }
    return [
        f"{_flag(name)}: there is no {getattr(settings, name)!r}; choose from {', '.join(values)}."
        for name, values in allowed.items()
        if getattr(settings, name) not in values
    ]


def _numbers(settings: ExecutorSettings) -> list[str]:
    least = {
        "source_file_limit": 0,
        "source_limit": 0,
        "large_file": 1,
        "staging_threads": 1,
        "start_limit": 1,
        "lost_limit": 1,
        "outage_limit": 0,
        "infrastructure_retries": 0,
        "proxy_hours": 0,
        "priority": 0,
        "local_cores": 1,
        "local_mem_mb": 1,
    }
    return [
        f"{_flag(name)}: has to be {minimum} or more, not {value}."
        for name, minimum in least.items()
        if (value := getattr(settings, name)) is not None
        # Also what is no number at all.
        and not minimum <= value < math.inf
    ]


def _combinations(settings: ExecutorSettings) -> list[str]:
    problems = []
    needed = {"setup": "runtime_setup", "container": "runtime_image"}
    sites, banned = words(settings.site), words(settings.banned_sites)
    if sites and set(banned).issuperset(sites):
        problems.append(
            f"--grid-site {settings.site}: --grid-banned-sites names the same; take one away."
        )
    name = needed.get(settings.runtime)
    if name and not getattr(settings, name):
        problems.append(f"--grid-runtime {settings.runtime}: needs {_flag(name)} as well.")
    problems += [
        f"--grid-include {glob}: --grid-exclude names it as well; take one away."
        for glob in settings.include
        if glob in settings.exclude
    ]
    version = settings.runtime_python
    if version and not re.fullmatch(r"3\.\d+", version):
        problems.append(f"--grid-runtime-python: has to look like 3.11, not {version!r}.")
    if settings.backend != "local":
        local = ("local_dir", "local_cores", "local_mem_mb", "local_python")
        problems += _misplaced(settings, local, "local")
    return problems + _dirac_combinations(settings) + _panda_combinations(settings)


def _panda_combinations(settings: ExecutorSettings) -> list[str]:
    problems = []
    if settings.backend != "panda":
        problems += _misplaced(settings, _PANDA_ONLY, "panda")
        if settings.backend == "local":
            problems += _misplaced(settings, _SERVERS_ONLY, "dirac or panda")
    elif settings.store is None and not settings.describe:
        problems.append(
            "--grid-store: PanDA brings no outputs back without one; give a place that you and "
            "the worker nodes can reach, such as file:///eos/…, s3://…, root://… or davs://…."
        )
    if settings.panda_task:
        from ..backends.panda.task import read_extra

        try:
            read_extra(settings.panda_task)
        except PermanentError as error:
            problems.append(f"{error}.")
    if settings.store_token is not None and not settings.store_token.is_file():
        problems.append(f"--grid-store-token {settings.store_token}: there is no such file.")
    return problems


def _misplaced(settings: ExecutorSettings, names: Iterable[str], backend: str) -> list[str]:
    return [
        f"{_flag(name)}: is for --grid-backend {backend}, but that is {settings.backend!r}."
        for name in names
        if getattr(settings, name) is not None and settings.backend in BACKENDS
    ]


def _dirac_combinations(settings: ExecutorSettings) -> list[str]:
    problems = []
    if settings.backend != "dirac":
        problems += _misplaced(settings, _DIRAC_ONLY, "dirac")
    remote = (settings.store or "").startswith("lfn:")
    if remote and settings.backend != "dirac":
        problems.append("--grid-store lfn:…: needs --grid-backend dirac.")
    elif remote and not settings.dirac_storage_element:
        problems.append("--grid-store lfn:…: needs --grid-dirac-storage-element as well.")
    if settings.dirac_storage_element and settings.store and not remote:
        problems.append(
            f"--grid-dirac-storage-element: files would go through --grid-store {settings.store} "
            "instead; take one away."
        )
    if settings.dirac_mode == "local":
        problems += [
            f"{option}: jobs of --grid-dirac-mode local end with the run, and cannot be left."
            for option, given in (
                ("--grid-detach", settings.detach),
                ("--grid-on-interrupt keep", settings.on_interrupt == "keep"),
            )
            if given
        ]
    if settings.dirac_mode == "local" and settings.dirac_storage_element:
        problems.append(
            "--grid-dirac-mode local: uses no storage element; take "
            "--grid-dirac-storage-element away."
        )
    remote_only = settings.backend == "dirac" and settings.dirac_mode == "server"
    stored = settings.dirac_storage_element or settings.store
    if remote_only and settings.runtime == "wheels" and not stored:
        problems.append(
            "--grid-runtime wheels: the packages do not fit into a sandbox of DIRAC; give "
            "--grid-dirac-storage-element as well."
        )
    if settings.dirac_mode == "local" and settings.store:
        problems.append("--grid-dirac-mode local: uses no store; take --grid-store away.")
    if not 0 < settings.dirac_cpu_power < math.inf:
        problems.append(
            f"--grid-dirac-cpu-power: has to be more than 0, not {settings.dirac_cpu_power:g}."
        )
    return problems


def _folders(settings: ExecutorSettings, workdir: Path) -> list[str]:
    problems = []
    if settings.store is not None and not settings.store.startswith("lfn:"):
        try:
            check_store(settings.store, workdir)
        except PermanentError as error:
            problems.append(str(error))
    if settings.local_dir is not None and _is_below(settings.local_dir, workdir):
        problems.append(
            f"--grid-local-dir {settings.local_dir}: is below the working directory, which jobs "
            "must not see; choose a folder elsewhere."
        )
    for name in ("local_python", "dirac_python", "panda_python"):
        python = getattr(settings, name)
        if python is not None and not (python.is_file() and os.access(python, os.X_OK)):
            problems.append(f"{_flag(name)} {python}: is no program that can be run.")
    return problems


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _flag(name: str) -> str:
    return f"--grid-{name.replace('_', '-')}"
