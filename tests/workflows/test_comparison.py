"""Jobs that run Snakemake on the worker do what the submit host asked for, or fail."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

BEGIN = "the workflow means something else on this worker than on the submit host, so"

NEVER = ("--grid-decide", "never")


def test_a_listing_gives_the_files_that_other_jobs_get(project: Project) -> None:
    for name in "abc":
        project.put(f"raw/{name}.dat", f"event {name}\n")
    project.put(
        "Snakefile",
        """
import glob, os
FILES = sorted(glob.glob("raw/*.dat"))
SIZES = [os.stat(path).st_size for path in FILES]
rule all:
    input: "joined.txt", "sizes.txt"
rule clean:
    input: "raw/{name}.dat"
    output: "clean/{name}.dat"
    shell: "tr a-z A-Z < {input} > {output}"
rule join:
    input: [path.replace("raw", "clean") for path in FILES]
    output: "joined.txt"
    shell: "cat {input} > {output}; ! cat raw/*.dat"
rule sizes:
    input: "joined.txt"
    output: "sizes.txt"
    run:
        with open(output[0], "w") as out:
            print(SIZES, os.path.exists("raw/a.dat"), file=out)
""",
    )
    project.run().succeeded()
    assert project.read("joined.txt") == "EVENT A\nEVENT B\nEVENT C\n"
    assert project.read("sizes.txt") == "[8, 8, 8] False\n"


def test_a_variable_that_only_this_host_has_fails_the_job(project: Project) -> None:
    project.put(
        "Snakefile",
        """
import os
rule a:
    output: "{name}.txt"
    params: where=os.environ.get("DETECTOR", "none")
    shell: "echo {params.where} > {output}"
""",
    )
    project.environment["DETECTOR"] = "/opt/detector"
    run = project.run(*NEVER, "x.txt").failed()
    for words in (
        f"{BEGIN} rule a (name=x) does not run",
        "params.where: '/opt/detector' on the submit host, 'none' here",
        "What to do:",
        'grid_compare="params.where,command"',
    ):
        assert words in run.output
    assert not (project.folder / "x.txt").exists()


CLOCK = """
import datetime
rule all:
    input: "told.txt"
rule tell:
    output: "told.txt"
    params: now=str(datetime.datetime.now())
    shell: "echo {params.now} > {output}"
"""


def test_a_clock_fails_the_job_unless_it_is_excepted(project: Project) -> None:
    project.put("Snakefile", CLOCK)
    run = project.run(*NEVER).failed()
    assert f"{BEGIN} rule tell does not run. params.now: '20" in run.output
    for value in ("params.now,command", "no"):
        resource = f"resources: grid_compare={value!r}\n    params:"
        project.put("Snakefile", CLOCK.replace("params:", resource))
        project.run(*NEVER, "--force", "told.txt").succeeded()
    resource = "resources: grid_compare='params.then'\n    params:"
    project.put("Snakefile", CLOCK.replace("params:", resource))
    assert (
        "rule tell has no 'params.then'"
        in project.run(*NEVER, "--force", "told.txt").failed().output
    )


def test_code_and_groups_are_compared_in_their_own_process(project: Project) -> None:
    text = """
import os, pathlib
HOST = pathlib.Path(SOMEWHERE).exists()
rule all:
    input: "b.txt"
rule a:
    output: "a.txt"
    group: "g"
    shell: "echo a > {output}"
rule b:
    input: "a.txt"
    output: "b.txt"
    group: "g"
    run:
        with open(output[0], "w") as out:
            print(HOST, open(input[0]).read(), file=out)
"""
    project.put("Snakefile", text.replace("SOMEWHERE", "os.curdir"))
    project.run().succeeded()
    assert project.read("b.txt") == "True a\n\n"
    project.put("mine.bin", "x" * (2 << 20))
    project.put("Snakefile", text.replace("SOMEWHERE", '"mine.bin"'))
    run = project.run("--force", "b.txt").failed()
    assert f"{BEGIN} rule b does not run" in run.output
    assert "global HOST: True on the submit host, False here" in run.output
