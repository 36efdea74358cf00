"""Several backends in one run: local processes, and a PanDA server."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.command import Process
from tests.conftest import Project, finish
from tests.faults import waiting_for
from tests.panda.seen import Run
from tests.servers.panda.server import PandaServer

from .conftest import jobs

pytestmark = [pytest.mark.workflow, pytest.mark.panda]

CHAIN = """
rule all:
    input: "c.txt"
rule a:
    output: "a.txt"
    resources: grid_backend="local"
    shell: "seq 3 > {output}"
rule b:
    input: "a.txt"
    output: "b.txt"
    resources: grid_backend="panda"
    shell: "cat {input} > {output}; echo b >> {output}"
rule c:
    input: "a.txt", "b.txt"
    output: "c.txt"
    resources: grid_backend="local"
    shell: "cat {input} > {output}"
"""


def test_what_one_backend_makes_another_one_reads(project: Project) -> None:
    project.write(Snakefile=CHAIN)
    finished = project.run().succeeded()
    assert project.read("c.txt") == "1\n2\n3\n1\n2\n3\nb\n"
    assert jobs(project) == [
        ("a", "local", "succeeded"),
        ("b", "panda", "succeeded"),
        ("c", "local", "succeeded"),
    ], finished.output


def test_the_example_of_the_documentation(project: Project) -> None:
    page = Path(__file__).parents[2] / "docs" / "several-backends.md"
    example = page.read_text().partition("```python\n")[2].partition("```")[0]
    project.write(Snakefile=example)
    project.run().succeeded()
    assert project.read("count.txt") == "1000\n"
    assert [backend for _, backend, _ in jobs(project)] == ["local", "panda"]


def gated(project: Project, marks: Path) -> None:
    """Write a workflow whose jobs note that they begin, and wait until they may end."""
    marks.mkdir()
    wait = f"echo {{rule}} >> {marks}/begun; {waiting_for(marks / '{rule}')}"
    project.write(
        Snakefile=f"""
rule all:
    input: "here.txt", "there.txt", "after.txt"
rule here:
    output: "here.txt"
    resources: grid_backend="local"
    shell: "{wait}; echo here > {{output}}"
rule there:
    output: "there.txt"
    resources: grid_backend="panda"
    shell: "{wait}; echo there > {{output}}"
rule after:
    input: "here.txt"
    output: "after.txt"
    resources: grid_backend="local"
    shell: "cat {{input}} > {{output}}"
"""
    )


def begun(marks: Path) -> list[str]:
    path = marks / "begun"
    return sorted(path.read_text().split()) if path.exists() else []


def with_both_begun(project: Project, marks: Path) -> Process:
    """Start a run of that workflow; return it when both jobs have begun and are noted."""
    process = project.start()
    run = Run(process)
    run.until(lambda: begun(marks) == ["here", "there"])
    run.until(lambda: [phase for *_, phase in jobs(project)] == ["submitted"] * 2)
    return process


def test_jobs_go_to_the_first_that_has_room_and_spill_over(
    project: Project, tmp_path: Path
) -> None:
    project.write(
        Snakefile="""
rule all:
    input: expand("{n}.txt", n=range(4))
rule a:
    output: "{n}.txt"
    shell: "sleep 3; touch {output}"
"""
    )
    project.run("--grid-local-cores", "1").succeeded()
    assert Counter(backend for _, backend, _ in jobs(project)) == {"local": 1, "panda": 3}


def test_an_outage_of_one_stops_only_its_own_jobs(
    project: Project, panda_server: PandaServer, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    gated(project, marks)
    process = project.start()
    run = Run(process)
    run.until(lambda: begun(marks) == ["here", "there"])
    panda_server.kill()
    run.until_it_says("panda does not answer")
    (marks / "here").touch()
    run.until(lambda: (project.folder / "after.txt").exists())
    run.until(lambda: "panda does not answer" in project.grid("status").output)
    (marks / "there").touch()
    panda_server.start()
    finish(process).succeeded()
    assert "panda answers again" in run.output
    assert project.read("there.txt") == "there\n"
    assert begun(marks) == ["here", "there"]


def test_a_run_ends_when_only_jobs_of_a_silent_server_are_left(
    project: Project, panda_server: PandaServer, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    gated(project, marks)
    process = project.start("--grid-outage-limit", "0.002")
    run = Run(process)
    run.until(lambda: begun(marks) == ["here", "there"])
    panda_server.kill()
    run.until_it_says("1 job(s) are left there for the next run; others go on")
    (marks / "here").touch()
    finished = finish(process).failed()
    assert project.read("after.txt") == "here\n"
    assert "The run ends: panda has not answered" in finished.output
    panda_server.start()
    (marks / "there").touch()
    project.run().succeeded()
    assert begun(marks) == ["here", "there"]


def test_after_a_kill_the_jobs_of_both_are_found_again(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    gated(project, marks)
    process = with_both_begun(project, marks)
    process.kill()
    for name in ("here", "there"):
        (marks / name).touch()
    # In another order, so that other backends come first.
    finished = project.run("--nolock", "--grid-backend", "panda,local").succeeded()
    assert finished.output.count("Going on with 1 job(s) of an earlier run") == 2
    assert begun(marks) == ["here", "there"]


def test_ctrl_c_cancels_the_jobs_of_both(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    gated(project, marks)
    process = with_both_begun(project, marks)
    process.send_signal(signal.SIGINT)
    finished = finish(process).failed()
    assert jobs(project) == [("here", "local", "cancelled"), ("there", "panda", "cancelled")]
    assert "Not confirmed" not in finished.output


def test_jobs_that_are_left_can_be_seen_and_cancelled(project: Project, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    gated(project, marks)
    process = project.start("--grid-on-interrupt", "keep")
    run = Run(process)
    run.until(lambda: begun(marks) == ["here", "there"])
    run.until(lambda: [phase for *_, phase in jobs(project)] == ["submitted"] * 2)
    process.send_signal(signal.SIGINT)
    finish(process).failed()
    for command in (("status", "--server"), ("describe", "here", "there", "--server")):
        said = project.grid(*command).succeeded().output
        assert "local" in said, said
        assert "panda" in said, said
    project.grid("cancel", "--all", "--yes").succeeded()
    assert jobs(project) == [("here", "local", "cancelled"), ("there", "panda", "cancelled")]
    project.grid("report").succeeded()


def test_a_detached_run_leaves_the_jobs_of_both_and_takes_them_up(
    project: Project, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    gated(project, marks)
    said = project.run("--grid-detach").succeeded().output
    assert "2 stay on the grid: local 1 (rule here), panda " in said
    for name in ("here", "there"):
        (marks / name).touch()
    project.run().succeeded()
    assert begun(marks) == ["here", "there"]


def test_check_tries_each(project: Project) -> None:
    said = project.grid("check", "--submit", *project.site.options[:4]).succeeded().output
    for backend in ("local", "panda"):
        for check in ("server", "store", "job"):
            assert f"{backend}: {check}" in said, said
