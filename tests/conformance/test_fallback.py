"""Jobs that need Snakemake on the node, beside decided ones: the same on every backend."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Project
from tests.nodes import WITH_SNAKEMAKE

pytestmark = pytest.mark.workflow

FALLING_BACK = ("--grid-decide", "auto", *WITH_SNAKEMAKE)
"""Options for workflows with jobs that need Snakemake on the node."""


def test_the_configuration_is_the_same_on_the_worker(project: Project) -> None:
    project.put("defaults.yaml", "a: {x: 1, y: 2}\nonly_here: 3\n")
    project.put("my $con'fig.yaml", "a: {x: 5}\n")
    code = "import json\nwith open(snakemake.output[0], 'w') as out:\n"
    project.put("write.py", f"{code}    json.dump(snakemake.config, out)")
    project.write(
        Snakefile="""
import json
configfile: "defaults.yaml"
rule all:
    input: "script.json", "run.json"
    localrule: True
rule by_script:
    output: "script.json"
    script: "write.py"
rule by_run:  # needs Snakemake there
    output: "run.json"
    params: here=json.dumps(config, sort_keys=True)
    run:
        with open(output[0], "w") as out:
            json.dump(config, out)
"""
    )
    text = """it's "$HOME" \\ `id`"""
    values = (f"text={text}", "num=7", "map={k: [v]}")
    options = ("--configfile", "my $con'fig.yaml", "--config", *values)
    expected = {"a": {"x": 5}, "text": text, "num": 7, "map": {"k": ["v"]}}
    project.run(*FALLING_BACK, "--replace-workflow-config", *options).succeeded()
    assert json.loads(project.read("script.json")) == expected
    assert json.loads(project.read("run.json")) == expected
    output = project.run(*FALLING_BACK, "--forceall", *options).succeeded().output
    merged = {**expected, "a": {"x": 5, "y": 2}, "only_here": 3}
    assert json.loads(project.read("script.json")) == merged
    assert json.loads(project.read("run.json")) == merged
    assert output.count("needs Snakemake on the worker") == 1
    assert "rule by_run needs Snakemake on the worker: it has run:" in output


def test_a_job_that_means_something_else_on_the_worker_fails(project: Project) -> None:
    project.environment["ONLY_HERE"] = "5"
    project.write(
        Snakefile="""
import os
rule all:
    input: "decided.txt", "compared.txt"
    localrule: True
rule decided:
    output: "decided.txt"
    params: weight=os.environ.get("ONLY_HERE", "0")
    shell: "echo {params.weight} >{output}"
rule compared:
    output: "compared.txt"
    params: weight=os.environ.get("ONLY_HERE", "0")
    run:
        with open(output[0], "w") as out:
            out.write(params.weight)
"""
    )
    output = project.run(*FALLING_BACK, "--keep-going").failed().output
    assert project.read("decided.txt") == "5\n"
    assert not (project.folder / "compared.txt").exists()
    assert "the workflow means something else on this worker than on the submit host" in output
    assert "rule compared does not run. params.weight: '5' on the submit host, '0' here" in output
