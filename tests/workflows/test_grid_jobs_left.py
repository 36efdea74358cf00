"""Runs that end before their jobs, which store their files on the grid all the same."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.grid_files.dirac import PYTHON
from tests.conftest import Project
from tests.dirac_in_a_folder import DiracFolder
from tests.faults import eventually

pytestmark = pytest.mark.workflow

STORAGE = ("--storage-grid-storage-element", "SE-1")
LFN = "lfn:/vo/x.txt"
GO_ON = (*STORAGE, "--nolock")


@pytest.fixture
def dirac(project: Project, tmp_path: Path) -> DiracFolder:
    made = DiracFolder(tmp_path / "dirac")
    project.environment[PYTHON] = str(made.python)
    return made


class Scene:
    """A workflow whose first job goes on when its run is killed.

    Attributes:
        ran: Has a line for each time that a payload ran.
    """

    def __init__(self, project: Project, dirac: DiracFolder, folder: Path) -> None:
        self.project, self.dirac = project, dirac
        self.ran, self._go = folder / "ran", folder / "go"
        project.put("Snakefile", self.workflow())

    def workflow(self, target: str = "final.txt", command: str = "echo x >{output.x}") -> str:
        return f"""
rule all:
    input: "{target}"
rule one:
    output: x=storage.grid("{LFN}"), y="y.txt"
    log: "one.log"
    shell:
        "echo one >>{self.ran}; while ! test -e {self._go}; do sleep 0.2; done; "
        "{command}; echo y >{{output.y}}; echo said >{{log}}"
rule two:
    input: storage.grid("{LFN}")
    output: "final.txt"
    shell: "echo two >>{self.ran}; cat {{input}} >{{output}}"
"""

    def leave(self, *args: str, by: int = signal.SIGKILL) -> None:
        """Start a run, end it by a signal while the job runs, and let the job end."""
        process = self.project.start(*STORAGE, *args)
        eventually(self.ran.exists)
        os.kill(process.pid, by)
        process.wait(60)
        self._go.touch()
        eventually(lambda: self.dirac.path(LFN).exists())
        assert not (self.project.folder / "y.txt").exists()

    def has(self, *lines: str) -> None:
        assert self.ran.read_text().split() == list(lines)


@pytest.fixture
def scene(project: Project, dirac: DiracFolder, tmp_path: Path) -> Scene:
    return Scene(project, dirac, tmp_path)


def test_log_and_other_outputs_of_a_left_job_come_back(scene: Scene) -> None:
    scene.leave()
    planned = scene.project.run(*GO_ON, "--dry-run").succeeded()
    assert "rule one" in planned.output
    output = scene.project.run(*GO_ON).succeeded().output
    assert "Going on with 1 job(s) of an earlier run" in output
    assert scene.project.read("y.txt") == "y\n"
    assert scene.project.read("one.log") == "said\n"
    assert scene.project.read("final.txt") == "x\n"
    scene.has("one", "two")
    assert "Nothing to be done" in scene.project.run(*GO_ON).succeeded().output


def test_a_changed_job_is_run_again_and_replaces_the_file(scene: Scene) -> None:
    scene.leave()
    scene.project.put("Snakefile", scene.workflow(command="echo newer >{output.x}"))
    scene.project.run(*GO_ON).succeeded()
    assert scene.dirac.path(LFN).read_text() == scene.project.read("final.txt") == "newer\n"
    scene.has("one", "one", "two")
    assert "Nothing to be done" in scene.project.run(*GO_ON).succeeded().output


def test_jobs_that_are_not_asked_for_do_not_matter(scene: Scene) -> None:
    scene.leave()
    other = """
rule other:
    output: "other.txt"
    shell: "touch {output}"
"""
    scene.project.put("Snakefile", scene.workflow() + other)
    scene.project.run(*GO_ON, "other.txt").succeeded()
    assert "Nothing to be done" in scene.project.run(*GO_ON, "other.txt").succeeded().output
    scene.project.run(*GO_ON).succeeded()
    scene.has("one", "two")


def test_without_a_rule_that_makes_it_the_file_is_what_the_catalog_has(scene: Scene) -> None:
    scene.leave()
    text = scene.workflow()
    without = text[: text.index("rule one")] + text[text.index("rule two") :]
    scene.project.put("Snakefile", without)
    scene.project.run(*GO_ON).succeeded()
    assert "Nothing to be done" in scene.project.run(*GO_ON).succeeded().output
    scene.has("one", "two")


def test_another_executor_takes_the_file(scene: Scene) -> None:
    scene.leave()
    for _ in range(2):
        command = [*scene.project.command(*GO_ON)]
        command[command.index("--executor") + 1] = "local"
        kept = [*command[: command.index("--executor") + 2], *GO_ON, "--cores", "1"]
        done = subprocess.run(
            kept, cwd=scene.project.folder, env=scene.project.env(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    scene.has("one", "two")
    assert "Nothing to be done" in done.stderr


def test_a_rule_that_runs_here_now_runs_once(scene: Scene) -> None:
    scene.leave()
    text = scene.workflow().replace('log: "one.log"', 'log: "one.log"\n    localrule: True')
    scene.project.put("Snakefile", text)
    scene.project.run(*GO_ON, "--storage-grid-dirac-python", str(scene.dirac.python)).succeeded()
    again = scene.project.run(*GO_ON, "--storage-grid-dirac-python", str(scene.dirac.python))
    assert "Nothing to be done" in again.succeeded().output
    scene.has("one", "one", "two")


def test_a_run_that_is_detached_is_continued(scene: Scene) -> None:
    scene.leave("--grid-on-interrupt", "keep", by=signal.SIGINT)
    scene.project.run(*STORAGE).succeeded()
    assert (scene.project.read("y.txt"), scene.project.read("one.log")) == ("y\n", "said\n")
    scene.has("one", "two")
