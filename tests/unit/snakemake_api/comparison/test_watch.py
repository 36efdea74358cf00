from __future__ import annotations

import inspect
import json
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.executors import local
from snakemake.jobs import Job
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.snakemake_api.compared import Comparison, compared
from snakemake_executor_plugin_grid.snakemake_api.comparison.watch import (
    DIFFERENCE_FILE,
    EXPECTED_FILE,
    compare,
    watch,
)
from tests.unit.snakemake_api.conftest import Build

FLOW = """
SEED = 1
rule all:
    input: "a.txt"
rule make:
    input: "in.csv"
    output: "a.txt"
    params: seed=SEED
    resources: grid_compare="{compare}"
    shell: "echo {{params.seed}} > {{output}}"
"""


@pytest.mark.parametrize(
    ("there", "here", "differ"),
    [
        ({"input": "['a']"}, {"input": "[]"}, ["input"]),
        ({"input": "['a']"}, {"input": "['a']"}, []),
        ({"params.a": None}, {"params.a": "1"}, []),
        ({"params.a": "1"}, {"params.a": None}, []),
        ({"params.a": "1"}, {}, ["params.a"]),
        ({}, {"params.a": "1"}, ["params.a"]),
        ({"params.a": "1"}, {"params": None}, []),
        ({}, {"resources.mem_mb": "1000"}, []),
        ({"resources.x": "1"}, {"resources.x": "2"}, ["resources.x"]),
        ({"global A": "1"}, {"global A": "2"}, ["global A"]),
        ({"command": "'sort -T <TBD> a'"}, {"command": "'sort -T /tmp a'"}, []),
        ({"command": "'sort -T <TBD> a'"}, {"command": "'sort -T /tmp b'"}, ["command"]),
        ({"command": "'a'", "input": "x"}, {"command": "'b'", "input": "y"}, ["input", "command"]),
    ],
)
def test_comparison(there: Any, here: Any, differ: list[str]) -> None:
    assert [name for name, _, _ in compare(there, here)] == differ
    assert not list(compare(there, here, ["input", "params", "resources", "global", "command"]))


@pytest.mark.parametrize(
    ("there", "here", "same"),
    [
        ("<TBD>", "", True),
        ("a<TBD>a", "a", False),
        ("a<TBD>a", "aa", True),
        ("a<TBD>b<TBD>b", "ab", False),
        ("a<TBD>b<TBD>b", "a1\nb2b", True),
        ("<TBD><TBD>b<TBD>", "a.", False),
        ("a.<TBD>", "abc", False),
        (repr("mkdir '<TBD>/a' 'b c'"), repr("mkdir <TBD>/a 'b c'"), True),
        (repr("mkdir '<TBD>'"), repr("mkdir <TBD>"), True),
        (repr("mkdir '<TBD>'"), repr("mkdir '/a b'"), True),
        (repr("'a b' <TBD> 'c d'"), repr("'a b' 7 'c d'"), True),
        (repr("'a b' <TBD> 'c d'"), repr("a b 7 'c d'"), False),
        ("'a <TBD>'", "'a b… (9000 characters, SHA-256 0)", False),
        ("cmd " + "<TBD> " * 20 + "z", "cmd " + "x " * 90 + "y", False),
        ("cmd " + "<TBD> " * 20 + "z", "cmd " + "x " * 90 + "z", True),
    ],
)
def test_values_that_could_not_be_decided(there: str, here: str, same: bool) -> None:
    """With a regular expression the last but one would take years."""
    assert [*compare({"command": there}, {"command": here})] == (
        [] if same else [("command", there, here)]
    )


def test_snakemake_starts_each_job_by_the_method_that_is_watched() -> None:
    """Breaks when Snakemake renames what `watch` replaces, or starts jobs in another way."""
    assert [*inspect.signature(local.Executor.run_single_job).parameters] == ["self", "job"]
    for starter in (local.Executor.run_job, local.Executor.run_group_job):
        assert "self.run_single_job(" in inspect.getsource(starter)
    assert "job.prepare()" in inspect.getsource(local.Executor.job_args_and_prepare)
    assert "self.job_args_and_prepare(" in inspect.getsource(local.Executor.run_single_job)
    assert "self.format_job_exec(" in inspect.getsource(local.Executor.spawn_job)
    assert [*inspect.signature(local.Executor.get_python_executable).parameters] == ["self"]
    assert {"is_run", "is_shadow", "is_template_engine"} <= {*dir(Job)}


class Pool:
    def submit(self, function: Any, *args: Any) -> Future[None]:
        future: Future[None] = Future()
        try:
            function(*args)
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the jobs that Snakemake's own method got."""
    jobs: list[Any] = []
    monkeypatch.setattr(local.Executor, "run_single_job", lambda _, job: jobs.append(job))
    monkeypatch.setattr(local.Executor, "get_python_executable", lambda _: "/bin/python3")
    return jobs


def run(build: Build, tmp_path: Path, here: str, compare: str = "yes") -> tuple[Any, str]:
    """Decide a job, and have a Snakemake run that parses another text; return what came of it."""
    there = FLOW.format(compare=compare)
    comparison = Comparison(tmp_path, str)
    text = comparison.expected([build(there).job("make")], {"TOKEN": "s3cret!", "FLAG": "1"})
    assert "s3cret!" not in text
    folder = tmp_path / "watch it"
    folder.mkdir()
    (folder / EXPECTED_FILE).write_text(json.dumps({**json.loads(text), "folders": 1}))
    (folder / "placeholders.json").write_text("[]")
    watch(str(folder))
    executor = SimpleNamespace(pool=Pool(), use_threads=False)
    changed = here.format(compare=compare)
    future = local.Executor.run_single_job(executor, build(changed).job("make"))
    said = folder / DIFFERENCE_FILE
    return future, said.read_text() if said.exists() else ""


def test_a_job_that_is_the_same_runs(build: Build, tmp_path: Path, ran: list[Any]) -> None:
    assert run(build, tmp_path, FLOW) == (None, "")
    assert len(ran) == 1
    executable = local.Executor.get_python_executable(SimpleNamespace())
    assert executable == f"/bin/python3 '{tmp_path}/watch it'"


def test_a_job_that_differs_does_not_run(build: Build, tmp_path: Path, ran: list[Any]) -> None:
    future, said = run(build, tmp_path, FLOW.replace("SEED = 1", "SEED = 2"))
    assert isinstance(future.exception(), WorkflowError)
    assert not ran
    for words in (
        "the workflow means something else on this worker than on the submit host",
        "so rule make does not run",
        "params.seed: 1 on the submit host, 2 here",
        'grid_compare="params.seed,command"',
    ):
        assert words in said


def test_what_may_differ_is_excepted(build: Build, tmp_path: Path, ran: list[Any]) -> None:
    other = FLOW.replace("SEED = 1", "SEED = 2")
    assert run(build, tmp_path, other, "params.seed, command") == (None, "")
    assert len(ran) == 1


def test_a_rule_may_not_be_compared(build: Build, tmp_path: Path, ran: list[Any]) -> None:
    assert run(build, tmp_path, FLOW.replace("SEED = 1", "SEED = 2"), "no") == (None, "")
    assert len(ran) == 1


def test_a_job_that_nobody_asked_for_does_not_run(
    build: Build, tmp_path: Path, ran: list[Any]
) -> None:
    other = FLOW.replace('output: "a.txt"', 'output: "{{name}}.txt"')
    (tmp_path / "Snakefile").unlink(missing_ok=True)
    text = Comparison(tmp_path, str).expected([build(FLOW.format(compare="")).job("make")], {})
    (tmp_path / EXPECTED_FILE).write_text(json.dumps({**json.loads(text), "folders": 1}))
    (tmp_path / "placeholders.json").write_text("[]")
    watch(str(tmp_path))
    executor = SimpleNamespace(pool=Pool(), use_threads=False)
    local.Executor.run_single_job(executor, build(other.format(compare="")).job("make", name="a"))
    assert not ran
    said = (tmp_path / DIFFERENCE_FILE).read_text()
    assert "so rule make (name=a) does not run. The submit host has not asked for this" in said


def test_an_unknown_name_is_refused(build: Build, tmp_path: Path) -> None:
    job = build(FLOW.format(compare="params.sede")).job("make")
    with pytest.raises(GridError, match=r"rule make has no 'params.sede'.*params.seed"):
        Comparison(tmp_path, str).expected([job], {})


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, set()),
        ("yes", set()),
        ("", set()),
        ("False", None),
        (0, None),
        ("no", None),
        ("params.seed,global  NOW ,", {"params.seed", "global NOW"}),
    ],
)
def test_values_of_the_resource(value: Any, names: set[str] | None) -> None:
    assert compared(value) == names


def test_another_name_of_the_working_directory_is_known(build: Build, tmp_path: Path) -> None:
    job = build(FLOW.format(compare="")).job("make")
    comparison = Comparison(tmp_path, lambda path: path.replace("/alias/flow", "<grid_workdir>"))
    text = comparison.expected([job], {}, ["/alias/flow/out", "/elsewhere/x"])
    assert ["/alias/flow", "<grid_workdir>"] in json.loads(text)["places"]
