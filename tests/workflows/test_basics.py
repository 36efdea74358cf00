"""Plain workflows run as they do on one machine."""

from __future__ import annotations

import signal

import pytest

from tests.command import REAL_COMMAND
from tests.conftest import Project, finish
from tests.faults import eventually

pytestmark = pytest.mark.workflow


def test_cold_and_warm_start_give_the_same_result(project: Project) -> None:
    project.write(
        Snakefile="""
import os, sys
rule all:
    output: "{start}.txt"
    run:
        with open(output[0], "w") as out:
            print(sys.executable, len(sys.argv), sys.path[0] == os.getcwd(), file=out)
            print(sorted(set(os.environ) - {"OLDPWD", "SHLVL", "_"}), file=out)
            print(sys.flags, file=out)
            print(workflow.rundir == workflow.workdir_init == os.getcwd(), file=out)
"""
    )
    project.run("warm.txt").succeeded()
    project.run("cold.txt", "--grid-local-cold").succeeded()
    assert project.read("warm.txt") == project.read("cold.txt")
    assert project.read("warm.txt").endswith("True\n")


FACTS = """
import os, signal, sys
rule all:
    output: "out.txt"
    localrule: True
    shell: "touch {output}"
if not os.path.exists("facts.txt"):
    with open("facts.txt", "w") as out:
        print(sys.argv, sys.flags, sys.path, file=out)
        print({key: os.environ[key] for key in sorted(os.environ) if "REAL" not in key}, file=out)
        print(os.getcwd(), workflow.rundir, os.getpgrp() == os.getsid(0) == os.getpid(), file=out)
        print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD), file=out)
        print(sorted(int(name) for name in os.listdir("/proc/self/fd") if int(name) < 3), file=out)
        print(os.isatty(0), os.isatty(1), sys.stdout.line_buffering, sys.stderr.encoding, file=out)
"""


def test_a_fork_is_as_good_as_the_command(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(Snakefile=FACTS)
    found = []
    for real in (False, True):
        if real:
            monkeypatch.setenv(REAL_COMMAND, "1")
        finish(project.start(GRID_TEST_WORD="word")).succeeded()
        facts = project.read("facts.txt").splitlines()
        code = project.run("no_such_rule").failed().code
        (project.folder / "facts.txt").unlink()
        killed = project.start("--force")
        eventually((project.folder / "facts.txt").exists)
        killed.kill()
        found.append([*facts, code, killed.poll()])
        project.run("--unlock").succeeded()
        (project.folder / "facts.txt").unlink()
    for fork, command in zip(*found, strict=True):
        assert fork == command
    assert found[0][-1] == -signal.SIGKILL
