"""Benchmark files, as Snakemake writes them."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from snakemake.benchmark import BenchmarkRecord, print_benchmark_jsonl, print_benchmark_tsv

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.decided import benchmark
from snakemake_executor_plugin_grid.worker.decided.decision import Benchmark, Command

from .place import Place, place, step

__all__ = ["place"]

COLUMNS: dict[str, Any] = {
    "jobid": 3,
    "rule_name": "fit",
    "wildcards": {"b": "x", "a": "y"},
    "params": {"n": [1, None, "é"]},
    "threads": 2,
    "resources": {"mem_mb": 100, "tmpdir": "/tmp"},
}


def record(**values: Any) -> BenchmarkRecord:
    """A record of Snakemake's with the same values."""
    one = BenchmarkRecord(**values)
    for name in ("jobid", "rule_name", "wildcards", "params", "threads", "resources"):
        setattr(one, name, COLUMNS[name])
    one.input = []
    return one


MEASURED = {
    "max_rss": 1.234,
    "max_vms": 2.0,
    "max_uss": 3.0,
    "max_pss": 4.5,
    "io_in": 0.0,
    "io_out": 6.25,
    "cpu_usage": 50.0,
    "cpu_time": 0.07,
}


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("collected", [False, True])
@pytest.mark.parametrize("leaf", ["b.tsv", "b.jsonl"])
def test_the_format_is_that_of_snakemake(
    tmp_path: Any, extended: bool, collected: bool, leaf: str
) -> None:
    one = record(running_time=4000.12346, **MEASURED)
    one.data_collected = collected
    one.process_gone = True
    wanted = io.StringIO()
    write = print_benchmark_jsonl if leaf.endswith("l") else print_benchmark_tsv
    write([one, one], wanted, extended)
    measured = {**MEASURED, "mean_load": 50.0 / 4000.12346}
    if not collected:
        measured = dict.fromkeys(measured, "NA")  # type: ignore[arg-type]
    row = {"s": 4000.1235, "h:m:s": "1:06:40", **measured}
    path = str(tmp_path / leaf)
    benchmark.write_benchmark(Benchmark(path, extended, COLUMNS), path, [row, row], [])
    with open(path) as stream:  # noqa: PTH123
        assert stream.read() == wanted.getvalue()


@pytest.mark.parametrize("seconds", [0.4, 59.99, 3600, 86400, 200_000.5])
def test_clock(seconds: float) -> None:
    assert benchmark.clock(seconds) == record().timedelta_to_str(timedelta(seconds=seconds))


def test_each_repeat_is_a_row(place: Place) -> None:
    commands = (Command("echo 1 >> o"), Command("echo 2 >> o"), Command("echo 3 >> o"))
    one = step("", "a", "o", commands=commands, benchmark=Benchmark("b/x.tsv"))
    assert place.run(one).reason == reports.SUCCESS
    assert place.text("o") == "1\n2\n3\n"
    header, *rows = place.text("b/x.tsv").splitlines()
    assert header.split("\t") == list(BenchmarkRecord.get_header())
    assert len(rows) == 3


def test_what_a_command_uses_is_measured(place: Place) -> None:
    text = (
        "python3 -c 'import time; x = bytearray(60 << 20); t = time.time()\n"
        "while time.time() < t + 1.2: pass'; true"
    )
    place.put(i="x" * 512)
    one = step(text, benchmark=Benchmark("b.jsonl", True, COLUMNS), inputs=("i",))
    assert place.run(one).reason == reports.SUCCESS, place.log
    row = json.loads(place.text("b.jsonl"))
    assert sorted(row) == sorted(BenchmarkRecord.get_header(True))
    assert 1.2 <= row["s"] < 20
    assert row["max_rss"] > 60
    assert row["max_uss"] > 60
    assert row["max_vms"] > row["max_rss"]
    assert row["cpu_time"] > 0.05
    assert row["input_size_mb"] == {"i": 512 / 1024 / 1024}
    assert row["rule_name"] == "fit"


def test_a_failed_command_leaves_no_benchmark(place: Place) -> None:
    place.run(step("exit 1", benchmark=Benchmark("b.tsv")))
    assert not (place.cwd / "b.tsv").exists()
