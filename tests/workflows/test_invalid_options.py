"""Invalid options and a damaged journal: an error names each before the first job."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Project

from .fault_bench import TWO, assert_output, processes

pytestmark = pytest.mark.workflow


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
def test_invalid_options_are_named(project: Project, options: list[str], words: list[str]) -> None:
    project.put("Snakefile", TWO.format(a="touch {output}"))
    run = project.run(*(option.format(folder=project.folder) for option in options)).failed()
    assert run.code == 1
    assert_output(run, *words)
    assert not (project.folder / "b.txt").exists()
    assert not processes(project)


def test_option_that_is_not_a_number_is_named(project: Project) -> None:
    project.put("Snakefile", TWO.format(a="touch {output}"))
    run = project.run("--grid-start-limit", "soon")
    assert run.code in (1, 2)
    assert_output(run, "--grid-start-limit")


def test_damaged_journal_is_reported(project: Project) -> None:
    project.put("Snakefile", TWO.format(a="touch {output}"))
    project.put(".snakemake/grid/grid.sqlite", json.dumps({"not": "a database"}) * 100)
    run = project.run().failed()
    assert_output(run, "grid.sqlite: is damaged")
