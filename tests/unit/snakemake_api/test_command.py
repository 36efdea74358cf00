"""What a shell and Snakemake make of the command of a job: breaks when Snakemake changes that."""

from __future__ import annotations

import base64
import contextlib
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.api import WorkflowApi
from snakemake.resources import Resources
from snakemake.settings import types as options

from snakemake_executor_plugin_grid.executor import Executor
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.settings import options as settings

from .conftest import Build, Workflow


def arguments(made: Workflow, job: Any) -> list[str]:
    """Return what a shell makes of the command of a job."""
    workflow_api = made.workflow_api

    class Commands(Executor):
        @property
        def run(self) -> Any:
            return SimpleNamespace(workflow_api=workflow_api)

    workflow = made.workflow
    workflow.executor_settings = settings.ExecutorSettings()
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


ANY = "rule any:\n    output: '{name}.out', temp('{name}.tmp')\n    shell: 'true'\n"
ODD = ["plain", "a b", "it's", 'say "x" now', "$HOME", "back\\slash", "ü*;&", "a'b\"$x\\n"]


@pytest.mark.parametrize("value", ODD)
def test_wildcards_that_survive_the_command_line(build: Build, value: str) -> None:
    from snakemake.target_jobs import parse_target_jobs_cli_args

    made = build(ANY, targets=(f"{value}.out",))
    job = made.job("any", name=value)
    found = arguments(made, job)
    assert found[:2] == ["-m", "snakemake"]
    text = found[found.index("--target-jobs") + 1]
    (target,) = parse_target_jobs_cli_args([text])
    assert (target.rulename, target.wildcards_dict) == ("any", {"name": value})
    assert found[found.index("--unneeded-temp-files") + 1] == f"{value}.tmp"


@pytest.mark.parametrize("value", ["a,b", "'quoted'", '"', "it's, $HOME"])
def test_wildcards_that_do_not_survive_are_told_by_an_output(build: Build, value: str) -> None:
    made = build(ANY, targets=(f"{value}.out",))
    found = arguments(made, made.job("any", name=value))
    assert "--target-jobs" not in found
    assert found[found.index("--target-files-omit-workdir-adjustment") + 1] == f"{value}.out"
    assert found[found.index("--unneeded-temp-files") + 1] == f"{value}.tmp"


@pytest.mark.parametrize("path", ["/{name}.out", "-{name}.out"])
def test_wildcards_that_no_output_tells_are_refused(build: Build, path: str) -> None:
    rule = f"rule any:\n    output: '{path}'\n    shell: 'true'\n"
    made = build(rule, targets=(path.format(name="a,b"),))
    job = made.job("any", name="a,b")
    with pytest.raises(GridError, match=r"rule any cannot .* rename") as caught:
        made.workflow_api.targets(job)
    assert "name='a,b'" in str(caught.value)


def test_wildcards_are_told_by_an_output_that_is_read_as_they_are(build: Build) -> None:
    rule = "rule any:\n    output: '{a}-{b}.x', '{a}_{b}.y'\n    shell: 'true'\n"
    made = build(rule, targets=("a_b-c,-d.y",))
    job = made.job("any", a="a", b="b-c,-d")  # the first reads as a="a-b-c,"
    assert made.workflow_api.targets(job) == ([], ["a_b-c,-d.y"])


def test_command_is_for_the_worker(build: Build) -> None:
    made = build(settings=options.WorkflowSettings(cache=["table", "split"]))
    found = arguments(made, made.job("sort", sample="one"))
    assert "--cache" not in found
    assert not {"split", "table"} & set(found)
    assert found[found.index("--snakefile") + 1] == "Snakefile"
    assert found[len(found) - 1 - found[::-1].index("--directory") + 1] == "."
    assert found[found.index("--mode") + 1] == "remote"
    assert found[found.index("--cores") + 1] == "1"


@pytest.mark.skipif(
    "str" not in str(WorkflowApi.__annotations__["snakefile"]),
    reason="this Snakemake takes no addresses",
)
def test_snakefile_of_a_web_server_keeps_its_address(build: Build, server: str) -> None:
    url = f"{server}/Snakefile"
    made = build(ANY, targets=("one.out",), url=url)
    found = arguments(made, made.job("any", name="one"))
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
    found = arguments(made, made.job("any", name="one"))

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
    workflow_api = build(ANY, targets=("one.out",), resources=resources).workflow_api
    command = "--snakefile 'Snakefile' --default-resources mem_mb=1000"
    assert "--default-resources mem_mb=1000 " in workflow_api.worker_command(command)


@pytest.mark.parametrize("value", ["it's", "$HOME", 'say "x"', "a\\b"])
def test_config_reaches_the_worker_as_given(build: Build, tmp_path: Path, value: str) -> None:
    path = tmp_path / f"{value}.yaml"
    path.write_text("a: 1")
    config = options.ConfigSettings(
        config={"key": value}, config_args=[f"key={value}"], configfiles=[path]
    )
    made = build(config=config)
    found = arguments(made, made.job("sort", sample="one"))
    assert found[found.index("--config") + 1] == f"key={value}"
    assert found[found.index("--configfiles") + 1] == f"{value}.yaml"


def test_unknown_quotes_are_left_alone(build: Build) -> None:
    made = build()
    command = "--target-jobs sort"
    assert made.workflow_api.requote(command, made.job("sort", sample="one")) == command
