"""All that the package takes from Snakemake's inside: breaks when that changes."""

from __future__ import annotations

import base64
import contextlib
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.executors.local import Executor as LocalExecutor
from snakemake.logging import logger
from snakemake.resources import Resources
from snakemake.scheduling.greedy import SchedulerSettings as GreedySettings
from snakemake.settings import types as options
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from snakemake_executor_plugin_grid import departure, settings
from snakemake_executor_plugin_grid.errors import GridError
from snakemake_executor_plugin_grid.executor import Executor
from snakemake_executor_plugin_grid.internals import (
    Internals,
    Scheduling,
    doing,
    is_flagged,
    is_local_file,
    mark_incomplete,
    marked_incomplete,
    names,
)

SNAKEFILE = """
include: "rules/more.smk"

rule all:
    input: "one.txt", "two.txt", "table.csv"

rule sort:
    input: "in.csv", "shared.csv"
    output: temp("{sample}.sorted"), temp("{sample}.unused")
    log: "logs/{sample}.log"
    benchmark: "bench/{sample}.tsv"
    shell: "true"

rule show:
    input: "{sample}.sorted", "shared.csv"
    output: "{sample}.txt"
    group: "pair"
    script: "scripts/show.py"
"""
MORE = """
checkpoint split:
    input: "in.csv"
    output: directory("parts")
    shell: "true"

def parts(wildcards):
    return [checkpoints.split.get().output[0]]

rule table:
    input: parts, "shared.csv"
    output: update("table.csv")
    group: "pair"
    shell: "true"
"""


class Workflow:
    """A workflow whose DAG has been made."""

    def __init__(self, workflow: Any) -> None:
        self.workflow = workflow
        self.internals = Internals(workflow)

    def job(self, rule: str, **wildcards: str) -> Any:
        (found,) = [
            job
            for job in self.workflow.dag.jobs
            if job.rule.name == rule and job.wildcards_dict == wildcards
        ]
        return found

    def arguments(self, job: Any) -> list[str]:
        """Return what a shell makes of the command of a job."""
        internals = self.internals

        class Commands(Executor):
            @property
            def run(self) -> Any:
                return SimpleNamespace(internals=internals)

        workflow = self.workflow
        workflow._executor_plugin = ExecutorPluginRegistry().get_plugin("grid")
        workflow.executor_settings = settings.ExecutorSettings()
        workflow.execution_settings = options.ExecutionSettings()
        workflow.remote_execution_settings = options.RemoteExecutionSettings()
        workflow.scheduling_settings = options.SchedulingSettings()
        workflow.group_settings = options.GroupSettings()
        workflow.storage_settings.shared_fs_usage = frozenset()
        executor = Commands(workflow, SimpleNamespace(info=print, warning=print, error=print))
        try:
            line = executor.format_job_exec(job)
        finally:
            with contextlib.suppress(AttributeError):  # it has no run to close
                executor.shutdown()
        show = "import json, sys; print(json.dumps(sys.argv[1:]))"
        python = f"{shlex.quote(sys.executable)} -I -S -c {shlex.quote(show)}"
        text = subprocess.run(
            ["/bin/sh", "-c", line.replace('"$GRID_PYTHON"', python, 1)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found: list[str] = json.loads(text)
        return found


Build = Callable[..., Workflow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Return the address of a web server for the files of the empty directory."""
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Return a function that makes the DAG of a workflow in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("in.csv", "shared.csv", "scripts/show.py", "scripts/helper.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "rules").mkdir()
    with contextlib.ExitStack() as stack:

        def make(
            snakefile: str = SNAKEFILE,
            *,
            targets: tuple[str, ...] = (),
            config: options.ConfigSettings | None = None,
            cache: list[str] | None = None,
            url: str = "",
            resources: options.ResourceSettings | None = None,
        ) -> Workflow:
            (tmp_path / "Snakefile").write_text(snakefile)
            (tmp_path / "rules" / "more.smk").write_text(MORE)
            quiet = options.OutputSettings(quiet={options.Quietness.ALL}, enable_file_logging=False)
            api = stack.enter_context(SnakemakeApi(quiet))
            workflow_api = api.workflow(
                resource_settings=resources or options.ResourceSettings(cores=1, nodes=4),
                config_settings=config,
                workflow_settings=options.WorkflowSettings(cache=cache),
                snakefile=url or tmp_path / "Snakefile",
            )
            dag_api = workflow_api.dag(options.DAGSettings(targets=set(targets)))
            with contextlib.redirect_stdout(None):
                dag_api.printdag()
            return Workflow(workflow_api._workflow)

        yield make


def test_files_of_all_jobs(build: Build) -> None:
    internals = build().internals
    assert sorted(internals.products()) == [
        *("bench/one.tsv", "bench/two.tsv", "logs/one.log", "logs/two.log", "one.sorted"),
        *("one.txt", "one.unused", "parts", "table.csv", "two.sorted", "two.txt", "two.unused"),
    ]
    assert {"in.csv", "shared.csv", "one.sorted", "one.txt"} <= set(internals.inputs())


def test_uses(build: Build) -> None:
    internals = build().internals
    used = {name: internals.uses(name) for name in ("shared.csv", "one.sorted", "x")}
    assert used == {"shared.csv": 5, "one.sorted": 1, "x": 0}


def test_checkpoint_outputs(build: Build, tmp_path: Path) -> None:
    fresh = build().internals
    assert fresh.has_checkpoints
    assert list(fresh.checkpoint_outputs()) == []
    (tmp_path / "parts").mkdir()
    assert list(build().internals.checkpoint_outputs()) == ["parts"]


def test_workflow_without_checkpoint(build: Build) -> None:
    internals = build("rule a:\n    output: 'a'\n    shell: 'true'\n").internals
    assert not internals.has_checkpoints
    assert list(internals.checkpoint_outputs()) == []


def test_unneeded_temp_files(build: Build) -> None:
    made = build()
    assert made.internals.unneeded_temp_files(made.job("sort", sample="one")) == {"one.unused"}
    assert made.internals.unneeded_temp_files(made.job("show", sample="one")) == set()


def test_flags(build: Build) -> None:
    made = build()
    (kept, _) = made.job("sort", sample="one").output
    assert is_flagged(kept, "temp")
    assert not is_flagged(kept, "update", "pipe")
    assert is_flagged(made.job("table").output[0], "update", "pipe")
    assert is_flagged(made.job("split").output[0], "directory")


def test_files_that_stay_on_the_worker(build: Build) -> None:
    made = build(
        "rule a:\n"
        "    output: temp('a', group_jobs=True), pipe('p'), 'c', temp('t')\n"
        "    shell: 'true'\n"
    )
    outputs = made.job("a").output
    assert [is_local_file(path) for path in outputs] == [False, False, True, True]
    assert names(outputs) == ["c", "t"]


def test_members_of_a_job_and_of_a_group(build: Build) -> None:
    made = build()
    job = made.job("sort", sample="one")
    assert made.internals.members(job) == [job]
    piped = build(
        "rule p:\n    output: pipe('p')\n    shell: 'true'\n"
        "rule b:\n    input: 'p'\n    output: 'b'\n    shell: 'true'\n",
        targets=("b",),
    )
    piped.workflow.execution_settings = options.ExecutionSettings()
    piped.workflow.async_run(piped.workflow.dag.postprocess())
    (group,) = piped.workflow.dag.ready_jobs
    assert group.is_group()
    members = piped.internals.members(group)
    assert {member.rule.name for member in members} == {"p", "b"}
    assert not any(member.is_group() for member in members)


def test_declared_sources(build: Build) -> None:
    found, warning = build().internals.declared_sources()
    assert warning == ""
    assert {"Snakefile", "rules/more.smk", "scripts/show.py", "scripts/helper.py"} <= found


def test_declared_sources_without_git(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    internals = build().internals
    monkeypatch.setenv("PATH", str(tmp_path))
    found, warning = internals.declared_sources()
    assert {Path(path).name for path in found} == {"Snakefile", "more.smk"}
    assert warning.startswith("not all sources could be listed: ")
    assert "git" in warning


def test_source_folders(build: Build, tmp_path: Path) -> None:
    assert set(build().internals.source_folders()) == {tmp_path, tmp_path / "rules"}


def test_replaced_config(build: Build) -> None:
    assert not build().internals.replaces_config
    config = options.ConfigSettings(replace_workflow_config=True)
    assert build(config=config).internals.replaces_config


def test_no_storage_plugins(build: Build) -> None:
    assert build().internals.storage_plugins() == []


ANY = "rule any:\n    output: '{name}.out', temp('{name}.tmp')\n    shell: 'true'\n"
ODD = ["plain", "a b", "it's", 'say "x" now', "$HOME", "back\\slash", "ü*;&", "a'b\"$x\\n"]


@pytest.mark.parametrize("value", ODD)
def test_wildcards_that_survive_the_command_line(build: Build, value: str) -> None:
    from snakemake.target_jobs import parse_target_jobs_cli_args

    made = build(ANY, targets=(f"{value}.out",))
    job = made.job("any", name=value)
    found = made.arguments(job)
    assert found[:2] == ["-m", "snakemake"]
    text = found[found.index("--target-jobs") + 1]
    (target,) = parse_target_jobs_cli_args([text])
    assert (target.rulename, target.wildcards_dict) == ("any", {"name": value})
    assert found[found.index("--unneeded-temp-files") + 1] == f"{value}.tmp"


@pytest.mark.parametrize("value", ["a,b", "'quoted'", '"', "it's, $HOME"])
def test_wildcards_that_do_not_survive_are_told_by_an_output(build: Build, value: str) -> None:
    made = build(ANY, targets=(f"{value}.out",))
    found = made.arguments(made.job("any", name=value))
    assert "--target-jobs" not in found
    assert found[found.index("--target-files-omit-workdir-adjustment") + 1] == f"{value}.out"
    assert found[found.index("--unneeded-temp-files") + 1] == f"{value}.tmp"


@pytest.mark.parametrize("path", ["/{name}.out", "-{name}.out"])
def test_wildcards_that_no_output_tells_are_refused(build: Build, path: str) -> None:
    rule = f"rule any:\n    output: '{path}'\n    shell: 'true'\n"
    made = build(rule, targets=(path.format(name="a,b"),))
    job = made.job("any", name="a,b")
    with pytest.raises(GridError, match="rule any cannot be handed to a worker") as caught:
        made.internals.targets(job)
    assert "name='a,b'" in str(caught.value)


def test_command_is_for_the_worker(build: Build) -> None:
    made = build(cache=["table", "split"])
    found = made.arguments(made.job("sort", sample="one"))
    assert "--cache" not in found
    assert not {"split", "table"} & set(found)
    assert found[found.index("--snakefile") + 1] == "Snakefile"
    assert found[len(found) - 1 - found[::-1].index("--directory") + 1] == "."
    assert found[found.index("--mode") + 1] == "remote"
    assert found[found.index("--cores") + 1] == "1"


def test_snakefile_of_a_web_server_keeps_its_address(build: Build, server: str) -> None:
    url = f"{server}/Snakefile"
    made = build(ANY, targets=("one.out",), url=url)
    found = made.arguments(made.job("any", name="one"))
    assert found[found.index("--snakefile") + 1] == url


BIG = "7 * attempt"
GIVEN = [
    ("mem_mib=1000", "mem_mb=1048"),  # MiB, in MB
    ("mem_mb=1000", "mem_mb=1000"),
    ("mem='2 GB'", "mem_mb=2000"),
    (f"mem_mib={BIG}", f"mem_mib={BIG}"),
    (f"mem_mb={BIG}", f"mem_mb={BIG}"),
    ("mem='2GB' if attempt else 1", "mem='2GB' if attempt else 1"),
    ("runtime=2h", "runtime=120"),
    ("word='it is'", "word='it is'"),
]


@pytest.mark.parametrize(("given", "handed"), GIVEN)
def test_resources_reach_the_worker_in_their_unit(build: Build, given: str, handed: str) -> None:
    parse = Resources.parser_factory(allow_expressions=True)
    resources = options.ResourceSettings(
        cores=1,
        nodes=4,
        default_resources=parse([given]),
        overwrite_resources={"any": parse([given])},
    )
    made = build(ANY, targets=("one.out",), resources=resources)
    found = made.arguments(made.job("any", name="one"))

    def decoded(flag: str) -> str:
        text = found[found.index(flag) + 1]
        return base64.b64decode(text.removeprefix("base64//")).decode()

    assert decoded("--default-resources") == handed
    assert decoded("--set-resources") == f"any:{handed}"


def test_unknown_ways_to_hand_on_resources_are_left_alone(build: Build) -> None:
    parse = Resources.parser_factory(allow_expressions=True)
    resources = options.ResourceSettings(
        cores=1, nodes=4, default_resources=parse(["mem_mib=1000"])
    )
    internals = build(ANY, targets=("one.out",), resources=resources).internals
    command = "--snakefile 'Snakefile' --default-resources mem_mb=1000"
    assert "--default-resources mem_mb=1000 " in internals.worker_command(command)


@pytest.mark.parametrize("value", ["it's", "$HOME", 'say "x"', "a\\b"])
def test_config_reaches_the_worker_as_given(build: Build, tmp_path: Path, value: str) -> None:
    path = tmp_path / f"{value}.yaml"
    path.write_text("a: 1")
    config = options.ConfigSettings(
        config={"key": value}, config_args=[f"key={value}"], configfiles=[path]
    )
    made = build(config=config)
    found = made.arguments(made.job("sort", sample="one"))
    assert found[found.index("--config") + 1] == f"key={value}"
    assert found[found.index("--configfiles") + 1] == f"{value}.yaml"


def test_unknown_quotes_are_left_alone(build: Build) -> None:
    made = build()
    command = "--target-jobs sort"
    assert made.internals.requote(command, made.job("sort", sample="one")) == command


def test_cache_is_asked_for_by_rule(build: Build) -> None:
    rules = "rule a:\n    output: 'a'\n    cache: True\n    shell: 'true'\n"
    other = "rule b:\n    input: 'a'\n    output: 'b'\n    shell: 'true'\n"
    made = build(rules + other, cache=[], targets=("b",))
    assert made.internals.uses_cache(made.job("a"))
    assert not made.internals.uses_cache(made.job("b"))
    without = build(rules)
    assert not without.internals.uses_cache(without.job("a"))


CODE = """
rule all:
    input: "shell.txt", "run.txt", "script.txt", "wrapped.txt"

rule shell:
    input: "in.csv"
    output: "{name}.txt"
    wildcard_constraints: name="shell"
    params: limit=3, words=["x", "y"], made=lambda wildcards: wildcards.name
    threads: 1
    shell: "show {input} {output} {params.limit} {params.made} {wildcards.name}"

rule run:
    output: "run.txt"
    run:
        with open(output[0], "w") as out:
            print(7, file=out)

rule script:
    output: "script.txt"
    script: "scripts/show.py"

rule wrapped:
    output: "wrapped.txt"
    wrapper: "v1.0/tool"
"""


def test_what_a_job_does_is_told_by_its_rule(build: Build) -> None:
    made = build(CODE, config=options.ConfigSettings(config={"cut": 5}))
    text = json.dumps(doing(made.workflow, made.job("shell", name="shell")))
    for fact in (
        *('"shell"', '{"name": "shell"}', "show {input} {output} {params.limit}"),
        *("show in.csv shell.txt 3 shell shell", '"3"', "['x', 'y']"),
    ):
        assert fact in text
    assert "cut" not in text
    text = json.dumps(doing(made.workflow, made.job("run")))
    assert "print(7, file=out)" in text
    assert '{"cut": 5}' in text
    assert "v1.0/tool" in json.dumps(doing(made.workflow, made.job("wrapped")))


def test_what_a_job_does_is_told_by_its_script(build: Build, tmp_path: Path) -> None:
    shown = set()
    for text in ("print(1)", "print(2)"):
        made = build(CODE)
        (tmp_path / "scripts" / "show.py").write_text(text)
        shown.add(json.dumps(doing(made.workflow, made.job("script"))))
    assert len(shown) == 2


def test_what_a_job_does_is_told_by_its_container(build: Build) -> None:
    method = {options.DeploymentMethod.APPTAINER}
    shown = []
    for image in ("docker://a", "docker://b"):
        made = build(f"rule a:\n    output: 'a'\n    container: '{image}'\n    shell: 'true'\n")
        for methods in (set(), method):
            made.workflow.deployment_settings = options.DeploymentSettings(
                deployment_method=methods
            )
            shown.append(json.dumps(doing(made.workflow, made.job("a"))))
    assert shown[0] == shown[2]
    assert len(set(shown)) == 3


@pytest.mark.parametrize("group", [False, True])
def test_outputs_are_marked_as_incomplete_with_the_job_that_makes_them(
    build: Build, tmp_path: Path, group: bool
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    made = build("rule a:\n    output: 'a', 'b'\n    shell: 'true'\n")
    job = made.job("a")
    persistence = made.workflow.persistence
    assert not made.workflow.async_run(persistence.incomplete(job))
    before = time.time()
    given: Any = job
    if group:
        given = SimpleNamespace(jobs=[job], is_group=lambda: True, register=job.register)
    mark_incomplete(given, "17", 3600.0)
    assert made.workflow.async_run(persistence.incomplete(job))
    assert persistence.external_jobids(job) == ["17"]
    (folder,) = [path for path in tmp_path.rglob("incomplete") if path.is_dir()]
    times = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()]
    assert len(times) == 2
    # Snakemake takes the age of a mark for how long the job ran.
    assert all(abs(mark - before + 3600) < 60 for mark in times)


def test_marks_are_seen_until_snakemake_has_noted_the_success(build: Build, tmp_path: Path) -> None:
    outside = tmp_path.with_name(f"{tmp_path.name}-beside") / "c"
    made = build(f"rule a:\n    output: 'x/a', 'b', '{outside}'\n    shell: 'true'\n")
    workflow, job = made.workflow, made.job("a")
    paths = ["x/a", "b", str(outside), "other"]
    assert marked_incomplete(workflow, paths) == set()
    mark_incomplete(job, "17", 0.0)
    assert marked_incomplete(workflow, paths) == set(paths[:3])
    assert marked_incomplete(workflow, iter(["b", "other"])) == {"b"}
    assert marked_incomplete(workflow, []) == set()
    workflow.execution_settings = options.ExecutionSettings(keep_metadata=False)
    workflow.async_run(workflow.persistence.finished(job))
    assert marked_incomplete(workflow, paths) == set()


def test_a_mark_that_a_killed_run_has_left_is_seen(build: Build) -> None:
    snakefile = "rule a:\n    output: 'a'\n    shell: 'true'\n"
    earlier = build(snakefile)
    mark_incomplete(earlier.job("a"), "17", 0.0)
    assert marked_incomplete(build(snakefile).workflow, ["a"]) == {"a"}


Hook = Callable[[Any, Scheduling, Any], None]


def execute(
    snakefile: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    running: Hook = lambda *_: None,
    success: Hook = lambda *_: None,
) -> Scheduling:
    """Run a workflow here with an executor that calls hooks; its jobs count as those of a grid.

    Args:
        snakefile: The workflow.
        monkeypatch: Undoes it.
        running: Is called with workflow, scheduling and jobs when they are handed over.
        success: Is called with workflow, scheduling and a job that has succeeded.
    """
    Path("Snakefile").write_text(snakefile)
    found: list[Scheduling] = []

    run_jobs, handle_job_success = LocalExecutor.run_jobs, LocalExecutor.handle_job_success

    def hooked_run_jobs(executor: Any, jobs: list[Any]) -> None:
        found.append(Scheduling(executor.workflow))
        running(executor.workflow, found[-1], jobs)
        run_jobs(executor, jobs)

    def hooked_success(executor: Any, job: Any) -> None:
        handle_job_success(executor, job)
        success(executor.workflow, Scheduling(executor.workflow), job)

    monkeypatch.setattr(LocalExecutor, "run_jobs", hooked_run_jobs)
    monkeypatch.setattr(LocalExecutor, "handle_job_success", hooked_success)
    monkeypatch.setattr("snakemake.workflow.Workflow.is_local", lambda *_: False)
    quiet = options.OutputSettings(quiet={options.Quietness.ALL}, enable_file_logging=False)
    with SnakemakeApi(quiet) as api:
        workflow_api = api.workflow(
            resource_settings=options.ResourceSettings(cores=2), snakefile=Path("Snakefile")
        )
        dag_api = workflow_api.dag(options.DAGSettings())
        with contextlib.suppress(WorkflowError):
            dag_api.execute_workflow(
                executor="local",
                execution_settings=options.ExecutionSettings(latency_wait=1),
                scheduler_settings=GreedySettings(),
                greedy_scheduler_settings=GreedySettings(),
                scheduling_settings=options.SchedulingSettings(scheduler="greedy"),
            )
    return found[-1]


TWO = """
rule second:
    input: "one"
    output: "two"
    shell: "touch {output}"

rule first:
    output: "one"
    shell: "touch {output}"
"""


@pytest.mark.usefixtures("build")
def test_a_success_is_handed_on_after_snakemake_has_noted_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, bool, list[Any]]] = []

    def success(workflow: Any, scheduling: Scheduling, job: Any) -> None:
        persistence = workflow.persistence
        persistence._clear_cache()
        noted = persistence.metadata(job.output[0]) is not None
        keys = [persistence._get_key(path) for path in job.output]
        seen.append((job.name, noted, list(persistence._filter_incomplete_keys(keys))))

    execute(TWO, monkeypatch, success=success)
    assert seen == [("first", True, []), ("second", True, [])]


@pytest.mark.usefixtures("build")
def test_the_scheduler_is_busy_while_an_end_is_dealt_with(monkeypatch: pytest.MonkeyPatch) -> None:
    busy: list[tuple[str, bool]] = []

    def running(workflow: Any, scheduling: Scheduling, jobs: list[Any]) -> None:
        assert set(jobs) <= set(workflow.scheduler.running)
        busy.append(("running", scheduling.busy))
        monkeypatch.setattr(type(jobs[0]), "is_local", True)
        busy.append(("here", scheduling.busy))
        monkeypatch.setattr(type(jobs[0]), "is_local", False)

    def success(workflow: Any, scheduling: Scheduling, job: Any) -> None:
        busy.append(("success", scheduling.busy))

    scheduling = execute(TWO, monkeypatch, running=running, success=success)
    assert busy == [("running", False), ("here", True), ("success", True)] * 2
    assert not scheduling.busy
    assert not scheduling.has_failed


@pytest.mark.usefixtures("build")
def test_a_failure_is_known_to_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = TWO.replace('output: "one"\n    shell: "touch', 'output: "one"\n    shell: "false')
    assert failing != TWO
    assert execute(failing, monkeypatch).has_failed


@pytest.mark.usefixtures("build")
def test_a_run_is_interrupted_from_another_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    def running(workflow: Any, scheduling: Scheduling, jobs: list[Any]) -> None:
        begun.extend(job.name for job in jobs)
        error = WorkflowError("it is enough")
        thread = threading.Thread(target=scheduling.interrupt, args=(error,))
        thread.start()
        thread.join()

    scheduling = execute(TWO, monkeypatch, running=running)
    assert begun == ["first"]
    assert not scheduling.has_failed
    assert "it is enough" in caplog.text
    assert "Shutting down, this might take some time" in caplog.text
    assert "Exiting because a job execution failed" in caplog.text


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("how", ["interrupt", "keyboard"])
def test_what_is_not_true_of_a_run_that_leaves_its_jobs_is_not_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    monkeypatch.setattr(logger, "filters", [])  # for the rest of the process it is to be, else

    def running(workflow: Any, scheduling: Scheduling, jobs: list[Any]) -> None:
        scheduling.unsay([*departure._UNTRUE, *departure._NOT_FAILED])
        if how == "keyboard":
            raise KeyboardInterrupt
        scheduling.interrupt(WorkflowError(departure._DETACHED))

    execute(TWO, monkeypatch, running=running)
    logger.info("what else is said")
    said = [record.getMessage() for record in caplog.records]
    assert "what else is said" in said
    for text in (*departure._UNTRUE, *departure._NOT_FAILED):
        assert not [message for message in said if text in message]


@pytest.mark.usefixtures("build")
def test_a_run_that_is_interrupted_by_the_keyboard_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def running(workflow: Any, scheduling: Scheduling, jobs: list[Any]) -> None:
        raise KeyboardInterrupt

    execute(TWO, monkeypatch, running=running)
    assert "Terminating processes on user request" in caplog.text
