"""Three backends in one run: local processes, a PanDA server and a real DIRAC server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Project, finish
from tests.dirac.conftest import dirac_site
from tests.dirac.hiding import hidden
from tests.faults import waiting_for
from tests.panda.seen import Run
from tests.servers.dirac.server import UNSET, DiracServer

from .conftest import jobs

pytestmark = [pytest.mark.workflow, pytest.mark.panda, pytest.mark.dirac]


@pytest.fixture
def three(
    project: Project, dirac_server: DiracServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """Return the project with a third backend."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    dirac = dirac_site(dirac_server)
    site = project.site
    project.site = replace(
        site,
        options=(*site.options, *dirac.options, "--grid-backend", "local,dirac,panda"),
        environment={**site.environment, **dirac.environment},
    )
    with hidden(project.folder, dirac_server):
        yield project
        project.end()


def test_three_rules_on_three_backends(three: Project) -> None:
    three.write(
        Snakefile="""
rule all:
    input: "c.txt"
rule a:
    output: "a.txt"
    resources: grid_backend="dirac"
    shell: "seq 3 > {output}"
rule b:
    input: "a.txt"
    output: "b.txt"
    resources: grid_backend="panda"
    shell: "cat {input} > {output}; echo b >> {output}"
rule c:
    input: "a.txt", "b.txt"
    output: "c.txt"
    shell: "cat {input} > {output}"
"""
    )
    finished = three.run().succeeded()
    assert three.read("c.txt") == "1\n2\n3\n1\n2\n3\nb\n"
    assert jobs(three) == [
        ("a", "dirac", "succeeded"),
        ("b", "panda", "succeeded"),
        ("c", "local", "succeeded"),
    ], finished.output


def test_after_a_kill_the_jobs_of_two_servers_are_found_again(
    three: Project, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    wait = f"echo {{rule}} >> {begun}; {waiting_for(go)}"
    three.write(
        Snakefile=f"""
rule all:
    input: "a.txt", "b.txt"
rule a:
    output: "a.txt"
    resources: grid_backend="dirac"
    shell: "{wait}; touch {{output}}"
rule b:
    output: "b.txt"
    resources: grid_backend="panda"
    shell: "{wait}; touch {{output}}"
"""
    )
    process = three.start()
    run = Run(process)
    run.until(lambda: begun.exists() and len(begun.read_text().split()) == 2, 120)
    run.until(lambda: [phase for *_, phase in jobs(three)] == ["submitted"] * 2)
    process.kill()
    go.touch()
    finished = three.run("--nolock").succeeded()
    assert finished.output.count("Going on with 1 job(s) of an earlier run") == 2
    assert sorted(begun.read_text().split()) == ["a", "b"]
    assert finish(process).code != 0
