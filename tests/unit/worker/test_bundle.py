"""The worker runs the jobs of a bundle, each as if it were alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime

from .worker_node import Node, both_pythons, environment_of, node, processes

__all__ = ["node"]


def member(node: Node, name: str, command: str, **fields: Any) -> dict[str, Any]:
    job = Job(
        name=f"{node.job.name}-{name}",
        command=command,
        nesting=(),
        blobs=fields.pop("blobs", ()),
        outputs=fields.pop("outputs", ()),
        runtime=Runtime("inherit"),
        **fields,
    )
    found: dict[str, Any] = json.loads(job.dumps())
    return found


def report_of(node: Node, name: str) -> Report:
    return load_report(node.sandbox / f"{node.job.name}-{name}" / "report.json")


def log_of(node: Node, name: str) -> str:
    return (node.sandbox / f"{node.job.name}-{name}" / "payload.log").read_text()


@both_pythons
def test_one_that_fails_does_not_touch_the_others(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    blob = node.raw("work/in.txt", b"input\n")
    node.environment = {f"{node.job.name}-b": json.dumps({"OWN": "secret"})}
    node.change(
        blobs=(blob,),
        members=(
            member(node, "a", "cat in.txt; echo spoilt >in.txt", blobs=(blob,)),
            member(node, "b", "cat in.txt; echo $OWN; exit 3", blobs=(blob,)),
            member(node, "c", "cat in.txt; echo ${OWN:-none}", blobs=(blob,)),
        ),
        reports_apart=True,
    )
    assert node.run().reason == reports.SUCCESS
    assert [report_of(node, name).reason for name in "abc"] == [
        reports.SUCCESS,
        reports.PAYLOAD_FAILED,
        reports.SUCCESS,
    ]
    assert log_of(node, "b").startswith("input\nsecret\n")
    assert log_of(node, "c") == "input\nnone\n"
    assert report_of(node, "b").exit_code == 3


def test_jobs_run_side_by_side(node: Node) -> None:
    meet = f"touch {node.outside}/$0; while test $(ls {node.outside} | wc -l) -lt 2; do :; done"
    node.change(
        members=tuple(
            member(node, name, f"sh -c '{meet}' {name}", time_limit=20) for name in ("a", "b", "c")
        ),
        side_by_side=2,
        reports_apart=True,
    )
    node.run()
    assert {report_of(node, name).reason for name in "abc"} == {reports.SUCCESS}


def test_reports_and_outputs_come_with_those_of_the_bundle(node: Node) -> None:
    outputs = (Output("work/out.txt"),)
    node.change(
        members=(
            member(node, "a", "echo a >out.txt", outputs=outputs, deliver="sandbox:"),
            member(node, "b", "echo b >out.txt", outputs=outputs, deliver="lfn:/vo/b"),
        ),
        deliver="sandbox:",
    )
    report = node.run()
    names = {item.member.name.partition("-")[2].partition("/")[2] for item in report.returned}
    assert names >= {"report.json", "payload.log"}
    own = {path.name for path in node.sandbox.glob("*.blob")}
    (of_a,) = report_of(node, "a").blobs
    assert own == {f"{of_a}.blob", *(f"{digest}.blob" for digest in report.blobs)}
    (of_b,) = report_of(node, "b").blobs
    (data,) = node.sandbox.glob("*.data")  # DIRAC stores it in the folder of the bundle
    assert data.name == f"{node.job.name}-b.{of_b}.data"


def test_outputs_that_had_room_alone_are_no_failure_of_the_job(node: Node) -> None:
    limit = 100_000
    make = "head -c 70000 /dev/urandom >out.bin"
    fields = {"outputs": (Output("work/out.bin"),), "deliver": "sandbox:", "deliver_limit": limit}
    node.change(
        members=(
            member(node, "a", make, **fields),
            member(node, "b", make, **fields),
            member(node, "c", "head -c 200000 /dev/urandom >out.bin", **fields),
        ),
        deliver="sandbox:",
        deliver_limit=limit,
    )
    node.run()
    assert report_of(node, "a").reason == reports.SUCCESS
    # The run sends it again, alone.
    assert report_of(node, "b").reason == reports.OUTPUT_NOT_STORED
    assert report_of(node, "c").reason == reports.OUTPUT_NOT_STORED


def test_shared_inputs_are_fetched_once(node: Node) -> None:
    content = b"shared"
    blob = node.raw("work/in.txt", content)
    beside = Blob(blob.digest, blob.size, "", kind="raw", name="work/in.txt")
    (node.sandbox / blob.digest).write_bytes(content)
    node.change(
        blobs=(beside,),
        members=tuple(member(node, name, "cat in.txt", blobs=(beside,)) for name in ("a", "b")),
        reports_apart=True,
    )
    node.run()
    assert log_of(node, "a") == log_of(node, "b") == "shared"


def test_cancelled_jobs_do_not_begin(node: Node, tmp_path: Path) -> None:
    cancelled, inbox = tmp_path / "cancelled.json", tmp_path / "delivered" / "b"
    inbox.parent.mkdir()
    cancelled.write_text("[]")
    name = f"{node.job.name}-b"
    node.change(
        members=(
            member(node, "a", f"""echo '["{name}"]' >{cancelled}"""),
            member(node, "b", f"touch {node.outside}/b", report_to=inbox.as_uri()),
            member(node, "c", "true"),
        ),
        reports_apart=True,
        cancel_list=cancelled.as_uri(),
    )
    assert node.run().reason == reports.SUCCESS
    assert report_of(node, "a").reason == report_of(node, "c").reason == reports.SUCCESS
    assert load_report(inbox / "report.json") == report_of(node, "b")
    assert report_of(node, "b").reason == reports.KILLED
    assert not (node.outside / "b").exists()


@pytest.mark.parametrize("text", [None, "no JSON", "7"])
def test_a_list_that_cannot_be_read_cancels_no_job(
    node: Node, tmp_path: Path, text: str | None
) -> None:
    cancelled = tmp_path / "cancelled.json"
    if text is not None:
        cancelled.write_text(text)
    node.change(
        members=(member(node, "a", "true"), member(node, "b", "true")),
        reports_apart=True,
        cancel_list=cancelled.as_uri(),
    )
    output, _ = node.start().communicate(timeout=30)
    assert output.count("Cancelled jobs are not skipped any more") == 1
    assert report_of(node, "a").reason == report_of(node, "b").reason == reports.SUCCESS


def test_a_worker_that_dies_takes_no_other_along(node: Node) -> None:
    node.change(
        members=(
            member(node, "a", "kill -KILL $PPID; sleep 60"),
            member(node, "b", "echo fine"),
        ),
        reports_apart=True,
    )
    node.run()
    assert report_of(node, "a").reason == reports.WORKER_FAILED
    assert log_of(node, "b") == "fine\n"


def test_sigterm_ends_what_runs_and_begins_nothing(node: Node) -> None:
    node.change(
        members=(member(node, "a", "echo begun; sleep 300"), member(node, "b", "true")),
        reports_apart=True,
    )
    process = node.start()
    folder = node.sandbox / f"{node.job.name}-a"
    node.wait_for(lambda: (folder / "payload.log").exists() and log_of(node, "a"))
    process.terminate()
    assert process.wait(20) == 1
    assert report_of(node, "a").reason == reports.KILLED
    assert not (node.sandbox / f"{node.job.name}-b").exists()
    assert load_report(node.sandbox / "report.json").reason == reports.KILLED


def test_sigterm_ends_the_question_for_cancelled_jobs(node: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/cancelled.json"
        node.change(members=(member(node, "a", "true"),), reports_apart=True, cancel_list=url)
        process = node.start()
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1 << 16)
            process.terminate()
            assert process.wait(20) == 1
    assert load_report(node.sandbox / "report.json").reason == reports.KILLED
    assert not (node.sandbox / f"{node.job.name}-a" / "report.json").exists()


def test_nothing_runs_on_when_the_worker_of_the_bundle_is_killed(node: Node) -> None:
    node.change(members=(member(node, "a", "echo begun; exec sleep 300"),), reports_apart=True)
    process = node.start()
    folder = node.sandbox / f"{node.job.name}-a"
    node.wait_for(lambda: (folder / "payload.log").exists() and log_of(node, "a"))
    process.kill()
    process.wait(10)
    mark = f"SNAKEMAKE_GRID_JOB={node.job.name}-a".encode()

    def runs() -> list[int]:
        return [pid for pid in processes() if mark in environment_of(pid)]

    until = time.monotonic() + 10
    while runs() and time.monotonic() < until:
        time.sleep(0.05)
    left = runs()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
