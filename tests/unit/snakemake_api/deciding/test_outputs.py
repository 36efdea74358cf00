"""The outputs of a job and their flags."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.exceptions import WorkflowError

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.worker.decided.decision import DecidedOutput

from .conftest import Make


def test_files_of_a_storage_need_snakemake(deciding: Make, tmp_path: Path) -> None:
    made = deciding(
        "storage:\n    provider='fs'\n"
        f'rule one:\n    input: storage("{tmp_path}/in.csv")\n    output: "one"\n'
        '    shell: "true"\n'
    )
    with pytest.raises(Unsupported, match="in a storage"):
        made.decided("one")


def test_a_rule_without_a_body_makes_what_it_touches(deciding: Make) -> None:
    step = deciding('rule one:\n    input: "in.csv"\n    output: touch("one")\n').step("one")
    assert step.commands == ()
    assert step.outputs == (DecidedOutput("one", touch=True),)


def test_flags_of_outputs(deciding: Make) -> None:
    made = deciding(
        """
rule all:
    input: "d", "p", "n", "c", "f"
rule one:
    output:
        directory("d"), protected("p"), ensure("n", non_empty=True),
        ensure("c", sha256="ab"), ensure("f", md5=lambda wildcards: "cd"), temp("t")
    shell: "true"
"""
    )
    decided = made.decided("one")
    assert decided.decision.steps[0].outputs == (
        DecidedOutput("d", directory=True),
        DecidedOutput("p", protected=True),
        DecidedOutput("n", non_empty=True),
        DecidedOutput("c", algorithm="sha256", checksum="ab"),
        DecidedOutput("f", algorithm="md5", checksum="cd"),
        DecidedOutput("t"),
    )
    assert decided.decision.temporary == ("t",)


def test_a_failing_function_for_a_checksum_is_the_jobs_error(deciding: Make) -> None:
    made = deciding(
        'rule one:\n    output: ensure("f", md5=lambda wildcards: 1 / 0)\n    shell: "true"\n'
    )
    with pytest.raises(WorkflowError, match="checksum function"):
        made.decided("one")
