"""Which jobs of two runs have the same fingerprint.

``python -m tests.unit.planning.test_fingerprint FOLDER...`` prints the fingerprints of workflows.
"""

from __future__ import annotations

import json
import linecache
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from snakemake.resources import Resources
from snakemake.settings import types as options
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.planning.fingerprint import Fingerprints
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.snakemake_api.deciding import process_state
from snakemake_executor_plugin_grid.snakemake_api.workflow import WorkflowApi
from tests.unit.planning.flow import FILES
from tests.unit.planning.planners import planner_of
from tests.unit.snakemake_api.dags import made

ROOT = Path(__file__).parents[3]


def fingerprints(
    context: tuple[str, ...] = ("file:///store", "none"),
    *,
    attempt: int = 1,
    config: Mapping[str, Any] | None = None,
    resources: tuple[str, ...] = (),
) -> dict[str, str]:
    """Plan the workflow in this directory; return the fingerprints of all jobs that run."""
    linecache.clearcache()  # Snakemake reads the code of run directives from it
    parse = Resources.parser_factory(allow_expressions=True)
    with made(
        Path("Snakefile"),
        config=options.ConfigSettings(config=dict(config or {})),
        resources=options.ResourceSettings(
            cores=8, nodes=4, default_resources=parse(list(resources)) if resources else None
        ),
    ) as workflow:
        workflow.async_run(workflow.dag.postprocess())  # finds groups
        workflow_api = WorkflowApi(workflow)
        planner = planner_of(
            workflow,
            ExecutorSettings(decide=os.environ["DECIDE"]),
            fingerprints=Fingerprints(workflow, Path.cwd(), context),
        )
        found = {}
        for number, job in enumerate(workflow_api.needed_jobs()):
            job.attempt = attempt
            name = "group" if job.is_group() else f"{job.name} {','.join(job.wildcards)}"
            found[name] = planner.plan(job, f"j-{number}", lambda: "run", {}).identity
    return found


def write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1e9, 1e9))


@pytest.fixture(autouse=True, params=["auto", "never"])
def _workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A workflow whose jobs are decided, and the same with Snakemake on the worker."""
    monkeypatch.setattr(process_state, "_environment", None)  # of another test
    monkeypatch.setenv("DECIDE", request.param)
    monkeypatch.chdir(tmp_path)
    write(FILES)


def edit(old: str, new: str, name: str = "Snakefile") -> None:
    """Change a file, but not its time."""
    text = Path(name).read_text()
    assert old in text
    write({name: text.replace(old, new)})


def changed(change: Callable[[], object], **later: Any) -> set[str]:
    """Return the rules whose jobs have other fingerprints after a change."""
    before = fingerprints()
    change()
    after = fingerprints(**later)
    assert before.keys() == after.keys()
    return {name.partition(" ")[0] for name in before if before[name] != after[name]}


GROUP = """
rule all:
    input: "all.txt"

rule one:
    output: temp("{n}.tmp")
    group: "both"
    shell: "touch {output}"

rule two:
    input: expand("{n}.tmp", n=range(9))
    output: "all.txt"
    group: "both"
    shell: "touch {output}"
"""


def test_jobs_and_groups_are_the_same_in_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "group"
    write({"group/Snakefile": GROUP})
    jobs = fingerprints()
    assert len(jobs) == len(set(jobs.values())) == 8
    monkeypatch.chdir(group)
    here = [jobs, fingerprints()]
    assert list(here[1]) == ["group"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.unit.planning.test_fingerprint", tmp_path, group],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert json.loads(output.splitlines()[-1]) == here


def test_a_group_is_the_same_each_time() -> None:
    write({"Snakefile": GROUP})
    assert len({fingerprints()["group"] for _ in range(3)}) == 1


def test_a_group_changes_with_one_of_its_jobs() -> None:
    write({"Snakefile": GROUP.replace("range(9)", "range(1)")})
    found = set()
    for number in range(8):  # its jobs have no order
        edit('    output: "all.txt"', f'    log: "log{number}"\n    output: "all.txt"')
        found.add(fingerprints()["group"])
        edit(f'    log: "log{number}"\n', "")
    assert len(found) == 8


SOURCE = """
rule sourced:
    output: "sourced.txt"
    params: table=workflow.source_path("table.txt")
    shell: "cat {params.table} > {output}"
"""


def test_a_copy_of_a_source_counts_by_its_content_and_not_by_its_path() -> None:
    if os.environ["DECIDE"] == "never":
        pytest.skip("Snakemake on the worker makes a copy of its own")
    write({"Snakefile": SOURCE, "table.txt": "1\n"})
    assert changed(lambda: write({"table.txt": "1\n"})) == set()
    assert changed(lambda: write({"table.txt": "2\n"})) == {"sourced"}


def test_the_value_of_a_variable_in_a_command_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = """
import os
envvars: "MODEL"
rule train:
    output: "train.txt"
    params: model=os.environ["MODEL"]
    shell: "train {params.model} > {output}"
rule other:
    output: "other.txt"
    shell: "train > {output}"
rule all:
    default_target: True
    input: "train.txt", "other.txt"
"""
    write({"Snakefile": rule})

    def give(model: str) -> None:
        monkeypatch.setenv("MODEL", model)
        monkeypatch.setattr(process_state, "_environment", dict(os.environ))

    give("first model")
    assert changed(lambda: give("other model")) == {"train"}


def test_nothing_changes_by_itself() -> None:
    assert changed(lambda: None) == set()


RULE_CHANGES = [
    ('"sort {input}', '"sort -r {input}', "sort"),
    ('"show {params', '"view {params', "show"),
    ("limit=3", "limit=4", "run"),
    ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', "show"),
    ('print(config["cut"], params', 'print(config["other"], params', "run"),
    ('    log: "logs/{sample}.log"', '    log: "logs/{sample}.txt"', "sort"),
    ('"data/{sample}.csv"\n    output: "run', '"data/a.csv"\n    output: "run', "run"),
]
UNUSED = [
    ('words=["x", "y"]', 'words=["x", "z"]', "show"),
    ('deep={"z": 1', 'deep={"z": 2', "show"),
    ("threads: 2", 'threads: 2\n    envmodules: "tools"', "sort"),
]
"""Changes of what commands do not use."""


@pytest.mark.parametrize(("old", "new", "rule"), RULE_CHANGES)
def test_a_job_changes_with_its_rule_and_no_other_does(old: str, new: str, rule: str) -> None:
    assert changed(lambda: edit(old, new)) == {rule}


@pytest.mark.parametrize(("old", "new", "rule"), UNUSED)
def test_a_decided_job_does_not_change_with_what_it_does_not_use(
    old: str, new: str, rule: str
) -> None:
    expected = {rule} if os.environ["DECIDE"] == "never" else set()
    assert changed(lambda: edit(old, new)) == expected


def test_only_the_jobs_change_whose_parameters_do() -> None:
    before = fingerprints()
    edit('{"a": 1, "b": 2}', '{"a": 1, "b": 3}')
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"show b"}


def test_a_job_changes_with_a_temporary_output_that_another_needs_now() -> None:
    old = 'input: "sorted/{sample}.csv", table'
    new = 'input: "sorted/{sample}.csv", "sorted/{sample}.unused", table'
    assert changed(lambda: edit(old, new)) == {"sort", "show"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threads: 2", "threads: 4"),
        ("100 * attempt", "200 * attempt"),
        ("threads: 2", "threads: 2\n    priority: 9"),
        ("threads: 2", "threads: 2\n    retries: 3"),
        ("rule sort", "\nrule unrelated:\n    output: 'u'\n    shell: 'true'\n\nrule sort"),
        ("rule sort", "# The first.\nrule sort"),
    ],
)
def test_what_does_not_change_the_result_changes_no_job(old: str, new: str) -> None:
    assert changed(lambda: edit(old, new)) == set()


def test_attempts_and_default_resources_change_no_job() -> None:
    assert changed(lambda: None, attempt=3) == set()
    # A script can read its resources; what it was decided to get contains them.
    readers = {"scripted"} if os.environ["DECIDE"] == "auto" else set()
    assert changed(lambda: None, resources=("mem_mb=700", "disk_mb=9")) == readers


INPUT_CHANGES: list[tuple[str, Callable[[], object], set[str]]] = [
    ("size", lambda: write({"data/a.csv": "2\n1\n0\n"}), {"sort", "run", "scripted"}),
    ("time", lambda: os.utime("data/a.csv", (1e9, 1e9 + 1)), {"sort", "run", "scripted"}),
    ("a file in a folder", lambda: write({"data/table/deep/y": "why\n"}), {"show"}),
    ("a new file in a folder", lambda: write({"data/table/deep/z": ""}), {"show"}),
    ("a file less in a folder", lambda: Path("data/table/x").unlink(), {"show"}),
]


@pytest.mark.parametrize(
    ("change", "rules"), [case[1:] for case in INPUT_CHANGES], ids=[c[0] for c in INPUT_CHANGES]
)
def test_a_job_changes_with_its_inputs(change: Callable[[], object], rules: set[str]) -> None:
    assert changed(change) == rules


def test_only_the_jobs_change_whose_inputs_do() -> None:
    before = fingerprints()
    write({"data/a.csv": "4\n"})
    after = fingerprints()
    others = {name for name in before if before[name] != after[name]}
    assert others == {"sort a", "run a", "scripted a"}


def test_a_job_changes_when_what_it_needs_has_been_made() -> None:
    before = fingerprints()
    write({"sorted/a.csv": "1\n2\n", "sorted/a.unused": ""})
    after = fingerprints()
    assert before["show a"] != after["show a"]
    assert before["show b"] == after["show b"]


def test_a_job_changes_with_its_script() -> None:
    assert changed(lambda: edit("print(1)", "print(2)", "scripts/show.py")) == {"scripted"}


def test_jobs_change_with_the_configuration_that_they_can_read() -> None:
    # The shell command of another rule contains the values that it uses.
    assert changed(lambda: edit("cut: 5", "cut: 6", "config.yaml")) == {"run", "scripted"}
    assert changed(lambda: None, config={"new": "1"}) == {"run", "scripted"}


def test_keys_of_the_configuration_that_are_no_texts() -> None:
    mixed = {"nested": [{1: "a", "b": 2, None: date(2026, 1, 1), date(2026, 1, 1): 4}]}
    assert changed(lambda: None, config=mixed) == {"run", "scripted"}
    before = fingerprints(config=mixed)
    mixed["nested"][0][1] = "changed"
    after = fingerprints(config=mixed)
    assert after["run a"] != before["run a"]


def test_a_shell_command_changes_with_the_configuration_that_it_names() -> None:
    edit('"sort {input}', '"sort {config[cut]} {input}')
    before = fingerprints()
    edit("other: [1, 2]", "other: [1, 3]", "config.yaml")
    other = fingerprints()
    assert other["sort a"] == before["sort a"]
    edit("cut: 5", "cut: 6", "config.yaml")
    assert fingerprints()["sort a"] != before["sort a"]


def test_jobs_change_with_the_store() -> None:
    rules = {"sort", "show", "run", "scripted"}
    assert changed(lambda: None, context=("file:///other", "none")) == rules


def test_a_file_updated_in_place_does_not_change_its_job() -> None:
    write(
        {
            "Snakefile": "rule all:\n    input: 'done'\n"
            "rule grow:\n    output: update('table'), 'done'\n    shell: 'true'\n",
            "table": "1\n",
        }
    )
    before = fingerprints()
    assert before
    write({"table": "1\n2\n"})
    assert fingerprints() == before


def test_a_shell_command_that_cannot_be_expanded() -> None:
    edit('"sort {input}', '"sort {missing.thing} {input}')
    if os.environ["DECIDE"] == "auto":
        with pytest.raises(WorkflowError, match="missing"):
            fingerprints()
        return
    assert set(fingerprints()) == {
        f"{rule} {sample}" for rule in ("sort", "show", "run", "scripted") for sample in "ab"
    }


def _main() -> None:
    found = []
    for folder in sys.argv[1:]:
        os.chdir(folder)
        found.append(fingerprints())
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
