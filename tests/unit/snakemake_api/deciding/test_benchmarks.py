"""The benchmark file of a job."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import WorkflowError

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.worker.decided.decision import TMPDIR

from .conftest import Make, single


def test_a_benchmark_without_a_command_needs_snakemake(deciding: Make) -> None:
    made = deciding('rule one:\n    output: touch("one")\n    benchmark: "bench.tsv"\n')
    with pytest.raises(Unsupported, match="no command"):
        made.decided("one")


def test_a_benchmark_repeats_the_command(deciding: Make) -> None:
    made = deciding(single('"echo {bench_iteration}"', 'benchmark: repeat("bench.tsv", 3)'))
    step = made.step("one")
    assert [one.text for one in step.commands] == ["echo 0", "echo 1", "echo 2"]
    assert step.benchmark is not None
    assert (step.benchmark.path, step.benchmark.extended) == ("bench.tsv", False)
    assert step.benchmark.columns == {}


def test_an_extended_benchmark_tells_what_the_job_was(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"x" * 1024 * 512)
    extra = 'benchmark: "bench.tsv"\n    params: cut=3, names=["a"]'
    step = deciding(single('"true"', extra), extended=True).step("one")
    assert step.benchmark is not None
    columns = dict(step.benchmark.columns)
    resources = columns.pop("resources")
    assert resources["tmpdir"] == TMPDIR
    assert columns == {
        "jobid": 0,
        "rule_name": "one",
        "wildcards": {},
        "params": {"cut": 3, "names": ["a"]},
        "threads": 1,
        "input_size_mb": {"in.csv": 0.5},
    }
    odd = 'benchmark: "bench.tsv"\n    params: odd=(1, 2)'
    for value in ("(1, 2)", "object()", "{1: 2}"):
        given = odd.replace("(1, 2)", value)
        with pytest.raises(Unsupported, match="not plain"):
            deciding(single('"true"', given), extended=True).decided("one")
    assert deciding(single('"true"', odd)).command("one") == "true"


def test_an_extended_benchmark_needs_all_values(deciding: Make) -> None:
    made = deciding(
        'rule first:\n    output: "first"\n    shell: "true"\n'
        'rule one:\n    input: "first"\n    output: "one"\n    benchmark: "bench.tsv"\n'
        '    shell: "true"\n'
        "size = len\n"
        'rule two:\n    input: "in.csv"\n    output: "two"\n    benchmark: "bench2.tsv"\n'
        '    params: size=lambda w, input: size(input)\n    shell: "true"\n',
        targets=("one", "two"),
        extended=True,
    )
    with pytest.raises(Unsupported, match="size of first, not made yet"):
        made.decided("one")
    made.workflow.globals["size"] = lambda input: Path("gone").read_text()
    with pytest.raises(WorkflowError):
        made.decided("two")
    made.workflow.globals["size"] = lambda input: TBDString()
    with pytest.raises(Unsupported, match="not known yet"):
        made.decided("two")
