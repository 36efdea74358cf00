"""The backend that ``docs/adding-a-backend.md`` shows works, and is as short as the page says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project, Site
from tests.directory_backend import SOURCE, install

SNAKEFILE = """
rule all:
    input: "c.txt", "log.txt"
rule a:
    output: "a{n}.txt"
    log: "a{n}.log"
    shell: "echo hi {wildcards.n} >{output}; echo logged >{log}"
rule c:
    input: "a0.txt", "a1.txt"
    output: "c.txt"
    shell: "cat {input} >{output}"
rule fails:
    output: "log.txt"
    shell: "echo it said this; exit 3"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    paths = [install(tmp_path / "installed"), os.environ.get("PYTHONPATH", "")]
    environment = {
        "GRID_QUEUE": str(tmp_path / "queue"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    options = ("--grid-backend", "directory")
    return Site("directory", "directory", tmp_path / "queue", options, environment)


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project("project")


@pytest.mark.workflow
def test_a_backend_of_another_package_runs_jobs(project: Project, site: Site) -> None:
    project.put("Snakefile", SNAKEFILE)
    output = project.run("--keep-going").failed().output
    assert project.read("c.txt") == "hi 0\nhi 1\n"
    assert project.read("a1.log") == "logged\n"
    assert re.search(r"rule fails, directory job .*exit code 3", output, re.DOTALL), output
    assert "it said this" in output
    assert not list(site.folder.glob("[!.]*")), "jobs that have ended are still in the queue"
    checked = project.grid("check", "--backend", "directory").output
    assert "directory answers" in checked
    assert "written, read back and removed" in checked


@pytest.mark.workflow
def test_its_options_are_checked(project: Project) -> None:
    project.put("Snakefile", "rule a:\n    output: 'a'\n    shell: 'touch {output}'\n")
    output = project.run("--grid-tags", "x", "--grid-store", "lfn:/vo/x").failed().output
    assert "--grid-tags: is for --grid-backend dirac" in output
    assert "--grid-store lfn:…: needs --grid-backend dirac" in output
    unknown = project.run("--grid-backend", "nowhere").failed().output
    assert "choose from local, dirac, panda, directory." in unknown


def test_it_is_as_short_as_the_page_says() -> None:
    page = (SOURCE.parent / "adding-a-backend.md").read_text()
    stated = re.search(r"\((\d+) lines\)", page)
    assert stated is not None
    lines = len((SOURCE / "directory_backend.py").read_text().splitlines())
    assert lines <= int(stated[1]) <= 150
