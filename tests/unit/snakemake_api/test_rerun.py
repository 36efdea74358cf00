"""What Snakemake tells of what a job does: breaks when that changes."""

from __future__ import annotations

import json
from pathlib import Path

from snakemake.settings import types as options

from snakemake_executor_plugin_grid.snakemake_api.rerun import doing

from .conftest import Build

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
