"""A decided command in a container does what Snakemake's own line for it does."""

from __future__ import annotations

import os
import subprocess
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest
from snakemake.deployment import singularity

from snakemake_executor_plugin_grid import ExecutorSettings
from snakemake_executor_plugin_grid.worker.decided.decision import Container
from tests.servers.apptainer.fixture import URL, Apptainer, apptainer

__all__ = ["apptainer"]

MODULE = "snakemake_executor_plugin_grid.worker.decided.engine"
if "decide" not in {known.name for known in fields(ExecutorSettings)} and not find_spec(MODULE):
    pytest.skip("there are no decided jobs", allow_module_level=True)

from snakemake_executor_plugin_grid.worker.decided.engine import engine_line  # noqa: E402

QUOTES = r"""printf '%s\n' "it's" '"$HOME"' \$ "$HOME" `echo ran` $(pwd) {} '%' '\n' 'a
b'"""
COMMANDS = {
    "quotes": QUOTES,
    "variables": 'echo "$TMPDIR|$OMP_NUM_THREADS|$OF_IMAGE|$PATH|$ODD|${EMPTY-unset}"',
    "files": "set -euo pipefail; cat in.txt /etc/grid-image > out.txt; cat out.txt",
    "failure": "set -euo pipefail; false | cat; echo not reached",
    "code": "exit 7",
    "signal": "kill -TERM $$",
}
NODE = {"TMPDIR": "/tmp", "OMP_NUM_THREADS": "3", "OF_IMAGE": "of the node", "EMPTY": ""}


def outcome(argv: list[str], folder: Path, env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    # A shell around the engine says 128 + signal.
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("folder", "arguments"),
    [
        ("tree", ""),
        ("quote's", "--nv --cleanenv"),
        ("with blank", "--bind '{bound}':/data:ro -B $BOUND:/other"),
    ],
)
def test_it_does_what_snakemake_does(
    apptainer: Apptainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    arguments: str,
    name: str,
) -> None:
    job = tmp_path / "job"
    cwd = job / folder
    cwd.mkdir(parents=True)
    (cwd / "in.txt").write_text("word\n")
    bound = tmp_path / "bound folder"
    bound.mkdir()
    monkeypatch.setenv("PATH", apptainer.path)
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(singularity.Singularity, "instance", None)
    singularity.Singularity().check()
    arguments = arguments.format(bound=bound)
    env = {**os.environ, **NODE, "ODD": 'it\'s $HOME `x` "y"\\', "BOUND": str(tmp_path)}
    theirs = singularity.shellcmd(
        URL, COMMANDS[name], args=arguments, shell_executable="/usr/bin/bash"
    )
    ours = engine_line(  # noqa: S604 - not a call of subprocess
        Container(URL, arguments=arguments),
        COMMANDS[name],
        engine=str(apptainer.folder / "apptainer"),
        shell="bash",
        cwd=str(cwd),
        folder=str(job),
    )
    expected = outcome(["bash", "-c", theirs], cwd, env)
    assert outcome(["/bin/sh", "-c", ours], cwd, env) == expected
    assert expected[0] == {"failure": 1, "code": 7, "signal": 143}.get(name, 0)
    assert [call[0] for call in apptainer.calls] == ["--version", "exec", "exec"]
