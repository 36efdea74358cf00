"""Faults of inputs, outputs and disks: each fails its own job with a clear error."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project, finish, local_site
from tests.faults import eventually

from .fault_bench import (
    TWO,
    assert_nothing_left,
    assert_output,
    mount,
    notes,
    processes,
    seen,
    unmount_later,
)

__all__ = ["notes", "unmount_later"]

pytestmark = pytest.mark.workflow


def test_full_disk_of_the_worker_is_reported(project: Project, unmount_later: list[Path]) -> None:
    mount(project.site.folder, 8)
    unmount_later.append(project.site.folder)
    project.put("Snakefile", TWO.format(a="dd if=/dev/zero of={output} bs=64k status=none"))
    # One job at a time: all sandboxes share the disk.
    run = project.run("--keep-going", "--jobs", "1").failed()
    assert_output(run, "out of disk: the disk of the worker node is full")
    assert (project.folder / "b.txt").exists()
    assert_nothing_left(project)


def test_inputs_that_cannot_be_read_fail_their_jobs(project: Project) -> None:
    project.put("good.txt", "x")
    (project.folder / "folder").mkdir()
    os.mkfifo(project.folder / "folder" / "fifo")
    (project.folder / "vanishing.txt").write_text("x")
    project.put(
        "Snakefile",
        """
import os
rule all:
    input: "good.out", "vanishing.out", "outside.out"
rule good:
    input: "good.txt", "folder"
    output: "good.out"
    shell: "cp {input[0]} {output}"
rule vanishing:
    input: "vanishing.txt", "good.out"
    output: "vanishing.out"
    shell: "touch {output}"
rule outside:
    output: "/tmp/of-no-job-on-the-grid.txt", "outside.out"
    shell: "touch {output}"
onstart:
    os.unlink("vanishing.txt")
    os.symlink("nowhere", "vanishing.txt")
""",
    )
    run = project.run("--keep-going").failed()
    assert (project.folder / "good.out").read_text() == "x"
    assert_output(run, "input vanishing.txt does not exist")
    assert_output(run, "output /tmp/of-no-job-on-the-grid.txt is outside of the working directory")


@pytest.fixture
def project_of_nobody() -> Iterator[Project]:
    """Return a project that belongs to an ordinary user and is run by that user."""
    nobody = 65534
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become an ordinary user")
    user = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    code = "import snakemake, os, sys; os.execv(sys.executable, [sys.executable, '-V'])"
    trial = subprocess.run([*user, sys.executable, "-c", code], capture_output=True, check=False)
    if trial.returncode != 0:
        pytest.skip("an ordinary user cannot run this Python")
    # Other users cannot read pytest's own folder.
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    project = Project(top / "project", local_site(top / "site"))
    command = project.command

    def as_nobody(*args: str) -> list[str]:
        for path in (top, *top.rglob("*")):
            if path.name != "secret.txt":
                os.chown(path, nobody, nobody)
        return [*user, *command(*args, "--grid-local-isolation", "auto")]

    project.command = as_nobody  # type: ignore[method-assign]
    project.environment = {"HOME": str(top)}
    yield project
    for pid in processes(project):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(top)


def test_input_without_permission_fails_its_job(project_of_nobody: Project) -> None:
    # Snakemake reads smaller files for a checksum, and would end the workflow.
    project_of_nobody.put("secret.txt", "x" * 2_000_000).chmod(0o600)
    project_of_nobody.put(
        "Snakefile",
        TWO.format(a="cp {input} {output}").replace(
            'output: "a.txt"', 'input: "secret.txt"\n    output: "a.txt"'
        ),
    )
    run = project_of_nobody.run("--keep-going").failed()
    assert re.search(r"rule a, not submitted: .*secret\.txt: Permission denied", run.output)
    assert (project_of_nobody.folder / "b.txt").exists(), run.output
    assert_nothing_left(project_of_nobody)


def test_blob_damaged_in_the_store_is_reported(
    project: Project, notes: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    (project.folder / "large.bin").write_bytes(os.urandom(1000))
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "b.txt", "c.txt"
rule a:
    input: "large.bin"
    output: "a.txt"
    shell: "touch {notes}/a; while [ ! -e {notes}/go ]; do sleep 0.1; done; touch {{output}}"
rule b:
    input: "large.bin", "a.txt"
    output: "b.txt"
    shell: "touch {{output}}"
rule c:
    input: "a.txt"
    output: "c.txt"
    shell: "touch {{output}}"
""",
    )
    process = project.start(
        *("--keep-going", "--grid-store", store.as_uri(), "--grid-large-file", "900")
    )
    eventually(lambda: seen(notes) == ["a"])
    (blob,) = [path for path in store.iterdir() if path.stat().st_size == 1000]
    with blob.open("r+b") as stream:  # of the same size: otherwise it would be stored again
        stream.write(os.urandom(500))
    (notes / "go").touch()
    run = finish(process).failed()
    assert re.search(r"rule b, local job \d+: input damaged: .*work/large\.bin", run.output)
    assert (project.folder / "c.txt").exists()
    assert not (project.folder / "b.txt").exists()


def test_failed_job_leaves_no_output(project: Project) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    output: "a.txt"
    shell: "false"
""",
    )
    project.put("a.txt", "old")
    project.run("--forcerun", "all").failed()
    # As on one machine, Snakemake removes the outputs of a failed job.
    assert not (project.folder / "a.txt").exists()
