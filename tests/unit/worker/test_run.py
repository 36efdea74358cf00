"""The worker program as a node runs it: ``python worker.pyz FOLDER``, with a stand-in payload."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime


def oldest_python() -> str | None:
    """Return a Python 3.9 that runs, the oldest one that a worker node may have."""
    installed = Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")
    for python in filter(None, [shutil.which("python3.9"), *map(str, installed)]):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


OLDEST = oldest_python()
both = pytest.mark.parametrize(
    "python",
    [
        sys.executable,
        pytest.param(
            OLDEST, marks=pytest.mark.skipif(OLDEST is None, reason="no python3.9 on PATH")
        ),
    ],
    ids=["this python", "python3.9"],
)


IMPATIENT = """\
import sys
sys.path.insert(0, sys.argv[1])
from worker import processes, start
processes._GRACE = 0.2
sys.exit(start.main(sys.argv[2:]))
"""
"""Runs a worker that gives its payload little time between SIGTERM and SIGKILL."""


@dataclass
class Node:
    """A worker node: a sandbox folder and a store."""

    top: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    site: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.sandbox = self.top / "sandbox"
        self.store = self.top / "store"
        self.aside = self.top / "aside"
        for folder in (self.sandbox, self.store, self.aside):
            folder.mkdir(exist_ok=True)
        write_worker(self.top / "worker.pyz")
        self.job = Job(
            name=f"job-{self.top.name}",
            command="true",
            nesting=(),
            blobs=(),
            outputs=(),
            runtime=Runtime("inherit"),
        )

    def change(self, **fields: object) -> None:
        self.job = replace(self.job, **fields)  # type: ignore[arg-type]

    def raw(self, name: str, data: bytes) -> Blob:
        """Store a file; return the blob that asks for it."""
        digest = hashlib.sha256(data).hexdigest()
        (self.store / digest).write_bytes(data)
        url = (self.store / digest).as_uri()
        return Blob(digest, len(data), url, kind="raw", name=name)

    def tar(self, **files: str) -> Blob:
        """Store a tarball of files below ``work``."""
        folder = self.top / "packed"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        packed = pack(scan(folder, "work"), self.top / "new.tar")
        (self.top / "new.tar").rename(self.store / packed.digest)
        return Blob(packed.digest, packed.size, (self.store / packed.digest).as_uri())

    def start(self) -> subprocess.Popen[str]:
        (self.sandbox / "job.json").write_text(self.job.dumps())
        (self.sandbox / "environment.json").write_text(json.dumps(self.environment))
        return subprocess.Popen(
            [self.python, *self.options, str(self.top / "worker.pyz"), str(self.sandbox)],
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **self.site},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, timeout: float = 30) -> Report:
        """Run the worker to its end; return its report."""
        process = self.start()
        output, _ = process.communicate(timeout=timeout)
        assert output == ""
        report = reports.load(self.sandbox / "report.json")
        assert process.returncode == (report.reason != reports.SUCCESS)
        assert not (self.sandbox / "scratch").exists()
        assert not self.left()
        return report

    @property
    def log(self) -> str:
        return (self.sandbox / "payload.log").read_text()

    def left(self) -> list[int]:
        """Return the processes of the job that are still there."""
        mark = f"SNAKEMAKE_GRID_JOB={self.job.name}".encode()
        return [pid for pid in processes() if mark in environment_of(pid)]

    def wait_for(self, condition: Callable[[], object], seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come about in time"
            time.sleep(0.02)


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    for pid in node.left():
        os.kill(pid, signal.SIGKILL)


@both
def test_a_job_from_one_end_to_the_other(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python, {"TOKEN": "s3cret"})
    node.change(
        nesting=("home", "project"),
        blobs=(node.tar(a="small"), node.raw("up1/shared/b", b"large")),
        outputs=(
            Output("work/out/c"),
            Output("work/folder"),
            Output("up2/beside"),
            Output("work/log", "log", required=False),
            Output("work/never", "log", required=False),
        ),
        command=(
            'cat a ../shared/b; echo " $TOKEN $SNAKEMAKE_GRID_JOB $TMPDIR $HOME"; '
            "mkdir out folder; printf 123456 > out/c; ln -s inner folder/link; "
            "echo x > folder/inner; echo b > ../../beside; echo l > log; echo > stray; "
            'mkdir shut; touch shut/file; chmod 500 shut; "$GRID_PYTHON" -V'
        ),
        large_file=6,
        deliver=node.store.as_uri(),
    )
    report = node.run()
    assert (report.reason, report.exit_code, report.message) == (reports.SUCCESS, 0, "")
    words = node.log.split()
    assert words[:3] == ["smalllarge", "s3cret", node.job.name]
    for folder in words[3:5]:
        assert folder.startswith(str(node.sandbox))
    assert words[5] == "Python"
    assert list(report.times) == ["received", "staging in", "running", "staging out", "ended"]
    assert report.undeclared == ["work/shut/file", "work/stray"]
    returned = {item.member.name: item for item in report.returned}
    assert sorted(returned) == [
        *("up2/beside", "work/folder", "work/folder/inner", "work/folder/link"),
        *("work/log", "work/out/c"),
    ]
    assert returned["work/out/c"].raw
    assert (node.store / returned["work/out/c"].blob).read_text() == "123456"
    assert returned["work/log"].kind == "log"
    with tarfile.open(node.store / returned["work/log"].blob) as archive:
        assert sorted(archive.getnames()) == sorted(set(returned) - {"work/out/c"})
    for digest, size in report.blobs.items():
        data = (node.store / digest).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size)
    assert not [path for path in node.store.iterdir() if path.name.endswith(".part")]


@both
def test_a_payload_that_fails_brings_its_log_only(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    node.change(
        command="echo why; echo o > out; echo l > log; exit 3",
        outputs=(Output("work/out"), Output("work/log", "log", required=False)),
    )
    report = node.run()
    assert (report.reason, report.exit_code) == (reports.PAYLOAD_FAILED, 3)
    assert "exit code 3" in report.message
    assert [item.member.name for item in report.returned] == ["work/log"]
    assert (node.sandbox / "out" / report.returned[0].blob).exists()
    assert node.log == "why\n"


def test_outputs_of_a_failed_job_come_back_when_asked_for(node: Node) -> None:
    node.change(command="echo o > out; false", outputs=(Output("work/out"),), keep_incomplete=True)
    assert [item.member.name for item in node.run().returned] == ["work/out"]


@pytest.mark.parametrize("end", ["true", "false"])
def test_what_belongs_to_the_node_stays_there(node: Node, end: str) -> None:
    scratch = Output("work/scratch", "staying", required=False)
    node.change(
        command=f"echo s > scratch; echo o > out; {end}",
        outputs=(Output("work/out"), scratch),
        keep_incomplete=end == "false",
        fetch_undeclared=True,
    )
    report = node.run()
    assert [item.member.name for item in report.returned] == ["work/out"]
    assert report.undeclared == []


def test_a_missing_output_is_named_with_what_was_made_instead(node: Node) -> None:
    node.change(command="echo > otu.txt", outputs=(Output("work/out.txt"),))
    report = node.run()
    assert report.reason == reports.OUTPUT_MISSING
    assert "out.txt" in report.message
    assert (report.missing, report.undeclared) == (["work/out.txt"], ["work/otu.txt"])


@both
def test_the_time_limit_ends_all_processes(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    # Neither a deaf process nor one in a session of its own survives.
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


def test_a_deaf_payload_is_killed(node: Node) -> None:
    node.options = ("-c", IMPATIENT)
    node.change(command="trap '' TERM; echo begun; while :; do sleep 0.1; done", time_limit=0.3)
    report = node.run()
    assert (report.reason, report.signal) == (reports.TIME_LIMIT, signal.SIGKILL)


def test_processes_left_behind_by_a_good_job_are_ended(node: Node) -> None:
    node.change(
        command="setsid sleep 300 & sleep 301 & echo done > out", outputs=(Output("work/out"),)
    )
    assert node.run().reason == reports.SUCCESS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_worker_ends_the_job(node: Node, number: int) -> None:
    node.change(
        command="setsid sleep 300 & echo l > log; echo begun; wait",
        outputs=(Output("work/log", "log", required=False),),
    )
    process = node.start()
    node.wait_for(lambda: (node.sandbox / "payload.log").exists() and node.log)
    process.send_signal(number)
    assert process.wait(15) == 1
    report = reports.load(node.sandbox / "report.json")
    assert report.reason == reports.KILLED
    assert [item.member.name for item in report.returned] == ["work/log"]
    assert not node.left()


def test_a_payload_that_is_killed_is_told_from_one_that_fails(node: Node) -> None:
    node.change(command="kill -9 $$")
    report = node.run()
    assert (report.reason, report.exit_code, report.signal) == (reports.KILLED, None, 9)
    assert "memory" in report.message


def test_a_payload_that_crashes_is_told_with_the_signal(node: Node) -> None:
    node.change(command="kill -SEGV $$")
    report = node.run()
    assert report.reason == reports.PAYLOAD_FAILED
    assert "SIGSEGV" in report.message


def test_the_payload_dies_with_its_worker(node: Node) -> None:
    node.change(command="echo begun; exec sleep 300")
    process = node.start()
    node.wait_for(lambda: (node.sandbox / "payload.log").exists() and node.log)
    assert node.left()
    process.kill()
    process.wait()
    node.wait_for(lambda: not node.left())
    assert not (node.sandbox / "report.json").exists()


def damaged(node: Node, blob: Blob, how: str) -> None:
    path = node.store / blob.digest
    data = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "longer":
        path.write_bytes(data + b"x")
    elif how == "a byte":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif how == "dangling":
        path.symlink_to("nowhere")
    elif how == "a folder":
        path.mkdir()
    elif how == "a fifo":
        os.mkfifo(path)


@both
@pytest.mark.parametrize("kind", ["tar", "raw"])
def test_inputs_that_are_not_what_was_stored(tmp_path: Path, python: str, kind: str) -> None:
    for how in ("cut", "longer", "a byte", "missing", "dangling", "a folder", "a fifo"):
        folder = tmp_path / how.replace(" ", "-")
        folder.mkdir()
        node = Node(folder, python)
        blob = node.tar(a="x" * 999) if kind == "tar" else node.raw("work/a", b"x" * 999)
        damaged(node, blob, how)
        node.change(blobs=(blob,), command="echo ran")
        report = node.run()
        assert report.reason == reports.INPUT_DAMAGED, (how, report)
        assert blob.digest in report.message or "work/a" in report.message, (how, report)
        assert not (node.sandbox / "payload.log").exists()


def test_a_disk_that_the_payload_fills(small_disk: Path) -> None:
    node = Node(small_disk)
    node.change(
        command="echo l > log; dd if=/dev/zero of=out bs=64k status=none",
        outputs=(Output("work/out"), Output("work/log", "log", required=False)),
    )
    report = node.run()
    assert report.reason == reports.OUT_OF_DISK
    assert "disk of the worker node is full" in report.message
    # The rule's own log comes back: what stays behind makes room for it.
    assert [item.member.name for item in report.returned] == ["work/log"]


def test_a_full_disk_that_the_payload_has_cleared(node: Node) -> None:
    node.change(command="echo 'cp: a: No space left on device'; exit 1")
    assert node.run().reason == reports.OUT_OF_DISK


@pytest.mark.parametrize("large_file", [1, 8 << 20], ids=["raw", "tar"])
def test_a_disk_that_is_full_when_outputs_are_packed(small_disk: Path, large_file: int) -> None:
    node = Node(small_disk)
    # Another file system, so that the store cannot share the blocks of the output.
    node.change(
        command="head -c 2600000 /dev/zero > out",
        outputs=(Output("work/out"),),
        large_file=large_file,
        deliver=(small_disk / "store").as_uri() if large_file > 1 else "",
    )
    report = node.run()
    if large_file == 1:
        assert report.reason == reports.SUCCESS  # a second link takes no space
        return
    assert report.reason == reports.OUT_OF_DISK
    assert not report.returned
    assert not [path for path in (small_disk / "store").iterdir() if path.stat().st_size]


def test_a_disk_that_the_inputs_fill(small_disk: Path) -> None:
    node = Node(small_disk)
    node.change(blobs=(node.raw("work/a", bytes(2_600_000)),))
    report = node.run()
    assert report.reason == reports.OUT_OF_DISK
    assert "disk of the worker node is full" in report.message


def test_a_disk_that_is_full_already(small_disk: Path) -> None:
    node = Node(small_disk)
    node.change(command="head -c 99999 /dev/zero > out", outputs=(Output("work/out"),))
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(free - 64_000))
    assert node.run().reason == reports.OUT_OF_DISK


def test_a_store_that_cannot_be_written(node: Node) -> None:
    target = node.top / "file"
    target.write_text("in the way")
    node.change(command="echo > out", outputs=(Output("work/out"),), deliver=target.as_uri())
    report = node.run()
    assert report.reason == reports.WORKER_FAILED
    assert str(target) in report.message


def test_a_node_without_snakemake(node: Node) -> None:
    node.environment["PATH"] = "/nowhere"
    node.change(command='"$GRID_PYTHON" -m snakemake --version')
    report = node.run()
    assert report.reason == reports.NO_RUNTIME
    assert "--grid-runtime" in report.message


def test_a_description_for_another_version_of_the_worker(node: Node) -> None:
    node.change(version=99)
    process = node.start()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == reports.NO_REPORT
    assert "version 99" in output


def test_a_second_worker_leaves_the_job_to_the_first(node: Node) -> None:
    node.change(command=f"echo ran >> {node.aside}/notes; sleep 0.5")
    first = node.start()
    node.wait_for(lambda: (node.aside / "notes").exists())
    second = node.start()
    assert "Another worker" in second.communicate(timeout=10)[0]
    assert second.returncode == 1
    assert first.wait(10) == 0
    assert (node.aside / "notes").read_text() == "ran\n"
    assert reports.load(node.sandbox / "report.json").reason == reports.SUCCESS


def test_the_archive_is_the_same_for_the_same_sources(tmp_path: Path) -> None:
    write_worker(tmp_path / "a")
    time.sleep(0.01)
    write_worker(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
