"""A folder in which decisions are carried out, by a process as on a node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.decided.decision import (
    Command,
    DecidedOutput,
    Decision,
    Shell,
    Step,
)
from snakemake_executor_plugin_grid.worker.decided.result import Result, read_result
from snakemake_executor_plugin_grid.worker.description import Job
from snakemake_executor_plugin_grid.worker.payload import _HOME, _RUN
from snakemake_executor_plugin_grid.worker.runtime import Runtime

BASH = Shell("bash", "set -euo pipefail;  ")


@dataclass
class Place:
    """A job's folder."""

    sandbox: Path
    env: dict[str, str] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=lambda: Runtime("inherit"))
    declared: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def __post_init__(self) -> None:
        self.scratch = self.sandbox / "scratch"
        self.cwd = self.scratch / "tree"
        self.cwd.mkdir(parents=True)
        (self.scratch / "tmp").mkdir()

    def start(self, decision: Decision) -> subprocess.Popen[str]:
        job = Job("job", "", (), (), (), self.runtime, decision=decision)
        (self.sandbox / "job.json").write_text(job.dumps())
        (self.sandbox / "environment.json").write_text(json.dumps(self.declared))
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "TMPDIR": str(self.scratch / "tmp"),
            "SNAKEMAKE_GRID_JOB": "job",
        }
        return subprocess.Popen(
            [sys.executable, "-S", "-I", "-c", _RUN, _HOME, str(self.sandbox)],
            cwd="/",
            env={**env, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *layers: Step | tuple[Step, ...], **fields: object) -> Result:
        """Carry out layers of steps; return the result, with which the exit code agrees."""
        several = tuple(one if isinstance(one, tuple) else (one,) for one in layers)
        process = self.start(Decision(several, **fields))  # type: ignore[arg-type]
        self.log, _ = process.communicate(timeout=30)
        result = read_result(self.scratch)
        assert result is not None, self.log
        assert process.returncode == result.status
        return result

    def put(self, **files: str) -> None:
        for name, text in files.items():
            (self.cwd / name).write_text(text)

    def text(self, name: str) -> str:
        return (self.cwd / name).read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "sandbox")


def step(text: str = "", rule: str = "a", *outputs: str | DecidedOutput, **fields: object) -> Step:
    """A step with one shell command, or none."""
    made = tuple(DecidedOutput(one) if isinstance(one, str) else one for one in outputs)
    commands = (Command(text),) if text else ()
    given = {"commands": commands, "shell": BASH, **fields}
    return Step(rule, outputs=made, **given)  # type: ignore[arg-type]


def dumped(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text()))
