"""The limit of outputs: of the rule before that of the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from tests.unit.planning.planners import planner_of
from tests.unit.snakemake_api.dags import made

SNAKEFILE = """
rule all:
    input: "a", "b"
rule a:
    output: "a"
    shell: "touch a"
rule b:
    output: "b"
    resources: grid_output_limit={value!r}
    shell: "touch b"
"""


def limits(value: object, option: str | None) -> dict[str, int | None]:
    Path("Snakefile").write_text(SNAKEFILE.format(value=value))
    said: list[str] = []
    with made(Path("Snakefile")) as workflow:
        planner = planner_of(workflow, ExecutorSettings(output_limit=option), said.append)
        jobs = {job.name: job for job in workflow.dag.needrun_jobs()}
        found = {name: planner.plan(jobs[name], name, str, {}).output_limit for name in "ab"}
    assert said == []
    return found


def test_the_rule_goes_before_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert limits("2GB", None) == {"a": None, "b": 2 * 10**9}
    assert limits(12345, "1MiB") == {"a": 1 << 20, "b": 12345}


def test_a_bad_limit_of_a_rule_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GridError, match=r"grid_output_limit.*'much'"):
        limits("much", None)
