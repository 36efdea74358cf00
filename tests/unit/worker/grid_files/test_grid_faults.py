"""Full disks, and signals, while files on the grid are fetched or stored."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Output
from snakemake_executor_plugin_grid.worker.grid_files.dirac import PYTHON
from snakemake_executor_plugin_grid.worker.grid_files.stagein import fetch
from tests.unit.worker.worker_node import Node as JobNode

from .node import Node, grid_input, grid_output

_SLOW = """#!/bin/sh
echo $$ >{folder}/started
exec sleep 300
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


# Full disks


def test_an_input_that_has_no_room_is_not_damaged(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(small_disk, monkeypatch)
    data = os.urandom(2_600_000)
    node.register("/vo/x", data)
    with pytest.raises(OSError, match="No space left on device: 'lfn:/vo/x'") as caught:
        fetch([grid_input("/vo/x", data)], node.sandbox, node.scratch, node.tree)
    assert caught.value.errno == errno.ENOSPC


def test_the_words_of_the_tools_tell_of_a_full_disk(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = grid_input("/vo/x", b"data")
    python = tmp_path / "full"
    python.write_text("#!/bin/sh\necho 'OSError: [Errno 122] Disk quota exceeded'; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON, str(python))
    with pytest.raises(OSError, match="No space left on device"):
        fetch([one], node.sandbox, node.scratch, node.tree)


def test_a_job_whose_input_has_no_room_is_the_fault_of_the_site(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "grid").mkdir()
    grid = Node(small_disk / "grid", monkeypatch)
    data = os.urandom(1_900_000)
    grid.register("/vo/x", data)
    job = JobNode(small_disk)
    job.change(grid_inputs=(grid_input("/vo/x", data),))
    free = os.statvfs(small_disk)
    left = free.f_bavail * free.f_frsize
    (small_disk / "filler").write_bytes(bytes(max(0, left - 1_500_000)))
    job.site[PYTHON] = os.environ[PYTHON]
    report = job.run()
    assert report.reason == reports.NO_ROOM
    assert "the disk of the worker node is full" in report.message


# Signals


@pytest.mark.parametrize("step", ["staging in", "staging out"])
def test_a_signal_ends_a_transfer_within_seconds(tmp_path: Path, step: str) -> None:
    python = tmp_path / "python"
    python.write_text(_SLOW.format(folder=tmp_path))
    python.chmod(0o755)
    (tmp_path / "job").mkdir()
    job = JobNode(tmp_path / "job", site={PYTHON: str(python)})
    if step == "staging in":
        job.change(grid_inputs=(grid_input("/vo/x", b"data"),))
    else:
        output = grid_output("/vo/x")
        job.change(
            command="mkdir -p out/vo; echo x >out/vo/x; echo said >log",
            grid_outputs=(output,),
            outputs=(Output(output.name, "grid"), Output("work/log", "log", required=False)),
        )
    process = job.start()
    started = tmp_path / "started"
    end = time.monotonic() + 30
    while not started.exists() or not started.read_text():
        assert time.monotonic() < end, process.poll()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    try:
        process.wait(20)
    finally:
        if process.poll() is None:
            os.kill(int(started.read_text()), signal.SIGKILL)
            process.kill()
    assert time.monotonic() - begun < 5
    report = load_report(job.sandbox / "report.json")
    assert report.reason == reports.KILLED
    assert "killed from outside" in report.message
    assert report.stored == []
    if step == "staging out":
        assert [item.member.name for item in report.returned] == ["work/log"]
    assert not Path("/proc", started.read_text().strip()).exists()
