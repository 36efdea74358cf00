"""What is decided for groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported

from .conftest import Make

CHAIN = """
rule all:
    input: "last.txt"
rule first:
    input: "in.csv"
    output: temp("first.txt")
    group: "pair"
    threads: 2
    shell: "first {{input}} > {{output}}"
rule last:
    input: "first.txt", "shared.csv"
    output: "last.txt"
    group: "pair"
    {extra}
    {body}
"""


def chain(extra: str = "", body: str = 'shell: "last {input} > {output}"') -> str:
    return CHAIN.format(extra=extra, body=body)


def test_a_group_has_layers(deciding: Make) -> None:
    decision = deciding(chain()).group().decision
    assert [[step.rule for step in layer] for layer in decision.layers] == [["first"], ["last"]]
    first, last = decision.steps
    assert first.commands[0].text == "first in.csv > first.txt"
    assert last.inputs == ("first.txt", "shared.csv")
    assert last.awaited == ()
    assert decision.cores == 2
    assert decision.temporary == ("first.txt",)


def test_pipes_and_services_are_in_one_layer(deciding: Make) -> None:
    decision = (
        deciding(
            """
rule all:
    input: "last.txt"
rule write:
    input: "in.csv"
    output: pipe("p")
    shell: "cat {input} > {output}"
rule serve:
    output: service("s")
    shell: "serve {output}"
rule read:
    input: "p", "s", "shared.csv"
    output: "last.txt"
    shell: "cat {input} > {output}"
"""
        )
        .group()
        .decision
    )
    (layer,) = decision.layers
    steps = {step.rule: step for step in layer}
    assert steps["write"].outputs[0].pipe
    assert steps["serve"].outputs[0].service
    assert (steps["serve"].service, steps["read"].service) == (True, False)
    assert steps["read"].awaited == ("p", "s")
    assert steps["read"].inputs == ("shared.csv",)


def test_one_member_that_cannot_be_decided_is_named(deciding: Make) -> None:
    with pytest.raises(Unsupported, match="rule last of the group: it has run:"):
        deciding(chain(body="run:\n        pass")).group()


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize(
    ("extra", "body"),
    [
        ("params: late=lambda w, input: open(input[0]).read()", "'last {params}'"),
        ("params: late=lambda w, input: open(input[0]).read()", "'last {params.late}'"),
        ("params: lambda w, input: int(open(input[0]).read())", "f'last {params[0] + 1}'"),
        ("params: lambda w, input: 1 + int(open(input[0]).read())", "'last {params[0]}'"),
        ("resources: late=lambda w, input: int(open(input[0]).read())", "'last {resources}'"),
        ("resources: late=lambda w, input: len(input)", "f'last {resources.late:03}'"),
        ("resources: mem_mb=lambda w, input: 5", "'last {resources.mem}'"),
        ("resources: disk_mb=lambda w, input: 5", "'last {resources.disk_mib}'"),
        ("threads: lambda w, input: 3", "'last'"),
    ],
)
def test_a_function_may_look_at_files_that_the_group_makes(
    deciding: Make, tmp_path: Path, stale: bool, extra: str, body: str
) -> None:
    """A stale file would give a wrong value that looks right."""
    if stale:
        (tmp_path / "first.txt").write_text("7")
        os.utime(tmp_path / "first.txt", (1, 1))
    # The expression of an f-string is evaluated at parsing, too: there it sees these.
    top = "from types import SimpleNamespace\nparams, resources = [0], SimpleNamespace(late=0)\n"
    made = deciding(top + chain(extra, f"shell: {body}"))
    with pytest.raises(Unsupported, match=r"rule last of the group: .*its group makes"):
        made.group()


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("params: late=lambda w, input: 1 / int(open('shared.csv').read() or 1)", "last"),
        ("resources: late=lambda w, input: len(input)", "{resources.late.real} {nothing}"),
    ],
)
def test_an_error_before_the_group_has_run_is_none(
    deciding: Make, tmp_path: Path, extra: str, command: str
) -> None:
    made = deciding(chain(extra, f"shell: {command!r}"))
    (tmp_path / "shared.csv").write_text("0")
    with pytest.raises(Unsupported, match="rule last of the group"):
        made.group()


def test_a_function_whose_value_is_not_used_does_no_harm(deciding: Make) -> None:
    extra = (
        "params: late=lambda w, input: open(input[0]).read(), limit=3\n"
        "    resources: mem_mb=lambda w, input: 2 * input.size_mb\n"
        '    benchmark: "bench.tsv"'
    )
    decision = deciding(chain(extra, "shell: 'last {params.limit}'")).group().decision
    assert decision.steps[1].commands[0].text == "last 3"


def test_a_function_of_a_member_that_reads_nothing_of_the_group_is_decided(
    deciding: Make, tmp_path: Path
) -> None:
    (tmp_path / "shared.csv").write_text("5")
    made = deciding(
        """
rule all:
    input: "a", "b"
rule a:
    input: "shared.csv"
    output: "a"
    group: "pair"
    params: value=lambda w, input: open(input[0]).read()
    shell: "a {params.value}"
rule b:
    input: "shared.csv"
    output: "b"
    group: "pair"
    shell: "b"
rule c:
    input: "a", "b"
    output: "c"
    group: "pair"
    shell: "c"
""",
        targets=("c",),
    )
    texts = [step.commands[0].text for step in made.group().decision.steps]
    assert texts[-1] == "c"
    assert sorted(texts[:2]) == ["a 5", "b"]
