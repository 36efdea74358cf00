from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.backends.dirac.jdl import (
    Options,
    check_options,
    jdl,
    read_extra,
    requirements,
)
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.job import Resources
from tests.unit.backends.dirac import dirac_parser
from tests.unit.specs import spec

# GRID_TEST_GOLDEN=write writes them anew: read the difference before it is committed.
GOLDEN = Path(__file__).parent / "golden"
SITES = ("LCG.Bologna.it", "LCG.Lyon.fr", "LCG.Prague.cz")
SANDBOX = "SB:ProductionSandboxSE|/SandBox/u/user.vo_user/c0f/c0ffee.tar.bz2"
OWN = "SB:ProductionSandboxSE|/SandBox/u/user.vo_user/0{0}/0{0}.tar.bz2"
LFN = "LFN:/vo/user/u/user/grid/"
EVERYTHING = Options(
    sites=SITES,
    banned_sites=("LCG.Lyon.fr",),
    tags=("AVX2", "el9"),
    platform="x86_64-el9",
    job_type="User",
    priority=7,
    extra='LogLevel = "DEBUG"; Wanted = {"a", "b"}; Weight = 1.5;',
    cpu_power=12.5,
)
BIG = Resources(processors=8, memory_mb=16_000, disk_mb=500, runtime_s=3600, gpus=2)


def build(
    names: Sequence[str] = ("sort-0a1b-1",),
    inputs: Sequence[Sequence[str]] = (),
    options: Options | None = None,
    sandboxes: Sequence[Sequence[str]] = (),
    **fields: Any,
) -> str:
    required = requirements(spec(names[0], **fields), options or Options())
    return jdl("grid-0a1b2c3d", names, required, sandboxes or [[SANDBOX]] * len(names), inputs)


CASES: dict[str, dict[str, Any]] = {
    "minimal": {},
    "everything": {
        "options": EVERYTHING,
        "resources": BIG,
        "names": ["sort-0a1b-1", "sort-0a1b-2"],
    },
    "rule": {
        "options": EVERYTHING,
        "overrides": {
            "site": "ANY",
            "banned_sites": "LCG.Prague.cz, LCG.Bologna.it",
            "tags": "GPU el8",
            "platform": "x86_64-el8",
            "job_type": "Test",
            "priority": "0",
            "jdl": 'LogLevel = "INFO"; CPUTime = 777',
        },
        "resources": Resources(runtime_s=60),
    },
    "inputs": {
        "options": Options(
            sites=SITES[:2],
            storage_element="SE-Lyon",
            output_folder="/vo/user/u/user/grid/delivered",
        ),
        "names": ["sort-0a1b-1", "sort-0a1b-2"],
        "sandboxes": [[SANDBOX, OWN.format(1)], [SANDBOX, OWN.format(2)]],
        "inputs": [[LFN + "aa.data", LFN + "cc.data"], [LFN + "bb.data", LFN + "cc.data"]],
    },
}


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    path = GOLDEN / f"{case}.jdl"
    text = build(**CASES[case])
    if os.environ.get("GRID_TEST_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_there_is_a_case_for_each_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.jdl")} == set(CASES)


def test_dirac_reads_what_is_meant() -> None:
    answers = dirac_parser.parse([build(**case) for case in CASES.values()], SITES)
    minimal, everything, rule, inputs = answers

    assert len(minimal) == 1
    assert minimal[0]["model"]["jobName"] == "sort-0a1b-1"
    assert minimal[0]["model"]["arguments"] == "sort-0a1b-1"
    assert minimal[0]["model"]["tags"] == []
    assert "NumberOfProcessors" not in minimal[0]["stored"]
    assert minimal[0]["stored"]["InputSandbox"] == [SANDBOX]

    assert [job["model"]["jobName"] for job in everything] == ["sort-0a1b-1", "sort-0a1b-2"]
    model, stored = everything[0]["model"], everything[0]["stored"]
    assert model["sites"] == ["LCG.Bologna.it", "LCG.Prague.cz"]
    assert model["tags"] == ["8Processors", "AVX2", "GPU", "MultiProcessor", "el9"]
    assert (model["minNumberOfProcessors"], model["maxNumberOfProcessors"]) == (8, 8)
    assert (model["cpuTime"], model["priority"], model["jobType"]) == (45000, 7, "User")
    assert (model["platform"], model["logLevel"]) == ("x86_64-el9", "DEBUG")
    assert (stored["MinRAM"], stored["MaxRAM"]) == ("16000", "16000")
    assert (stored["Wanted"], stored["Weight"]) == (["a", "b"], "1.5")

    model = rule[0]["model"]
    assert (model["sites"], model["bannedSites"]) == ([], ["LCG.Bologna.it", "LCG.Prague.cz"])
    assert model["tags"] == ["GPU", "el8"]
    assert (model["platform"], model["jobType"]) == ("x86_64-el8", "Test")
    assert (model["cpuTime"], model["priority"], model["logLevel"]) == (777, 0, "INFO")

    assert [job["stored"]["InputData"] for job in inputs] == CASES["inputs"]["inputs"]
    assert [job["stored"]["InputSandbox"] for job in inputs] == CASES["inputs"]["sandboxes"]
    assert [job["model"]["outputPath"] for job in inputs] == [
        f"LFN:/vo/user/u/user/grid/delivered/sort-0a1b-{number}" for number in (1, 2)
    ]
    assert inputs[0]["model"]["outputSE"] == "SE-Lyon"
    assert inputs[0]["model"]["outputData"] == ["*.data"]


def test_the_parser_tells_of_what_dirac_refuses() -> None:
    text = build(options=Options(sites=("LCG.Nowhere.xx",)))
    (answer,) = dirac_parser.parse([text], SITES)
    assert "Invalid sites: LCG.Nowhere.xx" in answer


def test_any_text_is_read_back_or_refused() -> None:
    """All examples go to DIRAC at once: a process for each would take minutes."""
    tokens = st.sampled_from([*"aZ09_.-+:/@|=,;%\"'{}[]()<>\\#& \n\té", "%s", "%n", "%j", '","'])
    words = st.lists(tokens, min_size=1, max_size=4).map("".join)
    examples: list[tuple[str, dict[str, Any]]] = []

    @settings(max_examples=1000, deadline=None, database=None)
    @given(st.sampled_from(["name", "site", "tags", "extra", "items", "lfn"]), words)
    def collect(kind: str, word: str) -> None:
        found = _written(kind, word)
        if found:
            examples.append(found)

    collect()
    assert len(examples) > 100
    sites = [site for _, wanted in examples for site in wanted.get("Site", [])]
    answers = dirac_parser.parse([text for text, _ in examples], sites)
    for (text, wanted), answer in zip(examples, answers, strict=True):
        assert isinstance(answer, list), f"{answer}\n{text}"
        assert len(answer) == 1, text
        stored = answer[0]["stored"]
        read = {name: stored.get(name, []) for name in wanted}
        # The server keeps a list of one as a plain value.
        read = {
            name: [value] if isinstance(wanted[name], list) and isinstance(value, str) else value
            for name, value in read.items()
        }
        assert read == wanted, text
        model = answer[0]["model"]
        assert model["executable"] == "grid-job.sh"
        assert model["inputSandbox"] == [SANDBOX]


def _written(kind: str, word: str) -> tuple[str, dict[str, Any]] | None:
    """Return a JDL with the word in it and what DIRAC has to read, or None if it is refused."""
    try:
        if kind == "name":
            return build([word]), {"JobName": word, "Arguments": word}
        if kind == "site":
            text = build(options=Options(sites=(word,)))
            return text, {"Site": list(dict.fromkeys(word.replace(",", " ").split()))}
        if kind == "tags":
            text = build(overrides={"tags": word})
            return text, {"Tags": list(dict.fromkeys(word.replace(",", " ").split()))}
        if kind == "extra":
            return build(options=Options(extra=f'Mine = "{word}"')), {"Mine": word}
        if kind == "items":
            if '"' in word:  # may make it two items, as it would for DIRAC
                return None
            options = Options(extra=f'Mine = {{"{word}", "b"}}')
            return build(options=options), {"Mine": [word, "b"]}
        return build(inputs=[[f"LFN:/vo/{word}"]]), {"InputData": [f"LFN:/vo/{word}"]}
    except (PermanentError, ValueError):
        return None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"overrides": {"site": 'A"B'}}, ["rule sort (sample=a)", "grid_site", 'A"B']),
        ({"overrides": {"priority": "11"}}, ["grid_priority", "0 to 10", "11"]),
        ({"overrides": {"priority": "high"}}, ["grid_priority", "high"]),
        ({"overrides": {"platform": "a b"}}, ["grid_platform", "one value", "a, b"]),
        ({"overrides": {"tags": "50%n"}}, ["grid_tags", "50%n"]),
        ({"overrides": {"jdl": "Executable = 3"}}, ["grid_jdl", "Executable"]),
        ({"options": Options(sites=("A;B",))}, ["--grid-site", "A;B"]),
        ({"options": Options(banned_sites=("é",))}, ["--grid-banned-sites", "é"]),
        ({"options": Options(job_type="{x}")}, ["--grid-job-type", "{x}"]),
        ({"options": Options(priority=-1)}, ["--grid-priority", "-1"]),
        ({"options": Options(extra="Nonsense")}, ["--grid-jdl", "Nonsense"]),
        (
            {"options": Options(storage_element="S E", output_folder="/vo/x")},
            ["--grid-dirac-storage-element", "S E"],
        ),
        (
            {"options": Options(storage_element="SE", output_folder="/vo//x y")},
            ["--grid-store", "/vo//x y"],
        ),
        ({"resources": Resources(processors=2000)}, ["threads", "1024", "2000"]),
    ],
)
def test_errors_name_where_a_value_came_from(
    fields: Mapping[str, Any], words: Sequence[str]
) -> None:
    with pytest.raises(PermanentError) as caught:
        build(**fields)
    for word in words:
        assert word in str(caught.value)


def required(options: Options, avoid: Sequence[str] = (), **overrides: str) -> Mapping[str, str]:
    return requirements(spec("a", overrides=overrides), options, avoid)


def test_banned_and_avoided_sites_are_taken_from_the_sites_asked_for() -> None:
    options = Options(sites=("A", "B", "C"), banned_sites=("A",))
    assert required(options) == {"Site": '{"B","C"}'}
    assert required(options, ["B"]) == {"Site": '{"C"}'}
    assert required(options, ["C", "B"]) == {"Site": '{"B","C"}'}
    assert required(options, ["B"], banned_sites="C") == {"Site": '{"A"}'}


def test_avoided_sites_are_banned_where_no_site_is_asked_for() -> None:
    options = Options(banned_sites=("A",))
    assert required(options, ["C", "A", "B"]) == {"BannedSites": '{"A","B","C"}'}
    assert required(options, ["C"], banned_sites="B B") == {"BannedSites": '{"B","C"}'}
    assert required(options, banned_sites="") == {}


def test_sites_of_which_none_is_left() -> None:
    with pytest.raises(PermanentError, match=r"grid_site: no site is left of A, .*--grid-banned"):
        required(Options(banned_sites=("A",)), site="A")


def test_extra_attributes() -> None:
    text = ' Empty_1 = TRUE;\n  Name="a (b) = \'c\'" ; List = { "x" , "y=1" };Number=-2.5'
    assert read_extra(text, "here") == {
        "Empty_1": "TRUE",
        "Name": "\"a (b) = 'c'\"",
        "List": '{"x","y=1"}',
        "Number": "-2.5",
    }
    assert read_extra(" \n", "here") == {}


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "A =",
        "A = ;",
        "A = b",
        'A = "b',
        'A = b"',
        'A = "b" "c"',
        'A = "b" B = 3',
        'A = ""',
        'A = " b"',
        'A = "b;c"',
        'A = "b,c"',
        'A = "b%nc"',
        'A = "b\nc"',
        'A = "{b}"',
        "A = {}",
        'A = {"b c"}',
        'A = {"b",}',
        'A = {"b" "c"}',
        "A = [B = 3]",
        '= "b"',
        '1A = "b"',
        ';A = "b"',
        'jobname = "b"',
        "Parameters = 3",
        'Parameters.x = {"b"}',
        "ParameterStart = 1",
    ],
)
def test_extra_attributes_that_are_refused(text: str) -> None:
    with pytest.raises(PermanentError, match=r"^here: "):
        read_extra(text, "here")


def test_a_rules_extra_attributes_go_before_the_options() -> None:
    options = Options(tags=("t",), extra="A = 1; B = 2")
    assert required(options, jdl='B = 3; Tags = "u"') == {"A": "1", "B": "3", "Tags": '"u"'}


@pytest.mark.parametrize(
    ("group", "names", "inputs"),
    [
        ("g" * 33, ["a"], []),
        ("g", [], []),
        ("g", ["a", "a"], []),
        ("g", ["a b"], []),
        ("g", ["a\n"], []),
        ("g", ["a", "b"], [["LFN:/v/a"]]),
        ("g", ["a", "b"], [["LFN:/v/a"], []]),
        ("g", ["a"], [["LFN:/v/a", "LFN:/v/a"]]),
    ],
)
def test_arguments_that_do_not_fit(group: str, names: list[str], inputs: list[list[str]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        jdl(group, names, {}, [[SANDBOX]] * len(names), inputs)


@pytest.mark.parametrize("lfn", ["/v/a", "LFN:v", "LFN:/v//a", "LFN:/v/a b", "LFN:/v/../a"])
def test_lfns_that_are_refused(lfn: str) -> None:
    with pytest.raises(PermanentError, match="Input data"):
        jdl("g", ["a"], {}, [[SANDBOX]], [[lfn]])


@pytest.mark.parametrize("name", ["/tmp/x", "SB:a b", 'SB:"', "SB:a,b"])
def test_sandboxes_that_are_refused(name: str) -> None:
    with pytest.raises(PermanentError, match="Input sandbox"):
        jdl("g", ["a"], {}, [[name]])


def test_nothing_of_the_job_itself_is_in_the_jdl() -> None:
    job = spec(
        "a",
        command="SECRET1",
        environment={"TOKEN": "SECRET2"},
        wildcards=(("w", "SECRET3"),),
        inputs=["SECRET4"],
        rule="SECRET5",
    )
    text = jdl("g", ["a"], requirements(job, EVERYTHING), [[SANDBOX]])
    assert "SECRET" not in text
    assert "TOKEN" not in text


@pytest.mark.parametrize(
    "options", [Options(priority=11), Options(extra="Foo = {"), Options(tags=("a;b",))]
)
def test_options_that_no_job_can_have_are_found_before_the_first(options: Options) -> None:
    check_options(Options(storage_element="SE-1"))
    with pytest.raises(PermanentError, match="--grid-"):
        check_options(options)
