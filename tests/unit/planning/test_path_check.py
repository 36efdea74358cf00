"""Paths that cannot work on a worker are refused, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.planning.path_check import PathCheck
from snakemake_executor_plugin_grid.snakemake_api.workflow import WorkflowApi
from snakemake_executor_plugin_grid.staging.paths import Layout
from tests.unit.snakemake_api.conftest import Build, build

__all__ = ["build"]

Check = Callable[[str], PathCheck]
RULE = "rule a:\n    output: OUT + '/o.txt'\n    shell: 'true'\n"


@pytest.fixture
def check(build: Build, tmp_path: Path) -> Check:
    """Return a function that checks the only job of a workflow whose Snakefile it is given."""

    def checked(snakefile: str) -> PathCheck:
        made = build(snakefile.replace("WORKDIR", str(tmp_path)))
        layout = Layout(tmp_path)
        read = [str(path) for path in tmp_path.iterdir() if path.is_file()]
        path_check = PathCheck(layout, WorkflowApi(made.workflow, layout.on_worker), read)
        path_check.check(made.workflow.dag.jobs)
        return path_check

    return checked


def test_an_absolute_output_in_the_snakefile_is_refused(check: Check, tmp_path: Path) -> None:
    with pytest.raises(GridError) as caught:
        check(f"OUT = 'WORKDIR/results'\n{RULE}")
    for words in (f"output {tmp_path}/results/o.txt", "Snakefile", "relative", "configuration"):
        assert words in str(caught.value)


def test_an_absolute_output_of_a_table_is_refused(check: Check, tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text(f"name,folder\na,{tmp_path}/results\n")
    table = "import csv\nOUT = next(csv.DictReader(open('samples.csv')))['folder']\n"
    with pytest.raises(GridError, match=r"samples\.csv"):
        check(table + RULE)


@pytest.mark.parametrize(
    "start",
    [
        "OUT = 'results'\n",
        "import os\nOUT = os.path.abspath('results')\n",
        "import os\nOUT = os.getcwd()  # such as WORKDIR\n",
        "workdir: 'WORKDIR'\nimport os\nOUT = os.path.abspath('results')\n",
        "import os\nSITE = '/cvmfs/WORKDIR/x'\nOUT = os.path.abspath('results')\n",
        "import os\nSITE = 'WORKDIR-other/x'\nOUT = os.path.abspath('results')\n",
        "import os\nDATA = 'WORKDIR/data'\nOUT = os.path.abspath('results')\n",
        "import os\nDATA = 'WORKDIR/result'\nOUT = os.path.abspath('results')\n",
        "import os, sys\nsys.path.insert(0, 'WORKDIR')\nOUT = os.path.abspath('results')\n",
        "import os\nHOME = 'WORKDIR/'\nOUT = os.path.abspath('results')\n",
        "configfile: 'config.json'\nOUT = config['out']\n",
        "configfile: 'config.json'\nOUT = config['out'] + '_1'\n",
        "configfile: 'config.json'\nOUT = config.get('out', 'WORKDIR/results')\n",
    ],
)
def test_paths_that_are_right_on_a_worker_are_taken(
    check: Check, tmp_path: Path, start: str
) -> None:
    if "configfile" in start:
        (tmp_path / "config.json").write_text(json.dumps({"out": f"{tmp_path}/results"}))
    check(start + RULE)


def test_a_path_of_the_configuration_that_cannot_be_replaced_is_refused(
    check: Check, tmp_path: Path
) -> None:
    config = {"out": f"{tmp_path}/results", "help": f"see {tmp_path}/results for more"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(GridError, match=r"output .*/results_1/o\.txt .*config\.json.* translated"):
        check(f"configfile: 'config.json'\nOUT = config['out'] + '_1'\n{RULE}")


def test_a_pattern_of_the_configuration_is_taken(check: Check, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"pattern": f"{tmp_path}/r/a_{{x}}.txt"}))
    check(
        "configfile: 'config.json'\nrule b:\n    input: expand(config['pattern'], x=1)\n"
        "rule a:\n    output: config['pattern']\n    shell: 'true'\n"
    )


@pytest.mark.parametrize("start", ["WORKDIR/out/{x}", "WORKDIR/o_{x}", "WORKDIR/r/deep/{x}"])
def test_an_absolute_path_with_a_wildcard_is_refused(
    check: Check, tmp_path: Path, start: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"out": f"{tmp_path}/r"}))
    target = start.replace("{x}", "1")
    rule = f"rule b:\n    input: '{target}'\nrule a:\n    output: '{start}'\n    shell: 'true'\n"
    with pytest.raises(GridError, match="Snakefile"):
        check(f"configfile: 'config.json'\n{rule}")


def test_an_output_through_a_link_is_refused(check: Check, tmp_path: Path) -> None:
    alias = tmp_path.parent / f"{tmp_path.name}-alias"
    alias.symlink_to(tmp_path)
    with pytest.raises(GridError, match="link, which a worker does not have"):
        check(f"OUT = 'WORKDIR-alias/results'\n{RULE}")
    (tmp_path / "config.json").write_text(json.dumps({"out": f"{alias}/results"}))
    check(f"configfile: 'config.json'\nOUT = config['out']\n{RULE}")


def test_an_alias_of_the_shell_is_right_on_a_worker(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = tmp_path.parent / f"{tmp_path.name}-alias"
    alias.symlink_to(tmp_path)
    monkeypatch.setenv("PWD", str(alias))
    check(f"import os\nOUT = os.environ['PWD'] + '/results'\n{RULE}")


def test_an_output_elsewhere_is_refused(check: Check) -> None:
    with pytest.raises(GridError, match=r"output /elsewhere/o\.txt is outside"):
        check(f"OUT = '/elsewhere'\n{RULE}")


def test_a_climb_out_of_a_link_is_refused(check: Check, tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/sub")
    with pytest.raises(GridError, match=r"output link/\.\./o\.txt"):
        check(f"OUT = 'link/..'\n{RULE}")
    (tmp_path / "in.csv").rename(tmp_path / "real" / "in.csv")
    with pytest.raises(GridError, match=r"input link/\.\./in\.csv"):
        check("rule a:\n    input: 'link/../in.csv'\n    output: 'o'\n    shell: 'true'\n")


def test_an_absolute_input_is_told_and_not_refused(check: Check, tmp_path: Path) -> None:
    path = f"{tmp_path}/in.csv"
    checked = check("rule a:\n    input: 'WORKDIR/in.csv'\n    output: 'o'\n    shell: 'true'\n")
    assert "Snakefile" in checked.fault(path)  # a site may share the file system
    assert not checked.uses_alias(path)


def test_all_jobs_are_checked_before_the_first(build: Build, tmp_path: Path) -> None:
    made = build(
        "rule all:\n    input: '/else/a/o', '/else/b/o'\n"
        "rule far:\n    output: '/else/{name}/o'\n    shell: 'true'\n"
    )
    layout = Layout(tmp_path)
    jobs = [made.job("far", name=name) for name in "ab"]
    (message,) = PathCheck(layout, made.workflow_api).check_all([(job, False) for job in jobs])
    assert "rule far (name=a): output /else/a/o is outside" in message
