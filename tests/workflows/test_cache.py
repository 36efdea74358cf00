"""Point 12: Snakemake's cache between workflows stays on the submit host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project

pytestmark = pytest.mark.workflow

_WORKFLOW = """
rule all:
    input: "single.txt", "many/a.txt"
rule single:
    output: "single.txt"
    cache: True
    shell: "cat /proc/sys/kernel/random/uuid > {output}"
rule many:
    output: multiext("many/", "a.txt", "b.txt")
    cache: True
    shell: "cat /proc/sys/kernel/random/uuid | tee {output}"
"""


@pytest.mark.parametrize("rules", [(), ("single", "many")], ids=["all", "named"])
def test_12_outputs_are_cached_and_fetched(
    make_project: MakeProject, tmp_path: Path, rules: tuple[str, ...]
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    first, second = (_project(make_project(name), cache) for name in ("first", "second"))
    first.run("--cache", *rules).succeeded()
    names = ("single.txt", "many/a.txt", "many/b.txt")
    for name in names:
        assert (first.folder / name).resolve().is_relative_to(cache)
    second.put("single.txt", "old\n")
    finished = second.run("--cache", *rules, "--forceall").succeeded()
    assert [second.read(name) for name in names] == [first.read(name) for name in names]
    assert "Submitted" not in finished.output
    assert not list((second.folder / ".snakemake" / "grid" / "logs").rglob("*.log"))


def _project(project: Project, cache: Path) -> Project:
    project.put("Snakefile", _WORKFLOW)
    project.environment["SNAKEMAKE_OUTPUT_CACHE"] = str(cache)
    return project
