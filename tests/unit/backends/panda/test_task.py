from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.backends.panda.job_sample import job_name
from snakemake_executor_plugin_grid.backends.panda.task import (
    SITE_LIMIT,
    Options,
    attempts,
    shape,
    task,
    task_name,
)
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.names import JobName
from tests.unit.specs import spec

# GRID_TEST_GOLDEN=write writes them anew: read the difference before it is committed.
GOLDEN = Path(__file__).parent / "golden"
VO = Options("testvo")
BIG = Resources(processors=8, memory_mb=16_000, disk_mb=500, runtime_s=5000.5, gpus=2)
EVERYTHING = Options(
    vo="epic",
    label="test",
    working_group="epic-sim",
    cloud="EIC",
    processing_type="simulation",
    sites=("BNL_EPIC", "JLAB_EPIC", "CERN-EPIC"),
    banned_sites=("JLAB_EPIC",),
    platform="x86_64-el9",
    priority=950,
    container="/cvmfs/images/eic.sif",
    transformation="https://epic.test/runGen",
    user="Jane Doe",
    extra='{"campaign": "26.10.0", "ioIntensity": 1}',
)
LONG = str(JobName.new("x" * 60, "0a1b2c3d", 123456789)) + ".3"
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {"options": EVERYTHING, "resources": BIG},
    "rule": {
        "options": EVERYTHING,
        "resources": Resources(runtime_s=60),
        "overrides": {
            "site": "ONE",
            "platform": "",
            "priority": "7",
            "panda_container": "/cvmfs/images/other.sif",
            "panda_task": '{"maxAttempt": 3, "site": "TWO"}',
        },
    },
    "banned": {"options": Options("testvo", banned_sites=("SITE_B",)), "avoid": "SITE_A SITE.C"},
    "atlas": {"options": Options("atlas", sites=("A", "B", "C"), banned_sites=("B",))},
    "atlas-banned": {"options": Options("atlas", banned_sites=("B",)), "avoid": "A"},
    "secrets": {"secrets": True},
    "long-names": {"names": [LONG, str(JobName.new("a b/c", "0a1b2c3d", 1))]},
}


def build(
    names: tuple[str, ...] = ("sort-0a1b2c3d-1",),
    options: Options = VO,
    avoid: str = "",
    secrets: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    common = shape(spec(names[0], **fields), options, frozenset(avoid.split()))
    name = task_name(options.user, "0a1b2c3d", names)
    sandbox = f"sources.{'0' * 40}.tar.gz"
    return task(common, name, names, sandbox, "https://cache.test:25443", secrets=secrets)


def sites(options: Options = VO, avoid: str = "", **overrides: str) -> dict[str, Any]:
    found = shape(spec("a", overrides=overrides), options, frozenset(avoid.split()))
    return {key: value for key, value in found.items() if "site" in key.casefold()}


def chosen(pattern: str, *names: str) -> list[str]:
    """Choose as GenJobBroker of panda-server 1.0.4 does."""
    return [pattern] if pattern in names else [name for name in names if re.search(pattern, name)]


def words(parameters: dict[str, Any], name: str) -> list[str]:
    """Return the options that runGen gets for a job, as the server and a shell make them."""
    line = " ".join(item["value"] for item in parameters["jobParameters"])
    line = line.replace("${SURL}", parameters["sourceURL"]).replace("${IN/L}", name)
    assert "${" not in line
    return shlex.split(line)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    path = GOLDEN / f"{case}.json"
    text = json.dumps(build(**CASES[case]), indent=2, sort_keys=True) + "\n"
    if os.environ.get("GRID_TEST_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_there_is_a_case_for_each_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)


@given(st.text(), st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 10**9))
def test_any_name_of_a_job_goes_there_and_comes_back(rule: str, run: str, number: int) -> None:
    for name in (plain := str(JobName.new(rule, run, number)), f"{plain}.2"):
        parameters = build((name,))
        assert parameters["pfnList"] == [name]
        # The file's name is what JEDI makes of it: without folders, and up to a "^".
        assert name.split("/")[-1].split("^")[0] == name
        options = words(parameters, name)
        command = unquote(options[options.index("-p") + 1])
        assert shlex.split(command) == ["sh", "grid-job.sh", name]
        assert job_name({"jobParameters": " ".join(options)}) == name


def test_the_options_of_a_job_are_those_of_rungen() -> None:
    expected = [
        *("-j", "", "--sourceURL", "https://cache.test:25443", "-r", "."),
        *("-a", f"sources.{'0' * 40}.tar.gz", "-p", "sh%20grid-job.sh%20a-0a1b2c3d-1"),
    ]
    assert words(build(("a-0a1b2c3d-1",)), "a-0a1b2c3d-1") == expected


@pytest.mark.parametrize("job", [{}, {"jobParameters": None}, {"jobParameters": "-p other.sh%20a"}])
def test_jobs_of_other_programs_have_no_name(job: dict[str, Any]) -> None:
    assert job_name(job) == ""


@given(st.sets(st.text("ab-1", min_size=1)), st.sets(st.text("ab-1", min_size=1)))
def test_the_name_of_a_task_is_that_of_its_jobs(some: set[str], others: set[str]) -> None:
    name = task_name("me", "run", sorted(some))
    assert name == task_name("me", "run", sorted(some, reverse=True))
    assert (name == task_name("me", "run", list(others))) is (some == others)


@given(st.text())
def test_the_name_of_a_task_is_no_pattern(user: str) -> None:
    name = task_name(user, "0a1b2c3d", ["a"])
    assert re.fullmatch(r"[^$*+?|()\\^\s/]+", name)
    assert name.startswith("user.")
    assert ".snakemake.0a1b2c3d." in name


def test_the_parameters_of_a_job_have_a_limit() -> None:
    longest = 4000 - len(" ".join(words(build(("",)), ""))) - 100
    build(("x", "x" * longest))
    with pytest.raises(PermanentError, match=r"the parameters of a job have 40\d\d characters"):
        build(("x", "x" * (longest + 150)))


ALL = ("SITE_A", "SITE_B", "SITE_AB", "SITE-C", "SITE.D")


@pytest.mark.parametrize(
    ("options", "avoid", "expected"),
    [
        ({"sites": ("SITE_A",)}, "SITE_A", ["SITE_A"]),
        ({"sites": ("SITE_A", "SITE-C")}, "", ["SITE_A", "SITE-C"]),
        ({"sites": ("SITE_A", "SITE-C")}, "SITE_A", ["SITE-C"]),
        ({"sites": ("SITE_A", "SITE.D")}, "SITE_A SITE.D", ["SITE_A", "SITE.D"]),
        ({"sites": ("SITE_A", "SITE_B", "SITE-C"), "banned_sites": ("SITE_B",)}, "SITE-C", ALL[:1]),
        ({"banned_sites": ("SITE_A",)}, "", ["SITE_B", "SITE_AB", "SITE-C", "SITE.D"]),
        ({"banned_sites": ("SITE_A", "SITE_B")}, "SITE-C SITE_A", ["SITE_AB", "SITE.D"]),
        ({}, "SITE_B SITE.D", ["SITE_A", "SITE_AB", "SITE-C"]),
    ],
)
def test_the_general_broker_chooses_by_a_name_or_a_pattern(
    options: dict[str, Any], avoid: str, expected: list[str]
) -> None:
    found = sites(Options("testvo", **options), avoid)
    assert found.keys() == {"site"}
    assert chosen(found["site"], *ALL) == list(expected)


def test_without_wishes_jobs_run_anywhere() -> None:
    assert sites() == sites(Options("atlas")) == {}


def test_resources_of_a_rule_go_before_options() -> None:
    options = Options("testvo", sites=("A", "B"), banned_sites=("C",))
    assert sites(options, site="D, E") == {"site": "^(D|E)$"}
    assert sites(options, site="", banned_sites="") == {}
    assert sites(options, site="C", banned_sites="") == {"site": "C"}


def test_without_a_site_left_a_job_is_refused() -> None:
    with pytest.raises(PermanentError, match=r"all sites of --grid-site \(A, B\) are among"):
        sites(Options("testvo", sites=("A", "B"), banned_sites=("B", "A")))


@pytest.mark.parametrize("option", ["site", "banned_sites"])
def test_more_sites_than_there_is_room_for_are_refused(option: str) -> None:
    many = " ".join(f"SITE_NUMBER_{number}" for number in range(5))
    with pytest.raises(PermanentError, match=rf"grid_{option}: .* 60 characters .* name fewer"):
        sites(**{option: many})
    assert sites(Options("atlas"), **{option: many})


def test_as_many_sites_are_avoided_as_there_is_room_for() -> None:
    found = sites(avoid=" ".join(f"SITE_NUMBER_{number}" for number in range(9)))
    assert found == {"site": "^(?!(SITE_NUMBER_0|SITE_NUMBER_1|SITE_NUMBER_2)$)"}
    assert len(found["site"]) <= SITE_LIMIT
    assert sites(avoid="X" * SITE_LIMIT) == {}


def test_without_resources_the_server_decides() -> None:
    found = shape(spec("a"), VO)
    assert found["coreCount"] == 1
    assert not {"ramCount", "workDiskCount", "walltime", "baseWalltime", "cpuTime"} & found.keys()


@pytest.mark.parametrize("megabytes", [1, 999, 1000, 16_000])
def test_a_job_gets_the_memory_that_it_asks_for(megabytes: int) -> None:
    found = shape(spec("a", resources=Resources(memory_mb=megabytes)), VO)
    assert megabytes <= found["ramCount"] * 0.9 < megabytes + 1  # as JEDI does
    assert found["ramUnit"] == "MB"


def test_the_server_lets_each_job_fail_once_unless_the_user_says_otherwise() -> None:
    assert attempts(shape(spec("a"), VO)) == 1
    again = shape(spec("a", overrides={"panda_task": '{"maxAttempt": 3}'}), VO)
    assert attempts(again) == 3
    assert "disableAutoRetry" not in again


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "has to be a JSON object"),
        ('{"taskName": "x", "useSecrets": false}', "taskName, useSecrets cannot be set"),
        ('{"maxAttempt": "3"}', "maxAttempt has to be 1 or more, not '3'"),
        ('{"maxAttempt": 0}', "maxAttempt has to be 1 or more, not 0"),
        ('{"maxAttempt": true}', "maxAttempt has to be 1 or more, not True"),
    ],
)
def test_other_parameters_that_cannot_be_used_are_refused(text: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message) as raised:
        shape(spec("a", overrides={"panda_task": text}), VO)
    assert "grid_panda_task" in str(raised.value)


def test_a_priority_is_a_number() -> None:
    with pytest.raises(PermanentError, match="grid_priority: has to be a number, not 'high'"):
        shape(spec("a", overrides={"priority": "high"}), VO)
