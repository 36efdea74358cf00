from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.cli.selection import latest, select
from snakemake_executor_plugin_grid.model.errors import GridError
from tests.unit.journal.test_reader import Past, past

__all__ = ["past"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["align"], ["a-1", "a-1.1", "a-2", "a-3"]),
        (["align", "sample=b"], ["a-2"]),
        (["align sample=b"], ["a-2"]),
        (["align (sample=b)"], ["a-2"]),
        (["align", "sample=b", "sample=c"], ["a-2", "a-3"]),
        (["align", "sample=b", "sort"], ["a-2", "s-1"]),
        (["123"], ["a-2"]),
        (["a-1"], ["a-1", "a-1.1"]),
        (["a-1.1"], ["a-1.1"]),
        (["77"], ["a-3"]),
        (["77:a-3"], ["a-3"]),
        (["5"], ["b-1", "b-2"]),
        (["5/b-2"], ["b-2"]),
        (["sort", "align", "sample=c"], ["a-3", "s-1"]),
    ],
)
def test_choosing_jobs(past: Past, words: list[str], names: list[str]) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    past.job("a-1.1", origin="a-1")
    past.job("a-2", sample="b", grid_id="123")
    past.job("a-3", sample="c", grid_id="77:a-3")
    past.job("s-1", "sort", "")
    past.job("b-1", "bake", "a", grid_id="5/b-1")
    past.job("b-2", "bake", "b", grid_id="5/b-2")
    chosen = select(list(past.records().values()), words)
    assert [job.name for job in chosen] == names


def test_of_jobs_with_the_same_id_the_last_is_meant(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):  # each server of the local backend counts from 1
        past.run(f"run{number}", "local")
        past.job(f"a-{number}", sample="a", grid_id="1")
    past.run("run4", "panda")
    past.job("a-4", sample="d", grid_id="1:a-4")
    past.job("a-5", sample="e", grid_id="1:a-5")
    jobs = list(past.records().values())
    assert [job.name for job in select(jobs, ["1"])] == ["a-3", "a-4", "a-5"]
    told = capsys.readouterr().err
    assert "use their names: a-2 (align (sample=a)), a-1 (align (sam" in told
    assert [job.name for job in select(jobs, ["a-2"])] == ["a-2"]
    assert len(select(jobs, ["align"])) == 5
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["algin"], "no rule and no job 'algin' in the journal. Its rules are align, sort"),
        (["align", "sample=z"], r"align: no job has sample=z\. .*: align \(sample=a\)\."),
        (["sample=a"], "name the rule before its wildcards, as in: align sample=a"),
    ],
)
def test_choosing_none(past: Past, words: list[str], said: str) -> None:
    past.run("run1")
    past.job("a-1")
    past.job("s-1", "sort", "")
    with pytest.raises(GridError, match=said):
        select(list(past.records().values()), words)


def test_jobs_without_outputs_are_told_apart_by_their_wildcards(past: Past) -> None:
    past.run("run1")
    for name, sample in (("a-1", "a"), ("a-2", "b"), ("a-3", "a")):
        past.job(name, sample=sample)
        past.put(name, outputs="[]")
    assert [job.name for job in latest(past.records().values())] == ["a-2", "a-3"]
