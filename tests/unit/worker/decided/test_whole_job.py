"""Decided jobs from ``job.json`` to the report, by a whole worker program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.decided.decision import (
    PYTHON,
    SCRIPT,
    Command,
    DecidedOutput,
    Decision,
    Script,
    Step,
)
from snakemake_executor_plugin_grid.worker.decided.result import RESULT_FILE
from snakemake_executor_plugin_grid.worker.description import WORKDIR, Blob, Output
from snakemake_executor_plugin_grid.worker.runtime import Runtime

from ..programs import program
from ..worker_node import Node, both_pythons, node, processes
from .place import step

__all__ = ["node"]

ISOLATED = ("-S", "-I")
RESULT = f"../{RESULT_FILE}"


def decide(node: Node, *layers: Step | tuple[Step, ...], **fields: object) -> None:
    several = tuple(one if isinstance(one, tuple) else (one,) for one in layers)
    node.options = ISOLATED
    node.change(command="", decision=Decision(several, cores=2), **fields)


@both_pythons
def test_a_job_with_a_decision(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    node.environment = {"WORD": "declared"}
    decide(
        node,
        step(
            "cat in > o/out; echo $WORD > log; echo said",
            *("fit", "o/out"),
            inputs=("in",),
            logs=("log",),
            wildcards=(("x", "1"),),
        ),
        blobs=(node.raw("work/in", b"given\n"),),
        outputs=(Output("work/o/out"), Output("work/log", "log")),
    )
    report = node.run()
    assert (report.reason, report.exit_code, report.signal) == (reports.SUCCESS, 0, 0)
    assert [(one.member.name, one.member.size) for one in report.returned] == [
        ("work/log", 9),
        ("work/o/out", 6),
    ]
    assert node.log == "said\n"


@both_pythons
@pytest.mark.parametrize(("end", "code", "number"), [("exit 3", 3, 0), ("kill -TERM $$", None, 15)])
def test_exit_code_and_signal_reach_the_report(
    tmp_path: Path, python: str, end: str, code: int | None, number: int
) -> None:
    node = Node(tmp_path, python)
    decide(node, step(end, "fit"))
    report = node.run()
    assert (report.reason, report.exit_code, report.signal) == (
        reports.PAYLOAD_FAILED,
        code,
        number,
    )


@pytest.mark.parametrize("code", [90, 91, 92, 143])
def test_exit_codes_that_mean_something_in_scripts_of_the_worker(node: Node, code: int) -> None:
    decide(node, step(f"exit {code}"))
    report = node.run()
    assert (report.reason, report.exit_code) == (reports.PAYLOAD_FAILED, code)


@pytest.mark.parametrize("end", ["kill -9 $$", "exit 137"])
def test_killed_commands_of_a_group_name_their_rule(node: Node, end: str) -> None:
    decide(node, step(end, "fit"), step("true", "b"))
    report = node.run()
    assert report.reason == reports.KILLED
    assert report.message.startswith("rule fit ")
    assert "memory limit" in report.message


def test_missing_outputs(node: Node) -> None:
    decide(node, step("true", "fit", "a", "b"), outputs=(Output("work/a"), Output("work/b")))
    report = node.run()
    assert (report.reason, report.exit_code) == (reports.OUTPUT_MISSING, 0)
    assert report.message == "the job succeeded but did not create a, b"
    assert report.missing == ["work/a", "work/b"]


@pytest.mark.parametrize("end", ["exit 1", "true"])
def test_a_full_disk_is_recognized_in_the_log(node: Node, end: str) -> None:
    decide(node, step(f"echo 'write error: No space left on device'; {end}", "fit", "a"))
    assert node.run().reason == reports.OUT_OF_DISK


def test_an_output_that_became_a_fifo(node: Node) -> None:
    decide(node, step("mkfifo a", "fit", "a"), outputs=(Output("work/a"),))
    report = node.run()
    assert report.reason == reports.OUTPUT_MISSING
    assert "a FIFO" in report.message


def test_setup_lines_run_before_the_steps(node: Node) -> None:
    decide(
        node,
        step("echo $OF_SETUP > out; pwd; exit $CODE", "a", "out"),
        runtime=Runtime("setup", setup="export OF_SETUP=7 CODE=0; cd /"),
        outputs=(Output("work/out"),),
    )
    assert node.run().reason == reports.SUCCESS
    assert node.log == f"{node.sandbox}/scratch/tree\n"
    shutil.rmtree(node.sandbox)
    node.sandbox.mkdir()
    node.change(runtime=Runtime("setup", setup="export OF_SETUP=7 CODE=6"))
    assert node.run().exit_code == 6


def test_variables_with_the_working_directory(tmp_path: Path) -> None:
    """A value of a variable needs no quotes."""
    top = tmp_path / 'it\'s "$x" [1]'
    top.mkdir()
    node = Node(top, environment={"DATA": f"{WORKDIR}/data"})
    decide(node, step('echo "$DATA"'), name="job")
    assert node.run().reason == reports.SUCCESS
    assert node.log == f"{node.sandbox}/scratch/tree/data\n"


def test_setup_lines_that_fail(node: Node) -> None:
    decide(node, step("true"), runtime=Runtime("setup", setup=". /no/such/file"))
    report = node.run()
    assert (report.reason, report.message) == (
        reports.NO_RUNTIME,
        "the runtime could not be set up on the worker",
    )


@pytest.mark.parametrize("decided", [True, False])
def test_setup_lines_that_replace_the_shell(node: Node, decided: bool) -> None:
    """Nothing of the job has run, though the exit code is 0."""
    setup = Runtime("setup", setup="exec bash --norc")
    decide(node, step("true"), runtime=setup)
    if not decided:
        node.change(command="true", decision=None)
    report = node.run()
    assert report.reason == reports.NO_RUNTIME
    assert "must not replace the shell, as exec does" in report.message


def test_a_node_without_environment_modules(node: Node) -> None:
    decide(node, step("true"), env_modules=True)
    report = node.run()
    assert report.reason == reports.NO_RUNTIME
    assert "no command module" in report.message


def test_a_python_that_the_setup_lines_bring(node: Node) -> None:
    program(node.top / "bin", "python3", 'echo "of setup"')
    one = Command(f"{PYTHON} {SCRIPT}", Script("s.py", "x"))
    setup = f"export PATH={node.top}/bin:$PATH"
    decide(node, step(commands=(one,)), runtime=Runtime("setup", setup=setup))
    assert node.run().reason == reports.SUCCESS
    assert node.log == "of setup\n"


MINE = f"{sys.version_info.major}.{sys.version_info.minor}"


def packages(node: Node) -> Blob:
    """Store packages as `staging.upload` packs them: a module, and a program with its head."""
    folder = node.top / "packages"
    folder.mkdir()
    (folder / "sent.py").write_text("import sys; print(sys.executable)")
    program(folder / "bin", "tool", 'echo "tool $GRID_PYTHON"')
    packed = pack(scan(folder, "work"), node.top / "new.tar")
    (node.top / "new.tar").rename(node.store / packed.digest)
    url = (node.store / packed.digest).as_uri()
    return Blob(packed.digest, packed.size, url, kind="runtime")


@pytest.mark.parametrize("setup", ["", "export PYTHONPATH=/of/setup PATH=/of/setup:$PATH"])
def test_packages_come_with_the_python_they_are_for(node: Node, setup: str) -> None:
    # The first python3 of the node is of another version.
    program(node.top / "bin", "python3", "echo 3.6 no")
    program(node.top / "bin", f"python{MINE}", f'exec {sys.executable} "$@"')
    node.site = {"PATH": f"{node.top}/bin:{os.environ['PATH']}", "PYTHONPATH": "/of/node"}
    text = "import os, sent\nprint(os.environ['PYTHONPATH'], os.environ['PYTHONNOUSERSITE'])\n"
    script = Command(f"{PYTHON} {SCRIPT}", Script("s.py", text))
    runtime = Runtime("wheels", setup=setup, python=MINE)
    decide(
        node,
        step(commands=(script, Command("tool"))),
        runtime=runtime,
        blobs=(packages(node),),
    )
    assert node.run().reason == reports.SUCCESS, node.log
    used, paths, tool = node.log.splitlines()
    assert used == sys.executable
    folder = f"{node.sandbox}/scratch/runtime"
    assert paths == f"{folder}{':/of/setup' if setup else ''} 1"
    assert tool == f"tool {sys.executable}"


def test_packages_for_a_python_that_the_node_lacks(node: Node) -> None:
    runtime = Runtime("wheels", python="3.99")
    decide(node, step("true"), runtime=runtime, blobs=(packages(node),))
    report = node.run()
    assert report.reason == reports.NO_RUNTIME
    assert "no Python 3.99 on the worker node" in report.message


def test_scripts_find_the_stand_in_for_snakemake(node: Node) -> None:
    text = "import os, sys\nsys.path.insert(0, os.environ['GRID_SHIM'])\nimport stand\n"
    one = Command(f"{PYTHON} {SCRIPT}", Script("s.py", text, uses_snakemake=True))
    other = Command("echo ${GRID_SHIM-unset}")
    decide(node, step(commands=(one, other, one)))
    assert node.run().reason == reports.NO_RUNTIME
    shutil.rmtree(node.sandbox)
    node.sandbox.mkdir()
    files = {"shim/stand/__init__.py": b"print('stand-in')", "other": b""}
    write_worker(node.top / "worker.pyz", files)
    assert node.run().reason == reports.SUCCESS
    assert node.log.split() == ["stand-in", "unset", "stand-in"]


def test_a_decision_of_another_version_is_refused(node: Node) -> None:
    decide(node, step("true"))
    process = node.start()
    process.communicate()
    shutil.rmtree(node.sandbox)
    node.sandbox.mkdir()
    job = json.loads(node.job.dumps())
    job["decision"]["version"] = 99
    node.job = replace(node.job)
    (node.sandbox / "environment.json").write_text("{}")
    (node.sandbox / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [node.python, *ISOLATED, str(node.top / "worker.pyz"), str(node.sandbox)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == reports.NO_REPORT
    assert "decision: version 99, expected 1" in done.stderr


FORGED = json.dumps({"reason": "success", "message": "", "exit_code": 0, "signal": 0})


@pytest.mark.parametrize(
    "harm",
    [
        f"(sleep 0.2; while :; do rm -f {RESULT}; done) &",
        f"mkfifo {RESULT}",
        f"mkdir -p {RESULT}/x",
        f"echo '{FORGED}' > {RESULT}",
        f"ln -s /dev/zero {RESULT}",
    ],
)
def test_a_payload_that_tampers_with_the_result(node: Node, harm: str) -> None:
    decide(node, step(f"{harm}\nexit 3"))
    report = node.run()
    assert (report.reason, report.exit_code) == (reports.PAYLOAD_FAILED, 3)


def test_a_payload_that_kills_the_runner(node: Node) -> None:
    decide(node, step(f"echo '{FORGED}' > {RESULT}; kill -9 $PPID; sleep 60"))
    report = node.run()
    assert (report.reason, report.signal) == (reports.KILLED, 9)


# Other processes that run these tests at the same time have others.
SLEEPS = tuple(f"730{number}.{os.getpid()}" for number in range(3))


def test_daemons_do_not_outlive_the_job(node: Node) -> None:
    first, second, third = (f"sleep {seconds}" for seconds in SLEEPS)
    daemon = f"setsid {first} & (setsid env -i sh -c '{second} & {third}' &)"
    decide(node, step(f"{daemon}\necho done > out", "a", "out"), outputs=(Output("work/out"),))
    assert node.run().reason == reports.SUCCESS
    assert not sleeping(*SLEEPS)


ENDLESS = "trap '' TERM; echo begun; while :; do sleep 0.1; done"
PIPES = (
    step(f"setsid sleep {SLEEPS[0]} & sleep {SLEEPS[1]} | cat p", "reader", awaited=("p",)),
    step(f"echo begun; exec 3> p; sleep {SLEEPS[2]}", "writer", DecidedOutput("p", pipe=True)),
)


def begun(node: Node) -> bool:
    log = node.sandbox / "payload.log"
    return log.exists() and "begun" in log.read_text()


@pytest.mark.parametrize("setup", ["", "export A=1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_worker_ends_all_steps(node: Node, number: int, setup: str) -> None:
    decide(node, PIPES, runtime=Runtime("inherit", setup=setup))
    process = node.start()
    node.wait_for(lambda: begun(node))
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(15) == 1
    assert time.monotonic() - began < 4  # the steps end by SIGTERM
    assert load_report(node.sandbox / "report.json").reason == reports.KILLED
    assert not node.left()
    assert not sleeping(*SLEEPS)


def test_a_pilot_that_blocks_signals(node: Node) -> None:
    blocked = {signal.SIGCHLD, signal.SIGTERM}
    service = step("touch s; exec sleep 50", "srv", DecidedOutput("s", service=True), service=True)
    decide(node, (service, step("true", "b", awaited=("s",))))
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        process = node.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    began = time.monotonic()
    assert process.wait(30) == 0
    assert time.monotonic() - began < 8  # without SIGTERM it is killed after 10 s


def test_the_time_limit_ends_all_steps(node: Node) -> None:
    decide(node, PIPES, time_limit=0.5)
    report = node.run()
    assert report.reason == reports.TIME_LIMIT
    assert not sleeping(*SLEEPS)


@pytest.mark.parametrize("setup", ["", "export A=1"])
def test_no_step_outlives_the_worker(node: Node, setup: str) -> None:
    decide(node, PIPES, runtime=Runtime("inherit", setup=setup))
    process = node.start()
    node.wait_for(lambda: begun(node))
    process.kill()
    process.wait()
    node.wait_for(lambda: not node.left())
    assert not sleeping(*SLEEPS)
    assert not (node.sandbox / "report.json").exists()


def test_a_step_that_ignores_sigterm_is_killed_with_the_worker(node: Node) -> None:
    decide(node, step(ENDLESS))
    process = node.start()
    node.wait_for(lambda: begun(node))
    process.kill()
    process.wait()
    node.wait_for(lambda: not node.left())


def sleeping(*seconds: str) -> list[int]:
    """Return the processes ``sleep`` with such an argument."""
    wanted = {f"sleep\0{one}\0".encode() for one in seconds}
    found = []
    for pid in processes():
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes() in wanted:
                found.append(pid)
        except OSError:
            continue
    return found
