"""Time limits and signals: the worker ends all processes of its payload."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Output

from .worker_node import Node, both_pythons, node

__all__ = ["node"]

IMPATIENT = """\
import sys
sys.path.insert(0, sys.argv[1])
from worker import processes, start
processes._GRACE = 0.2
sys.exit(start.main(sys.argv[2:]))
"""
"""Runs a worker that waits only briefly between SIGTERM and SIGKILL."""


@both_pythons
def test_time_limit_ends_all_processes(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    # A process that ignores SIGTERM and one in another session are killed, too.
    node.change(
        command="setsid sleep 300 & (trap '' TERM; sleep 301) & echo begun; wait",
        time_limit=0.5,
    )
    began = time.monotonic()
    report = node.run()
    assert time.monotonic() - began < 10
    assert report.reason == reports.TIME_LIMIT
    assert "0.5 s" in report.message
    assert node.log == "begun\n"


def test_a_signal_to_all_processes_at_the_same_time(node: Node) -> None:
    """The payload may end before the worker looks whether it was cancelled."""
    node.change(command="sleep 0.5; kill -TERM $PPID $$")
    report = node.run()
    assert (report.reason, report.message) == (reports.KILLED, "it was killed from outside")


def test_payload_that_ignores_sigterm_is_killed(node: Node) -> None:
    node.options = ("-c", IMPATIENT)
    node.change(command="trap '' TERM; echo begun; while :; do sleep 0.1; done", time_limit=0.3)
    report = node.run()
    assert (report.reason, report.signal) == (reports.TIME_LIMIT, signal.SIGKILL)


def test_processes_left_by_a_successful_job_are_ended(node: Node) -> None:
    node.change(
        command="setsid sleep 300 & sleep 301 & echo done > out", outputs=(Output("work/out"),)
    )
    assert node.run().reason == reports.SUCCESS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_worker_ends_the_job(node: Node, number: int) -> None:
    node.change(
        command="setsid sleep 300 & echo l > log; echo begun; wait",
        outputs=(Output("work/log", "log", required=False),),
    )
    process = node.start()
    node.wait_for(lambda: (node.sandbox / "payload.log").exists() and node.log)
    process.send_signal(number)
    assert process.wait(15) == 1
    report = load_report(node.sandbox / "report.json")
    assert report.reason == reports.KILLED
    assert [item.member.name for item in report.returned] == ["work/log"]
    assert not node.left()


def test_killed_payload_is_distinguished_from_a_failed_one(node: Node) -> None:
    node.change(command="kill -9 $$")
    report = node.run()
    assert (report.reason, report.exit_code, report.signal) == (reports.KILLED, None, 9)
    assert "memory" in report.message


def test_crashed_payload_is_reported_with_its_signal(node: Node) -> None:
    node.change(command="kill -SEGV $$")
    report = node.run()
    assert report.reason == reports.PAYLOAD_FAILED
    assert "SIGSEGV" in report.message


def test_payload_dies_with_its_worker(node: Node) -> None:
    node.change(command="echo begun; exec sleep 300")
    process = node.start()
    node.wait_for(lambda: (node.sandbox / "payload.log").exists() and node.log)
    assert node.left()
    process.kill()
    process.wait()
    node.wait_for(lambda: not node.left())
    assert not (node.sandbox / "report.json").exists()
