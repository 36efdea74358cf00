"""The folder of temporary files, which only the worker knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.resources import Resources
from snakemake.settings import types as options

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.worker.decided.decision import TMPDIR
from snakemake_executor_plugin_grid.worker.description import WORKDIR

from .conftest import Make, single


def test_the_folder_of_temporary_files_is_the_workers(deciding: Make) -> None:
    extra = "params: made=lambda wildcards, resources: resources.tmpdir + '/made'"
    made = deciding(single('"sort -T{resources.tmpdir:q} {params.made} {resources.tmpdir}"', extra))
    job = made.find("one")
    before = job.params, job.resources
    step = made.step("one")
    assert step.commands[0].text == f"sort -T'{TMPDIR}' {TMPDIR}/made {TMPDIR}"
    assert step.tmpdir == ""
    assert (job.params, job.resources) == before
    assert str(job.resources.tmpdir) == "<TBD>"


def test_a_constant_folder_of_temporary_files_stays(deciding: Make, tmp_path: Path) -> None:
    made = deciding(single('"sort -T {resources.tmpdir}"', "resources: tmpdir='/scratch/x'"))
    assert made.step("one").tmpdir == "/scratch/x"
    assert made.command("one") == "sort -T /scratch/x"
    made = deciding(single('"sort -T {resources.tmpdir}"', f"resources: tmpdir='{tmp_path}/t'"))
    assert made.step("one").tmpdir == f"{WORKDIR}/t"


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("tmpdir=system_tmpdir", ""),
        ("tmpdir=/scratch/x", "/scratch/x"),
        ("tmpdir='/scratch/y'", "/scratch/y"),
        ("tmpdir=$SCRATCH", None),
        ("tmpdir='~/x'", None),
        ("tmpdir=system_tmpdir + '/x'", None),
        ("tmpdir=5 + 5", None),
    ],
)
def test_a_folder_of_temporary_files_from_the_command_line(
    deciding: Make, given: str, folder: str | None
) -> None:
    parse = Resources.parser_factory(allow_expressions=True)
    resources = options.ResourceSettings(nodes=4, default_resources=parse([given]))
    made = deciding(single('"sort -T {resources.tmpdir}"'), resources=resources)
    if folder is None:
        with pytest.raises(Unsupported, match="tmpdir is evaluated on the worker"):
            made.decided("one")
        return
    assert made.step("one").tmpdir == folder
    assert made.command("one") == f"sort -T {folder or TMPDIR}"


def test_cores_are_those_of_the_command(deciding: Make) -> None:
    made = deciding(single('"run -j {threads}"', "threads: 3"))
    decision = made.decided("one").decision
    assert (decision.cores, decision.steps[0].threads) == (3, 3)
    assert made.command("one") == "run -j 3"


def test_the_folder_of_temporary_files_is_an_absolute_path(deciding: Make) -> None:
    extra = "params: full=lambda wildcards, resources: os.path.join('/x', resources.tmpdir)"
    made = deciding("import os\n" + single('"sort -T {params.full}"', extra))
    assert made.command("one") == f"sort -T {TMPDIR}"


@pytest.mark.parametrize("function", ["basename", "dirname", "abspath", "isabs"])
def test_a_script_whose_params_compute_with_the_folder_is_not_decided(
    deciding: Make, tmp_path: Path, function: str
) -> None:
    (tmp_path / "made.py").write_text("")
    rule = """
import os
rule one:
    output: "one.txt"
    params: made=lambda wildcards, resources: {}(resources.tmpdir)
    script: "made.py"
"""
    with pytest.raises(Unsupported, match="it computes with"):
        deciding(rule.format(f"os.path.{function}")).decided("one")
    assert deciding(rule.format("str")).step("one").commands


def test_the_order_of_resources_is_always_the_same(deciding: Make) -> None:
    made = deciding(single('"echo {resources}"', "resources: mem_mb=5, disk_mb=7, aaa=3"))
    given = made.find("one").resources
    for names in (sorted(given.keys()), sorted(given.keys(), reverse=True)):
        made.find("one")._resources = type(given)(fromdict={name: given[name] for name in names})
        assert made.command("one").startswith("echo 1 1 3 7")
