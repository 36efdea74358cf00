"""What Snakemake tells of a job: breaks when that changes."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.snakemake_api.comparison.facts import facts, key, names_read
from tests.unit.snakemake_api.conftest import Build

FLOW = """
import datetime, os
LIMIT = 3
_HIDDEN = ["a"]
SAMPLES = [f"sample{n}" for n in range(1000)]
def half(x):
    return x / DIVISOR
DIVISOR = 2
UNUSED = 4

rule all:
    input: "a.txt", "b.txt", "c.txt"

rule shell:
    input: "shared.csv", "in.csv"
    output: "{name}.txt"
    wildcard_constraints: name="a"
    log: "{name}.log"
    benchmark: "{name}.tsv"
    params: "first", lambda wildcards: wildcards.name, named=[1], other=lambda wildcards: object()
    resources: mem_mb=5, tmpdir="/somewhere/tmp"
    shell: "cat {input} {params.named} > {output}"

rule code:
    output: "b.txt"
    run:
        def inner():
            return [half(x) + LIMIT for x in _HIDDEN]
        inner()
        print(SAMPLES, os, datetime, output.LATER)

rule script:
    output: "c.txt"
    script: "scripts/show.py"
"""


def test_facts_of_a_command(build: Build) -> None:
    job = build(FLOW).job("shell", name="a")
    found = facts(job, str)
    assert found == {
        "input": "['in.csv', 'shared.csv']",
        "output": "['a.txt']",
        "log": "['a.log']",
        "benchmark": "'a.tsv'",
        "wildcards": "{'name': 'a'}",
        "command": "'cat shared.csv in.csv 1 > a.txt'",
        "params.0": "'first'",
        "params.1": "'a'",
        "params.named": "[1]",
        "params.other": None,
        "resources.mem_mb": "5",
        **{name: text for name, text in found.items() if name == "resources.mem"},
    }


def test_facts_of_code_are_the_globals_that_it_reads(build: Build) -> None:
    found = facts(build(FLOW).job("code"), str)
    assert {name: text for name, text in found.items() if name.startswith("global ")} == {
        "global DIVISOR": "2",
        "global LIMIT": "3",
        "global _HIDDEN": "['a']",
        "global SAMPLES": found["global SAMPLES"],
    }
    text = found["global SAMPLES"]
    assert text is not None
    assert text.startswith("['sample0', 'sample1', ")
    assert "SHA-256" in text
    assert len(text) < 400
    other = facts(build(FLOW.replace("range(1000)", "range(1, 1001)")).job("code"), str)
    assert other["global SAMPLES"] != text


def test_facts_of_a_script_are_the_configuration(build: Build) -> None:
    found = facts(build(f"config['cut'] = 5\n{FLOW}").job("script"), str)
    assert found["global config"] == "{'cut': 5}"
    assert found["command"] == "None"


def test_what_cannot_be_evaluated_is_not_compared(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    job = build(FLOW).job("shell", name="a")
    monkeypatch.setattr(type(job), "params", property(fail))
    found = facts(job, str)
    assert (found["params"], found["command"]) == (None, None)
    assert not [name for name in found if name.startswith("params.")]


def test_the_names_that_code_reads_are_no_attributes() -> None:
    code = compile("def f(x):\n    return x.seed + A\ndef g(): return f(B)\n", "x", "exec")
    assert names_read(code) == {"A", "B", "f"}


def test_a_job_has_the_same_key_on_both_sides() -> None:
    one = key("r", {"b": "/home/flow/x", "a": 1}, lambda text: text.replace("/home/flow", "W"))
    assert one == key("r", {"a": "1", "b": "W/x"}, str)
    assert one != key("r", {"a": "2", "b": "W/x"}, str)
