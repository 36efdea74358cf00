"""Absolute paths of the configuration on a worker: breaks when Snakemake changes that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from snakemake.cli import parse_config
from snakemake.settings import types as options
from snakemake.utils import update_config
from snakemake_interface_executor_plugins.utils import format_cli_arg

from snakemake_executor_plugin_grid.snakemake_api.config_paths import ConfigPaths
from snakemake_executor_plugin_grid.snakemake_api.workflow import WorkflowApi
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.payload_script import in_folder

from .conftest import Build

RULE = "rule a:\n    output: 'a'\n    shell: 'true'\n"
SNAKEFILE = f'configfile: "config.json"\n{RULE}'
ELSEWHERE = Path("/scratch/of 'the' worker")


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return tmp_path


def found(build: Build, workdir: Path, snakefile: str = SNAKEFILE, **values: Any) -> ConfigPaths:
    workflow = build(snakefile, **values).workflow
    return ConfigPaths(workflow, Layout(workdir).on_worker)


def on_worker(paths: ConfigPaths, config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as Snakemake has it on a worker."""
    given = [text.replace("<grid_workdir>", str(ELSEWHERE)) for text in paths.arguments]
    update_config(config, parse_config(given))
    return config


def put(workdir: Path, name: str, **config: Any) -> dict[str, Any]:
    (workdir / name).write_text(json.dumps(config))
    return config


def test_paths_below_the_working_directory_are_replaced(build: Build, workdir: Path) -> None:
    config = put(
        workdir,
        "config.json",
        out=f"{workdir}/results",
        deep={"er": {"data": f"{workdir}/data/", "n": 3}, "x": "y"},
        files=[f"{workdir}/a", "b", "/cvmfs/c"],
        number=1,
        site="/cvmfs/x",
        text=f"see {workdir}/results",
    )
    paths = found(build, workdir)
    assert on_worker(paths, config) == {
        "out": f"{ELSEWHERE}/results",
        "deep": {"er": {"data": f"{ELSEWHERE}/data/", "n": 3}, "x": "y"},
        "files": [f"{ELSEWHERE}/a", "b", "/cvmfs/c"],
        "number": 1,
        "site": "/cvmfs/x",
        "text": f"see {workdir}/results",
    }
    assert paths.replaced == {f"{workdir}/{name}" for name in ("results", "data/", "a")}
    assert paths.gives(f"{workdir}/results/o.txt")
    assert not paths.gives(f"{workdir}/other/o.txt")


def test_another_name_of_the_working_directory_is_replaced(build: Build, workdir: Path) -> None:
    (workdir / "other").mkdir()
    (workdir / "other" / "alias").symlink_to(workdir)
    put(workdir, "config.json", out=f"{workdir}/other/alias/results")
    # A link below the working directory keeps its name: the job makes a folder of this name.
    assert found(build, workdir).arguments == ['out="<grid_workdir>/other/alias/results"']
    alias = workdir.parent / f"{workdir.name}-alias"
    alias.symlink_to(workdir)
    put(workdir, "config.json", out=f"{alias}/results")
    assert found(build, workdir).arguments == ['out="<grid_workdir>/results"']


def test_nothing_is_added_without_such_paths(build: Build, workdir: Path) -> None:
    put(workdir, "config.json", out="results", site="/cvmfs/x", n=1)
    paths = found(build, workdir)
    assert (paths.arguments, paths.replaced) == ([], set())


@pytest.mark.parametrize(
    "config",
    [
        {"o": "WORKDIR/results"},  # Snakemake wants two characters
        {"out put": "WORKDIR/results"},
        {"files": ["WORKDIR/a", 1]},  # would become a text
    ],
)
def test_values_that_the_command_line_would_change_stay(
    build: Build, workdir: Path, config: dict[str, Any]
) -> None:
    put(workdir, "config.json", **json.loads(json.dumps(config).replace("WORKDIR", str(workdir))))
    assert found(build, workdir).arguments == []


def test_values_that_two_files_give_differently_stay(build: Build, workdir: Path) -> None:
    put(workdir, "config.json", out=f"{workdir}/one", same=f"{workdir}/same")
    put(workdir, "more.json", out=f"{workdir}/two", same=f"{workdir}/same")
    paths = found(build, workdir, f'configfile: "config.json"\nconfigfile: "more.json"\n{RULE}')
    assert paths.arguments == ['same="<grid_workdir>/same"']


def test_the_command_line_comes_first(build: Build, workdir: Path) -> None:
    put(workdir, "config.json", out=f"{workdir}/file", other=f"{workdir}/other")
    given = options.ConfigSettings(config={"out": f"{workdir}/line"})
    assert sorted(found(build, workdir, config=given).arguments) == [
        'other="<grid_workdir>/other"',
        'out="<grid_workdir>/line"',
    ]
    replacing = options.ConfigSettings(
        config={"out": f"{workdir}/line"}, replace_workflow_config=True
    )
    assert found(build, workdir, config=replacing).arguments == ['out="<grid_workdir>/line"']


def test_a_module_with_its_own_configuration_gets_no_other_values(
    build: Build, workdir: Path
) -> None:
    put(workdir, "config.json", out=f"{workdir}/file")
    (workdir / "inner.smk").write_text("rule b:\n    output: 'b'\n    shell: 'true'\n")
    module = 'module inner:\n    snakefile: "inner.smk"\nuse rule * from inner\n'
    assert found(build, workdir, SNAKEFILE + module).arguments == []
    module = module.replace('"inner.smk"', '"inner.smk"\n    config: config')
    assert found(build, workdir, SNAKEFILE + module).arguments != []


def test_the_command_of_a_job_has_the_new_values(build: Build, workdir: Path) -> None:
    put(workdir, "config.json", out=f"{workdir}/file", n=1)
    for given in ({}, {"n": 2}):
        workflow = build(SNAKEFILE, config=options.ConfigSettings(config=given)).workflow
        workflow_api = WorkflowApi(workflow, Layout(workdir).on_worker)
        words = list(workflow.config_settings.config_args)
        before = f"snakemake {format_cli_arg('--config', words) if words else ''}"
        command = in_folder(workflow_api.worker_command(before), ELSEWHERE)
        assert command.count("--config ") == 1
        assert 'out="/scratch/of' in command


def test_wildcards_with_an_absolute_path(build: Build, workdir: Path) -> None:
    snakefile = (
        f"rule all:\n    input: '{workdir}/x/o.txt'\n"
        "rule b:\n    output: '{folder}/o.txt'\n    shell: 'true'\n"
    )
    made = build(snakefile)
    workflow_api = WorkflowApi(made.workflow, Layout(workdir).on_worker)
    job = made.job("b", folder=f"{workdir}/x")
    assert workflow_api.targets(job) == (["b:folder=<grid_workdir>/x"], [])
