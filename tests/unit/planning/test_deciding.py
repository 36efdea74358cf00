"""What the user is told of jobs that are decided, and of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from tests.unit.planning.planners import deciding_of
from tests.unit.snakemake_api.dags import made

SNAKEFILE = """
rule all:
    input: expand("{n}.txt", n=range(9)), "fit.txt", "own.txt", "late.txt"
rule table:
    output: "{n}.txt"
    shell: "cat tools/{wildcards.n}.dat secret.key > {output}"
rule fit:
    output: "fit.txt"
    run:
        shell("touch {output}")
rule own:
    output: "own.txt"
    resources: grid_decide="never"
    shell: "touch {output}"
def lazy(wildcards, input):
    assert Path(input[0]).exists()
    return 1
rule late:
    input: "0.txt"
    output: "late.txt"
    params: size=lambda wildcards, input: Path(input[0]).stat().st_size
    resources: mem_mb=lazy
    shell: "echo {params.size} > {output}"
"""


@pytest.fixture(autouse=True)
def _workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text(f"from pathlib import Path\n{SNAKEFILE}")
    Path("tools").mkdir()
    for n in range(9):
        Path(f"tools/{n}.dat").touch()
    Path("secret.key").touch()


def test_what_is_said_and_sent() -> None:
    said: list[str] = []
    settings = ExecutorSettings(exclude=["*.key"])
    with made(Path("Snakefile")) as workflow:
        deciding = deciding_of(workflow, settings, said.append)
        jobs = {str(job.output[0]): job for job in workflow.dag.needrun_jobs() if job.output}
        expected = {name: deciding.expects(job) for name, job in jobs.items()}
        assert {name for name, one in expected.items() if not one} == {"fit.txt", "own.txt"}
        assert said == ["rule fit needs Snakemake on the worker: it has run:"]
        assert deciding.of(jobs["fit.txt"]) is None
        assert deciding.of(jobs["own.txt"], "never") is None
        for _ in range(2):
            for n in range(9):
                decided = deciding.of(jobs[f"{n}.txt"])
                assert decided is not None
                assert set(decided.files) == {f"tools/{n}.dat"}
    assert len(said) == 1 + 5
    assert "rule table: its command, or a param of its script, names tools/0.dat, " in said[1]
    assert "further ones are not listed" in said[5]


def test_always_refuses_what_needs_snakemake() -> None:
    with made(Path("Snakefile")) as workflow:
        deciding = deciding_of(workflow, ExecutorSettings(decide="always"))
        job = next(job for job in workflow.dag.needrun_jobs() if job.name == "fit")
        assert not deciding.expects(job)
        with pytest.raises(GridError, match=r"it has run:.*--grid-decide always"):
            deciding.of(job)
        with pytest.raises(GridError, match=r"grid_decide.*'perhaps'.*auto, always, never"):
            deciding.of(job, "perhaps")
