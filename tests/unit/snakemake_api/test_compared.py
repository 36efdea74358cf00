"""Which facts of the members of a group are not compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.compared import Comparison

from .conftest import Build

FLOW = """
import os
rule all:
    input: "last"
rule first:
    output: "first"
    group: "pair"
    params: here=lambda wildcards: os.path.exists("in.csv")
    shell: "echo {{params.here}} > {{output}}"
rule last:
    input: "first"
    output: "last"
    group: "pair"
    {extra}
    shell: "echo {{params}} {{resources.size}} > {{output}}"
"""


@pytest.mark.parametrize(
    ("extra", "unknown"),
    [
        (
            "params: 5, late=lambda wildcards, input: os.path.exists(input[0])\n"
            "    resources: size=1",
            {"params.late", "command"},
        ),
        (
            "params: lambda wildcards, input: os.path.exists(input[0])\n    resources: size=1",
            {"params.0", "command"},
        ),
        (
            "params: one=1\n    resources: size=lambda wildcards, input: len(input)",
            {"resources.size", "command"},
        ),
        ("params: one=1\n    resources: size=1", set()),
    ],
)
def test_functions_that_may_look_at_files_of_the_group_mean_nothing_here(
    build: Build, tmp_path: Path, extra: str, unknown: set[str]
) -> None:
    made = build(FLOW.format(extra=extra))
    members = [made.job("first"), made.job("last")]
    jobs = json.loads(Comparison(tmp_path, str).expected(members, {}))["jobs"]
    first, last = jobs["first {}"]["facts"], jobs["last {}"]["facts"]
    assert None not in (first["params.here"], first["command"])
    assert {name for name, text in last.items() if text is None} == unknown
