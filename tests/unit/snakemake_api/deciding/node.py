"""Calls that rules make, and a worker node without Snakemake that runs what stands for them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.snakemake_api.deciding import scripts
from snakemake_executor_plugin_grid.snakemake_api.deciding.paths import Paths
from snakemake_executor_plugin_grid.snakemake_api.deciding.scripts import shim
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.decided.decision import PYTHON, SCRIPT, TMPDIR
from snakemake_executor_plugin_grid.worker.description import WORKDIR


def _pythons() -> list[Any]:
    """Return this Python, and the oldest and newest on this machine that can read the stand-in."""
    others = []
    for minor in range(6, 15):
        name = f"python3.{minor}"
        installed = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}")
        for python in filter(None, [*map(str, installed), shutil.which(name)]):
            if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
                others.append(pytest.param(python, id=name))
                break
    return [pytest.param(sys.executable, id="this"), *others[:1], *others[1:][-1:]]


PYTHONS = _pythons()


@dataclass(frozen=True)
class Call:
    """What a rule calls: the name of Snakemake's function, and the arguments."""

    kind: str
    args: tuple[Any, ...]


def call(job: Any, tmpdir: str = TMPDIR, iteration: int | None = None) -> Call:
    """Return the call that the code of a job's rule makes."""
    calls: list[Call] = []
    function, workflow = job.rule.run_func, job.rule.workflow

    def recorder(kind: str) -> Any:
        return lambda *args: calls.append(Call(kind, args))

    kinds = ("script", "notebook", "wrapper", "render_template", "cwl")
    names = {**function.__globals__, **{kind: recorder(kind) for kind in kinds}}
    resources = type(job.resources)(
        fromdict={
            name: tmpdir if name == "tmpdir" else value for name, value in job.resources.items()
        }
    )
    job._resources, job._params = resources, None  # functions of params see them
    types.FunctionType(function.__code__, names, "rule", function.__defaults__)(
        *(job.input._plainstrings(), job.output._plainstrings(), job.params, job.wildcards),
        *(job.threads, resources, job.log._plainstrings(), job.rule.name, None, None),
        *("", False, None, None, job.jobid, True, iteration, True, None, None, None),
        *(job.rule.basedir, workflow.sourcecache.cache_path),
        *(workflow.sourcecache.runtime_cache_path, workflow.runtime_paths),
    )
    (made,) = calls
    return made


def paths_of(job: Any) -> Paths:
    cache = job.rule.workflow.sourcecache
    return Paths(Layout(Path.cwd()).on_worker, (cache.cache_path, cache.runtime_cache_path))


def render(job: Any, **options: Any) -> scripts.Rendered:
    made = call(job, **options)
    return scripts.render(made.kind, made.args, job, paths_of(job))


class Node:
    """A folder as on a worker node, and programs that have no Snakemake."""

    def __init__(self, top: Path, python: str = sys.executable) -> None:
        top = top.with_name(f"node-{top.name}")  # beside the working directory
        self.workdir = top / "node" / "levels" / "work"
        self.workdir.mkdir(parents=True)
        self.tmpdir = top / "node tmp"
        self.tmpdir.mkdir()
        self.shim = top / "node" / shim.FOLDER
        for name, content in shim.files().items():
            (top / "node" / name).parent.mkdir(parents=True, exist_ok=True)
            (top / "node" / name).write_bytes(content)
        self.python = f"{shlex.quote(python)} -S"
        self.environment = {"PATH": "/usr/bin:/bin", "GRID_SHIM": str(self.shim)}

    def run(self, rendered: scripts.Rendered, *inputs: str) -> subprocess.CompletedProcess[str]:
        """Run a command with its files and inputs of the current folder."""
        for there, here in {**rendered.files, **{name: name for name in inputs}}.items():
            target = Path(os.path.normpath(self.workdir / there))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(here, target)
        script = rendered.command.script
        assert script is not None
        path = self.workdir / ".snakemake" / "scripts" / f"tmp.{script.name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._here(script.text).encode())
        command = self._here(rendered.command.text).replace(SCRIPT, str(path))
        return subprocess.run(
            ["bash", "-c", command.replace(PYTHON, self.python)],
            cwd=self.workdir,
            env={**self.environment, "TMPDIR": str(self.tmpdir)},
            capture_output=True,
            text=True,
            check=False,
        )

    def _here(self, text: str) -> str:
        return text.replace(WORKDIR, str(self.workdir)).replace(TMPDIR, str(self.tmpdir))
