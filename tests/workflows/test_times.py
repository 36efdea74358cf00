"""Point 8: times of files mean on the submit host what they meant on the worker."""

from __future__ import annotations

import os
import time

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

EACH_ALONE = ("--grid-large-file", "1")
"""Every file that is not empty travels by itself rather than in a tarball."""


@pytest.mark.parametrize("options", [(), EACH_ALONE], ids=["tarball", "alone"])
def test_outputs_are_of_now_in_their_order_and_stay_up_to_date(
    project: Project, options: tuple[str, ...]
) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "last.txt", "dated.txt"
    output: "all.txt"
    shell: "cat {input} > {output}"
rule dated:  # Snakemake itself touches outputs, but not what is in a folder
    output: "dated.txt", directory("folder")
    # Some seconds ago: a time after the job's end would be held back to the moment it is taken in.
    shell: "date -d '-9 seconds' +%s > {output[0]}; mkdir {output[1]}; cd {output[1]}; "
           "echo x | tee x > y; ln -s x link; touch -h -d @$(cat ../{output[0]}) x link; "
           "touch -d @$(cat ../{output[0]}).25 y"
rule first:
    input: "dated.txt"
    output: directory("first")
    shell: "mkdir {output}; echo 1 > {output}/1"
rule last:
    input: "first", "folder"
    output: "last.txt"
    shell: "cat {input[0]}/1 > {output}"
"""
    )
    project.run(*options).succeeded()
    folder = project.folder
    written = int(project.read("dated.txt")) * 10**9
    x, y, link = ((folder / "folder" / name).lstat().st_mtime_ns for name in ("x", "y", "link"))
    # Time has gone by between the job's end and now: the files have moved along with it.
    assert written < x < time.time_ns()
    assert link == x
    assert y - x == 250_000_000
    names = ("dated.txt", "first/.snakemake_timestamp", "last.txt")
    times = [(folder / name).stat().st_mtime_ns for name in names]
    assert times == sorted(times)
    assert time.time_ns() - times[-1] < 60e9
    again = project.run(*options).succeeded()
    assert "Nothing to be done" in again.output


@pytest.mark.parametrize("options", [(), EACH_ALONE], ids=["tarball", "alone"])
def test_an_input_from_the_future_is_not_newer_than_the_output(
    project: Project, options: tuple[str, ...]
) -> None:
    later = time.time() + 3600
    os.utime(project.put("in.txt", "in\n"), (later, later))
    os.utime(project.put("tree/x.txt", "x\n"), (later, later))
    # In a group, as Snakemake compares the times of a single job at home, too.
    project.write(
        Snakefile="""
rule b:
    input: "a.txt"
    output: "b.txt"
    group: "both"
    shell: "cp {input} {output}"
rule a:
    input: "in.txt", "tree/x.txt"
    output: "a.txt"
    group: "both"
    shell: "cat {input} > {output}"
"""
    )
    project.run(*options).succeeded()
    assert project.read("b.txt") == "in\nx\n"
    assert project.folder.joinpath("b.txt").stat().st_mtime < time.time()
    assert project.folder.joinpath("in.txt").stat().st_mtime == pytest.approx(later)


def test_temporary_and_ancient_inputs(project: Project) -> None:
    project.put("old.txt", "old\n")
    project.write(
        Snakefile="""
rule all:
    input: ancient("old.txt"), "middle.txt"
    output: "out.txt"
    shell: "cat {input} > {output}"
rule middle:
    output: temp("middle.txt")
    shell: "echo middle > {output}"
"""
    )
    project.run().succeeded()
    assert project.read("out.txt") == "old\nmiddle\n"
    assert not (project.folder / "middle.txt").exists()
    os.utime(project.folder / "old.txt")
    assert "Nothing to be done" in project.run().succeeded().output
