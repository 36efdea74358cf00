"""Bundles on several backends in one run; files go through a store on a server."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Project, finish
from tests.faults import waiting_for
from tests.panda.seen import Run
from tests.servers.stores.fixtures import s3
from tests.servers.stores.s3 import S3Server

from .conftest import jobs

__all__ = ["s3"]
pytestmark = [pytest.mark.workflow, pytest.mark.panda]

OPTIONS = ("--grid-store", "s3://bucket/me", "--grid-bundle", "3", "--jobs", "20")


def grid_jobs(project: Project) -> Counter[str]:
    """Return the number of grid jobs of each backend."""
    with closing(sqlite3.connect(project.folder / ".snakemake/grid/grid.sqlite")) as database:
        rows = database.execute("SELECT backend, grid_id FROM jobs")
        return Counter(backend for backend, _ in {(one, i.partition("/")[0]) for one, i in rows})


def test_bundles_on_two_backends_are_found_again_after_a_kill(
    project: Project, s3: S3Server, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    wait = f"echo {{rule}} {{wildcards.n}} >> {begun}; {waiting_for(go)}"
    project.write(
        Snakefile=f"""
rule all:
    input: "sum.txt"
rule here:
    output: "here/{{n}}.txt"
    resources: grid_backend="local"
    shell: "{wait}; echo {{wildcards.n}} > {{output}}"
rule there:
    output: "there/{{n}}.txt"
    resources: grid_backend="panda"
    shell: "{wait}; echo {{wildcards.n}} > {{output}}"
rule sum:
    input: expand("here/{{n}}.txt", n=range(4)), expand("there/{{n}}.txt", n=range(4, 9))
    output: "sum.txt"
    resources: grid_backend="panda"
    shell: "cat {{input}} > {{output}}"
"""
    )
    project.environment |= s3.environment
    process = project.start(*OPTIONS)
    run = Run(process)
    run.until(lambda: begun.exists() and len(begun.read_text().splitlines()) == 4, 120)
    run.until(lambda: [phase for *_, phase in jobs(project)] == ["submitted"] * 9)
    assert grid_jobs(project) == {"local": 2, "panda": 2}  # of three and one, of three and two
    process.kill()
    go.touch()
    finished = project.run("--nolock", *OPTIONS).succeeded()
    assert "Going on with 4 job(s) of an earlier run" in finished.output
    assert "Going on with 5 job(s) of an earlier run" in finished.output
    assert project.read("sum.txt").split() == [str(n) for n in range(9)]
    ran = Counter(begun.read_text().splitlines())
    assert len(ran) == 9
    assert set(ran.values()) == {1}, "a payload ran twice"
    of_bundles = [key for key in s3.keys("bucket") if "_x" in key]
    assert not of_bundles, "bundles have left files in the store"
    assert finish(process).code != 0
