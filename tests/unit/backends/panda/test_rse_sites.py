"""Jobs go to the queues that have their inputs in Rucio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.panda.rse_sites import (
    RseSites,
    read_rse_sites,
    unknown_rses,
)
from snakemake_executor_plugin_grid.backends.panda.task import SITE_LIMIT, Options, shape
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.job import JobSpec
from snakemake_executor_plugin_grid.worker.grid_files.records import GridInput
from tests.unit.specs import spec

RSES: RseSites = {"DISK-A": ("A",), "DISK-B": ("B", "B_MCORE"), "DISK-AB": ("A", "B")}


def job(files: dict[str, tuple[int, str]], **overrides: str) -> JobSpec:
    """Return a job with files of so many bytes on RSEs with these names."""
    return spec(
        "a",
        overrides=overrides,
        grid_inputs=tuple(
            GridInput(name, f"rucio://s/{name}", size, "", 0, ())
            for name, (size, _) in files.items()
        ),
        grid_elements={f"rucio://s/{name}": tuple(on.split()) for name, (_, on) in files.items()},
    )


def site(of: JobSpec, avoid: str = "", **options: Any) -> Any:
    given = Options(**{"vo": "epic", "rse_sites": RSES, **options})
    found = shape(of, given, frozenset(avoid.split()))
    return {key: value for key, value in found.items() if "site" in key.casefold()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"x": (1, "DISK-A")}, {"site": "A"}),
        ({"x": (1, "DISK-B")}, {"site": "^(B|B_MCORE)$"}),
        ({"x": (1, "DISK-A DISK-B")}, {"site": "^(A|B|B_MCORE)$"}),
        ({"x": (1, "DISK-AB"), "y": (1, "DISK-A DISK-B")}, {"site": "^(A|B)$"}),
        ({"x": (1, "DISK-A"), "y": (9, "DISK-B")}, {"site": "^(B|B_MCORE)$"}),
        ({"x": (9, "DISK-A"), "y": (1, "DISK-B")}, {"site": "A"}),
        ({"x": (1, "DISK-A"), "y": (9, "TAPE")}, {"site": "A"}),
        ({"a/x": (1, "DISK-A"), "b/x": (2, "DISK-A"), "y": (2, "DISK-B")}, {"site": "A"}),
        ({"x": (1, "TAPE")}, {}),
        ({"x": (1, "")}, {}),
        ({}, {}),
    ],
)
def test_jobs_go_where_most_bytes_are(
    files: dict[str, tuple[int, str]], expected: dict[str, str]
) -> None:
    assert site(job(files)) == expected


def test_atlas_has_lists_of_sites() -> None:
    assert site(job({"x": (1, "DISK-B")}), vo="atlas") == {"includedSite": ["B", "B_MCORE"]}


def test_without_the_file_jobs_run_anywhere() -> None:
    assert site(job({"x": (1, "DISK-A")}), rse_sites={}) == {}


def test_the_site_of_a_rule_stays() -> None:
    assert site(job({"x": (1, "DISK-A")}, site="C")) == {"site": "C"}
    assert site(job({"x": (1, "DISK-A")}, site="")) == {}


def test_the_sites_of_the_run_hold_even_if_they_have_no_input() -> None:
    both = job({"x": (1, "DISK-AB")})
    assert site(both, sites=("B", "C")) == {"site": "B"}
    assert site(both, sites=("C", "D")) == {"site": "^(C|D)$"}


def test_no_job_goes_to_a_banned_site() -> None:
    both = {"x": (1, "DISK-A DISK-B")}
    assert site(job(both), banned_sites=("A", "B")) == {"site": "B_MCORE"}
    assert site(job(both, banned_sites="B B_MCORE"), banned_sites=("A",)) == {"site": "A"}
    split = {"x": (9, "DISK-A"), "y": (1, "DISK-B")}
    assert site(job(split), banned_sites=("A",)) == {"site": "^(B|B_MCORE)$"}
    assert site(job({"x": (1, "DISK-A")}), banned_sites=("A",)) == {"site": "^(?!(A)$)"}


def test_after_a_fault_a_job_goes_to_other_data_or_anywhere_else() -> None:
    assert site(job({"x": (1, "DISK-AB")}), avoid="A") == {"site": "B"}
    assert site(job({"x": (1, "DISK-A")}), avoid="A") == {"site": "^(?!(A)$)"}


def test_of_many_sites_as_many_are_named_as_there_is_room_for() -> None:
    many = {"DISK-A": tuple(f"QUEUE_NUMBER_{number}" for number in range(9))}
    (pattern,) = site(job({"x": (1, "DISK-A")}), rse_sites=many).values()
    assert pattern == "^(QUEUE_NUMBER_0|QUEUE_NUMBER_1|QUEUE_NUMBER_2)$"
    assert len(pattern) <= SITE_LIMIT


def test_what_the_file_does_not_know_is_found() -> None:
    some = job({"x": (1, "DISK-A TAPE"), "y": (1, "OTHER")})
    assert unknown_rses(some, RSES) == {"TAPE", "OTHER"}
    assert unknown_rses(some, {}) == set()


@pytest.mark.parametrize(
    "text",
    [
        "# ours\n\nDISK-A A\nDISK-B  B, B_MCORE  # two\n",
        '{"DISK-A": ["A"],\n "DISK-B": ["B", "B_MCORE"]}',
    ],
)
def test_a_file_has_lines_or_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "rses").write_text(text)
    assert read_rse_sites(tmp_path / "rses") == {"DISK-A": ("A",), "DISK-B": ("B", "B_MCORE")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ": names no RSE; it has to be one RSE and its queues on a line"),
        ("# nothing\n{}", ", line 2: '{}' is no name of an RSE"),
        ("{}", ": names no RSE"),
        ("DISK-A A\n\nDISK-B", ", line 3: DISK-B has no queue"),
        ("DISK-A A\nDISK-A B", ", line 2: DISK-A is named twice"),
        ("DISK-A: A", ", line 1: 'DISK-A:' is no name of an RSE"),
        ("DISK-A A|B", ", line 1: 'A|B' is no name of a queue"),
        ('{"A": ["B"],\n"C": ["D"]\n', ", line 3: is no JSON"),
        ('{"A": ["B"],\n"C": "D"}', ', line 2: C needs a list of queues, as in "C": ["QUEUE"]'),
        ('{"A": ["B"],\n"C": {"D": 1}}', ", line 2: C needs a list"),
        ('{"A": ["B"],\n"A": ["C"]}', ", line 2: A is named twice"),
        ('{"A": [""]}', ", line 1: '' is no name of a queue"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "rses"
    path.write_text(text)
    with pytest.raises(PermanentError) as caught:
        read_rse_sites(path)
    assert f"--grid-panda-rse-sites {path}{words}" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rses"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PermanentError, match=r"--grid-panda-rse-sites .*: cannot be read: "):
        read_rse_sites(path)
