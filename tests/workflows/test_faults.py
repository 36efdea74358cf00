"""Faults, injected for real: each ends in a clear error of its job, and the rest goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Finished, Project, finish, local_site, processes_below
from tests.faults import eventually

pytestmark = pytest.mark.workflow


def processes(project: Project, sign: str = "") -> list[int]:
    """Return the processes of a project's site and jobs whose command line has a sign in it."""
    return processes_below(project.site.folder, sign, by_environment=True)


def tells(run: Finished, *words: str) -> None:
    for word in words:
        assert word in run.output, f"not told: {word}\n{run.output}"


def nothing_is_left(project: Project) -> None:
    """See that the site, the warm process, all workers and payloads and the folder are gone."""
    eventually(lambda: not processes(project), 10)
    assert not list(project.site.folder.glob("*"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a folder that jobs see by its absolute path."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def seen(notes: Path) -> list[str]:
    return sorted(path.name for path in notes.iterdir())


def mount(folder: Path, megabytes: int) -> None:
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a small file system: {done.stderr.strip()}")


@pytest.fixture
def unmount() -> Iterator[list[Path]]:
    folders: list[Path] = []
    yield folders
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


# The controller


MANY = """
rule all:
    input: expand("out/{{n}}.txt", n=range(5))
rule a:
    output: "out/{{n}}.txt"
    shell: "touch {notes}/begun-{{wildcards.n}}; setsid sleep 300 & {wait}; touch {{output}}"
"""


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_an_interrupt_cancels_everything(project: Project, notes: Path, start: str) -> None:
    project.put("Snakefile", MANY.format(notes=notes, wait="wait"))
    cold = ["--grid-local-cold"] if start == "cold" else []
    process = project.start("--grid-local-cores", "3", "--jobs", "5", *cold)
    eventually(lambda: len(seen(notes)) == 3)
    assert processes(project, "sleep\x00300")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    run = finish(process, 30).failed()
    assert time.monotonic() - began < 20
    nothing_is_left(project)
    assert len(seen(notes)) == 3
    assert "Not confirmed" not in run.output
    assert not list((project.folder / "out").glob("*"))
    # Nothing stands in the way of the next run.
    project.put("Snakefile", MANY.format(notes=notes, wait="true"))
    again = project.run().succeeded()
    assert "left behind" not in again.output


def test_an_interrupt_early_on_leaves_nothing(project: Project, notes: Path) -> None:
    project.put("Snakefile", MANY.format(notes=notes, wait="wait"))
    process = project.start("--jobs", "5")
    # The site is there, and the first job is not yet: its worker is being prepared.
    eventually(lambda: list(project.site.folder.glob("*/site.sqlite")))
    process.send_signal(signal.SIGINT)
    finish(process, 40).failed()
    nothing_is_left(project)


def test_a_termination_waits_for_the_jobs_that_run(project: Project, notes: Path) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "b.txt"
rule a:
    output: "a.txt"
    shell: "touch {notes}/a; while [ ! -e {notes}/go ]; do sleep 0.1; done; touch {{output}}"
rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "touch {notes}/b; touch {{output}}"
""",
    )
    process = project.start()
    eventually(lambda: seen(notes) == ["a"])
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    (notes / "go").touch()
    finish(process).failed()
    assert (project.folder / "a.txt").exists()
    assert seen(notes) == ["a", "go"]
    nothing_is_left(project)


# The site and its workers

ONCE = """
rule all:
    input: expand("out/{{n}}.txt", n=range(3)), "last.txt"
rule a:
    output: "out/{{n}}.txt"
    shell:
        "mktemp {notes}/{{wildcards.n}}-XXXXXX; "
        "while [ ! -e {notes}/go ]; do sleep 0.1; done; touch {{output}}"
rule last:
    input: expand("out/{{n}}.txt", n=range(3))
    output: "last.txt"
    shell: "mktemp {notes}/last-XXXXXX; touch {{output}}"
"""


def runs(notes: Path) -> list[str]:
    return sorted(name.partition("-")[0] for name in seen(notes) if "-" in name)


def test_a_killed_site_is_started_again_and_no_job_runs_twice(
    project: Project, notes: Path
) -> None:
    project.put("Snakefile", ONCE.format(notes=notes))
    process = project.start("--grid-local-cores", "2")
    eventually(lambda: len(runs(notes)) == 2)
    (site,) = processes(project, "backends.local.server")
    os.kill(site, signal.SIGKILL)
    eventually(lambda: processes(project, "backends.local.server") not in ([], [site]))
    (notes / "go").touch()
    finish(process).succeeded()
    assert runs(notes) == ["0", "1", "2", "last"]
    nothing_is_left(project)


def test_a_killed_warm_process_fails_no_job(project: Project, notes: Path) -> None:
    project.put("Snakefile", ONCE.format(notes=notes))
    process = project.start("--grid-local-cores", "3")
    eventually(lambda: len(runs(notes)) == 3)
    (site,) = processes(project, "backends.local.server")
    children = Path(f"/proc/{site}/task/{site}/children").read_text().split()
    (warm,) = set(map(int, children)) & set(processes(project, ".warm as warm"))
    os.kill(warm, signal.SIGKILL)
    (notes / "go").touch()
    finish(process).succeeded()
    assert runs(notes) == ["0", "1", "2", "last"]
    nothing_is_left(project)


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_a_killed_worker_fails_its_job_alone(project: Project, notes: Path, start: str) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "b.txt", "victim.txt"
rule victim:
    output: "victim.txt"
    shell: "touch {notes}/victim; setsid sleep 300 & wait; touch {{output}}"
rule a:
    output: "a.txt"
    shell: "while [ ! -e {notes}/go ]; do sleep 0.1; done; touch {{output}}"
rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "touch {{output}}"
""",
    )
    cold = ["--grid-local-cold"] if start == "cold" else []
    process = project.start("--keep-going", *cold)
    eventually(lambda: seen(notes) == ["victim"])
    (started,) = project.site.folder.glob("*/jobs/victim-*/started")
    os.kill(int(started.read_text()), signal.SIGKILL)
    eventually(lambda: not processes(project, "sleep\x00300"), 5)
    (notes / "go").touch()
    run = finish(process).failed()
    assert re.search(
        r"rule victim, local job \d+: .*the worker died without a report \(kill -9", run.output
    )
    assert (project.folder / "b.txt").exists()
    assert not (project.folder / "victim.txt").exists()
    nothing_is_left(project)


TWO = """
rule all:
    input: "a.txt", "b.txt"
rule a:
    output: "a.txt"
    shell: "{a}"
rule b:
    output: "b.txt"
    shell: "touch {{output}}"
"""


def test_a_worker_that_never_starts_is_given_up(project: Project, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 300 &\nwait\n")
    python.chmod(0o755)
    project.put("Snakefile", TWO.format(a="touch {output}"))
    began = time.monotonic()
    run = project.run(
        *("--grid-local-python", str(python), "--grid-start-limit", "2", "--keep-going")
    ).failed()
    assert time.monotonic() - began < 30
    assert len(re.findall("the worker did not start within 2 s", run.output)) >= 2
    nothing_is_left(project)


def test_a_python_that_is_none_is_told(project: Project, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho I am no Python >&2\nexit 7\n")
    python.chmod(0o755)
    project.put("Snakefile", TWO.format(a="touch {output}"))
    run = project.run("--grid-local-python", str(python)).failed()
    tells(run, "no report came back")
    tells(run, "I am no Python")
    nothing_is_left(project)


@pytest.mark.slow  # a minute is the least that Snakemake knows
def test_a_job_past_its_runtime_fails_in_time(project: Project) -> None:
    project.put(
        "Snakefile",
        TWO.format(a="sleep 300").replace(
            'output: "a.txt"', 'output: "a.txt"\n    resources: runtime=1'
        ),
    )
    began = time.monotonic()
    run = project.run("--keep-going").failed()
    assert time.monotonic() - began < 100
    assert re.search(r"rule a, local job \d+: time limit: .* 60 s", run.output)
    assert (project.folder / "b.txt").exists()
    nothing_is_left(project)


# Disks


def test_a_full_disk_of_the_worker_is_told(project: Project, unmount: list[Path]) -> None:
    mount(project.site.folder, 8)
    unmount.append(project.site.folder)
    project.put("Snakefile", TWO.format(a="dd if=/dev/zero of={output} bs=64k status=none"))
    # One after the other: the disk is all sandboxes'.
    run = project.run("--keep-going", "--jobs", "1").failed()
    tells(run, "out of disk: the disk of the worker node is full")
    assert (project.folder / "b.txt").exists()
    nothing_is_left(project)


# Inputs and outputs


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
    tells(run, "input vanishing.txt does not exist")
    tells(run, "output /tmp/of-no-job-on-the-grid.txt is outside of the working directory")


@pytest.fixture
def nobodys() -> Iterator[Project]:
    """Return a project that belongs to an ordinary user, and becomes that user's process."""
    nobody = 65534
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become an ordinary user")
    user = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    code = "import snakemake, os, sys; os.execv(sys.executable, [sys.executable, '-V'])"
    trial = subprocess.run([*user, sys.executable, "-c", code], capture_output=True, check=False)
    if trial.returncode != 0:
        pytest.skip("an ordinary user cannot run this Python")
    # Not below pytest's own folder, which is closed to others.
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


def test_an_input_without_permission_fails_its_job(nobodys: Project) -> None:
    # Of a smaller one, Snakemake itself wants the checksum, and ends the workflow.
    nobodys.put("secret.txt", "x" * 2_000_000).chmod(0o600)
    nobodys.put(
        "Snakefile",
        TWO.format(a="cp {input} {output}").replace(
            'output: "a.txt"', 'input: "secret.txt"\n    output: "a.txt"'
        ),
    )
    run = nobodys.run("--keep-going").failed()
    assert re.search(r"rule a, not submitted: .*secret\.txt: Permission denied", run.output)
    assert (nobodys.folder / "b.txt").exists(), run.output
    nothing_is_left(nobodys)


def test_a_blob_damaged_in_the_store_is_told(project: Project, notes: Path, tmp_path: Path) -> None:
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
    os.truncate(blob, 500)
    (notes / "go").touch()
    run = finish(process).failed()
    assert re.search(r"rule b, local job \d+: input damaged: .*work/large\.bin", run.output)
    assert (project.folder / "c.txt").exists()
    assert not (project.folder / "b.txt").exists()


def test_nothing_half_written_is_left_when_nothing_good_comes_back(project: Project) -> None:
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
    # As on one machine, Snakemake itself removes outputs of a job that failed.
    assert not (project.folder / "a.txt").exists()


# Slots


def test_jobs_wait_for_a_free_slot(project: Project, notes: Path) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: expand("{{n}}.txt", n=["a", "b", "huge"])
rule slot:
    output: "{{n}}.txt"
    threads: lambda wildcards: 1
    resources: mem_mb=lambda wildcards: 10**8 if wildcards.n == "huge" else 10
    shell:
        "mkdir {notes}/lock || touch {notes}/together; sleep 1; rmdir {notes}/lock; "
        "touch {{output}}"
""",
    )
    project.run("--grid-local-cores", "1", "--resources", "mem_mb=1000000000").succeeded()
    assert seen(notes) == []


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--grid-backend", "condor"], ["--grid-backend", "condor", "local"]),
        (
            ["--grid-local-cores", "-1", "--grid-staging-threads", "0"],
            ["--grid-local-cores: has to be 1 or more, not -1", "--grid-staging-threads"],
        ),
        (
            ["--grid-runtime", "container", "--grid-compression", "rar"],
            ["--grid-runtime container: needs --grid-runtime-image", "--grid-compression", "zstd"],
        ),
        (
            ["--grid-include", "a", "--grid-exclude", "a"],
            ["--grid-include a: --grid-exclude names it as well"],
        ),
        (["--grid-local-python", "/nowhere/python"], ["--grid-local-python /nowhere/python"]),
        (["--grid-local-dir", "below"], ["--grid-local-dir", "below the working directory"]),
        (
            ["--grid-store", "file://{folder}/store"],
            ["--grid-store", "below the working directory"],
        ),
        (["--grid-store", "gopher://host/x"], ["--grid-store gopher://host/x", "file:///"]),
        (["--grid-store", "file://host/x"], ["--grid-store file://host/x", "three slashes"]),
        (["--grid-store", "file:///proc/nowhere"], ["file:///proc/nowhere", "--grid-store"]),
        (["--grid-local-dir", "/proc/nowhere"], ["/proc/nowhere", "--grid-local-dir"]),
    ],
    ids=lambda value: " ".join(value[:2]) if value[0].startswith("--grid") else "",
)
def test_bad_options_are_named(project: Project, options: list[str], words: list[str]) -> None:
    project.put("Snakefile", TWO.format(a="touch {output}"))
    run = project.run(*(option.format(folder=project.folder) for option in options)).failed()
    assert run.code == 1
    tells(run, *words)
    assert not (project.folder / "b.txt").exists()
    assert not processes(project)


def test_an_option_that_is_no_number_is_named(project: Project) -> None:
    project.put("Snakefile", TWO.format(a="touch {output}"))
    run = project.run("--grid-start-limit", "soon")
    assert run.code in (1, 2)
    tells(run, "--grid-start-limit")


def test_a_journal_that_is_none_is_told(project: Project) -> None:
    project.put("Snakefile", TWO.format(a="touch {output}"))
    project.put(".snakemake/grid/grid.sqlite", json.dumps({"not": "a database"}) * 100)
    run = project.run().failed()
    tells(run, "grid.sqlite: is damaged")
