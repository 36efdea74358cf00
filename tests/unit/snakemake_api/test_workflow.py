"""What the package learns of a workflow and its DAG: breaks when Snakemake changes that."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.settings import types as options

from snakemake_executor_plugin_grid.snakemake_api.workflow import (
    is_flagged,
    is_local_file,
    names,
    source_paths,
    staying,
)

from .conftest import Build


def test_files_of_all_jobs(build: Build) -> None:
    workflow_api = build().workflow_api
    assert sorted(workflow_api.products()) == [
        *("bench/one.tsv", "bench/two.tsv", "logs/one.log", "logs/two.log", "one.sorted"),
        *("one.txt", "one.unused", "parts", "table.csv", "two.sorted", "two.txt", "two.unused"),
    ]
    assert {"in.csv", "shared.csv", "one.sorted", "one.txt"} <= set(workflow_api.inputs())


def test_uses(build: Build) -> None:
    workflow_api = build().workflow_api
    used = {name: workflow_api.uses(name) for name in ("shared.csv", "one.sorted", "x")}
    assert used == {"shared.csv": 5, "one.sorted": 1, "x": 0}


def test_checkpoint_outputs(build: Build, tmp_path: Path) -> None:
    fresh = build().workflow_api
    assert fresh.has_checkpoints
    assert list(fresh.checkpoint_outputs()) == []
    (tmp_path / "parts").mkdir()
    assert list(build().workflow_api.checkpoint_outputs()) == ["parts"]


def test_workflow_without_checkpoint(build: Build) -> None:
    workflow_api = build("rule a:\n    output: 'a'\n    shell: 'true'\n").workflow_api
    assert not workflow_api.has_checkpoints
    assert list(workflow_api.checkpoint_outputs()) == []


def test_unneeded_temp_files(build: Build) -> None:
    made = build()
    assert made.workflow_api.unneeded_temp_files(made.job("sort", sample="one")) == {"one.unused"}
    assert made.workflow_api.unneeded_temp_files(made.job("show", sample="one")) == set()


@pytest.mark.parametrize(("target", "unneeded"), [("last", {"a.temp"}), ("a", set())])
def test_temp_files_of_targets_are_needed(build: Build, target: str, unneeded: set[str]) -> None:
    made = build(
        "rule last:\n    input: 'a.kept'\n    output: 'last'\n    shell: 'true'\n"
        "rule a:\n    output: temp('a.temp'), 'a.kept'\n    shell: 'true'\n",
        targets=(target,),
    )
    assert made.workflow_api.unneeded_temp_files(made.job("a")) == unneeded


def test_temp_files_of_checkpoints_are_needed(build: Build) -> None:
    made = build(
        "checkpoint a:\n    output: temp('a.temp'), 'a.kept'\n    shell: 'true'\n"
        "rule last:\n    input: 'a.kept'\n    output: 'last'\n    shell: 'true'\n",
        targets=("last",),
    )
    assert made.workflow_api.unneeded_temp_files(made.job("a")) == set()


def test_temp_files_are_needed_if_the_user_keeps_them(build: Build) -> None:
    made = build()
    made.workflow.storage_settings = options.StorageSettings(notemp=True)
    assert made.workflow_api.unneeded_temp_files(made.job("sort", sample="one")) == set()


def test_a_copy_of_a_source_is_not_staged(build: Build, tmp_path: Path) -> None:
    made = build(
        "rule a:\n    input: workflow.source_path('scripts/show.py'), 'in.csv'\n"
        "    output: 'a'\n    shell: 'true'\n"
    )
    inputs = made.job("a").input
    assert names(inputs) == ["in.csv"]
    assert source_paths(inputs) == [str(tmp_path / "scripts" / "show.py")]


def test_jobs_that_load_environment_modules(build: Build) -> None:
    made = build(
        "rule a:\n    output: 'a'\n    envmodules: 'root'\n    shell: 'true'\n"
        "rule b:\n    output: 'b'\n    shell: 'true'\n",
        targets=("a", "b"),
    )

    def users() -> list[str]:
        return [rule for rule in "ab" if made.workflow_api.uses_env_modules(made.job(rule))]

    assert users() == [], "without --sdm env-modules, Snakemake ignores them"
    methods = {options.DeploymentMethod.ENV_MODULES}
    made.workflow.deployment_settings = options.DeploymentSettings(deployment_method=methods)
    assert users() == ["a"]


def test_flags(build: Build) -> None:
    made = build()
    (kept, _) = made.job("sort", sample="one").output
    assert is_flagged(kept, "temp")
    assert not is_flagged(kept, "update", "pipe")
    assert is_flagged(made.job("table").output[0], "update", "pipe")
    assert is_flagged(made.job("split").output[0], "directory")


def test_files_that_stay_on_the_worker(build: Build) -> None:
    made = build(
        "rule a:\n"
        "    output: temp('a', group_jobs=True), pipe('p'), 'c', temp('t')\n"
        "    shell: 'true'\n"
    )
    outputs = made.job("a").output
    assert [is_local_file(path) for path in outputs] == [False, False, True, True]
    assert names(outputs) == ["c", "t"]
    assert staying(outputs) == ["a", "p"]


def test_members_of_a_job_and_of_a_group(build: Build) -> None:
    made = build()
    job = made.job("sort", sample="one")
    assert made.workflow_api.members(job) == [job]
    piped = build(
        "rule p:\n    output: pipe('p')\n    shell: 'true'\n"
        "rule b:\n    input: 'p'\n    output: 'b'\n    shell: 'true'\n",
        targets=("b",),
    )
    piped.workflow.async_run(piped.workflow.dag.postprocess())
    (group,) = piped.workflow.dag.ready_jobs
    assert group.is_group()
    members = piped.workflow_api.members(group)
    assert {member.rule.name for member in members} == {"p", "b"}
    assert not any(member.is_group() for member in members)
    assert piped.workflow_api.wildcards(group) == {}


def test_wildcards_of_a_job(build: Build) -> None:
    made = build()
    assert made.workflow_api.wildcards(made.job("sort", sample="one")) == {"sample": "one"}
    assert made.workflow_api.wildcards(made.job("table")) == {}


def test_resources_follow_the_attempt(build: Build) -> None:
    made = build(
        "rule a:\n    output: 'a'\n    resources: mem_mb=lambda w, attempt: 100 * attempt\n"
        "    shell: 'true'\n"
    )
    job = made.job("a")
    for attempt, expected in ((1, 1), (3, 3), (2, 3)):
        made.workflow_api.raise_attempt(job, attempt)
        assert (job.attempt, job.resources["mem_mb"]) == (expected, 100 * expected)


def test_declared_sources(build: Build) -> None:
    found, warning = build().workflow_api.declared_sources()
    assert warning == ""
    assert {"Snakefile", "rules/more.smk", "scripts/show.py", "scripts/helper.py"} <= found


def test_declared_sources_without_git(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_api = build().workflow_api
    monkeypatch.setenv("PATH", str(tmp_path))
    found, warning = workflow_api.declared_sources()
    assert {Path(path).name for path in found} == {"Snakefile", "more.smk"}
    assert warning.startswith("not all sources could be listed: ")
    assert "git" in warning


def test_source_folders(build: Build, tmp_path: Path) -> None:
    assert set(build().workflow_api.source_folders()) == {tmp_path, tmp_path / "rules"}


def test_scripts_of_rules(build: Build, tmp_path: Path) -> None:
    rule = "rule {0}:\n    output: '{0}'\n    {1}\n"
    made = build(
        rule.format("here", "script: 'scripts/show.py'")
        + rule.format("book", "notebook: 'scripts/helper.py'")
        + rule.format("away", "script: 'http://localhost/show.py'")
        + rule.format("none", "shell: 'true'")
    )
    folder = tmp_path / "scripts"
    assert made.workflow_api.scripts() == {str(folder / "show.py"), str(folder / "helper.py")}


CHAIN = """
localrules: here

rule all:
    input: "last", "here"

rule here:
    output: "here"
    shell: "true"

rule last:
    input: "first", "there"
    output: "last"
    shell: "true"

rule first:
    output: "first"
    shell: "true"

rule there:
    output: "there"
    shell: "true"
"""


def test_jobs_that_have_to_run_on_the_grid(build: Build, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    workflow_api = build(CHAIN).workflow_api
    assert [job.name for job in workflow_api.needed_jobs()] == ["first", "last"]
    assert set(workflow_api.awaited()) == {"first", "last", "here"}


def test_jobs_with_local_files_are_sent_to_the_grid(build: Build) -> None:
    made = build(
        "rule b:\n    input: local('a')\n    output: local('b')\n    shell: 'true'\n"
        "rule a:\n    output: local('a')\n    shell: 'true'\n"
    )
    made.workflow.storage_settings.shared_fs_usage = frozenset()
    assert made.job("a").is_local
    assert made.job("b").is_local
    made.workflow_api.send_local_files()
    assert not made.job("a").is_local
    assert not made.job("b").is_local


def test_variables_that_the_workflow_names(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "OTHER", "UNNAMED"):
        monkeypatch.setenv(name, f"of {name}")
    made = build("envvars: 'TOKEN'\nrule a:\n    output: 'a'\n    shell: 'true'\n")
    made.workflow.remote_execution_settings = options.RemoteExecutionSettings(envvars=["OTHER"])
    assert made.workflow_api.environment() == {"TOKEN": "of TOKEN", "OTHER": "of OTHER"}


def test_replaced_config(build: Build) -> None:
    assert not build().workflow_api.replaces_config
    config = options.ConfigSettings(config={"n": "1"}, replace_workflow_config=True)
    assert build(config=config).workflow_api.replaces_config
    # Without values it changes nothing. A worker may get some, and would discard all others.
    config = options.ConfigSettings(replace_workflow_config=True)
    assert not build(config=config).workflow_api.replaces_config


def test_no_storage_plugins(build: Build) -> None:
    assert build().workflow_api.storage_plugins() == []


def test_files_of_storage_plugins_are_left_to_them(build: Build, tmp_path: Path) -> None:
    pytest.importorskip("snakemake_storage_plugin_fs")
    depot = tmp_path / "depot"
    depot.mkdir()
    (depot / "in").touch()
    made = build(
        "storage: provider='fs'\n"
        "rule a:\n"
        f"    input: storage.fs('{depot}/in'), 'in.csv'\n"
        f"    output: storage.fs('{depot}/out'), 'out'\n"
        "    shell: 'true'\n"
    )
    assert made.workflow_api.storage_plugins() == ["snakemake-storage-plugin-fs"]
    assert list(made.workflow_api.inputs()) == ["in.csv"]
    assert list(made.workflow_api.products()) == ["out"]
    job = made.job("a")
    assert names([*job.input, *job.output]) == ["in.csv", "out"]
    assert staying(job.output) == []


def test_cache_is_asked_for_by_rule(build: Build) -> None:
    rules = "rule a:\n    output: 'a'\n    cache: True\n    shell: 'true'\n"
    other = "rule b:\n    input: 'a'\n    output: 'b'\n    shell: 'true'\n"
    made = build(rules + other, settings=options.WorkflowSettings(cache=[]), targets=("b",))
    assert made.workflow_api.uses_cache(made.job("a"))
    assert not made.workflow_api.uses_cache(made.job("b"))
    without = build(rules)
    assert not without.workflow_api.uses_cache(without.job("a"))
