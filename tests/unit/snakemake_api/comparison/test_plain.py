from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
from pathlib import Path
from typing import Any

import pytest
from snakemake.common.tbdstring import TBDString

from snakemake_executor_plugin_grid.snakemake_api.comparison.plain import (
    Cleaner,
    cache_places,
    multiset,
    plain,
    workdir_places,
)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Cut:
    low: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        ("a'b", '"a\'b"'),
        (b"x", "b'x'"),
        (Path("a/b"), "'a/b'"),
        ([1, ["x", None]], "[1, ['x', None]]"),
        ((1, 2), "(1, 2)"),
        ({"b": 1, "a": [2]}, "{'a': [2], 'b': 1}"),
        ({"b", "a", "c"}, "{'a', 'b', 'c'}"),
        (frozenset({2, 1}), "{1, 2}"),
        (range(3), "range(0, 3)"),
        (Colour.RED, "Colour.RED"),
        (Cut(1.0), "Cut{'low': 1.0}"),
        (datetime.date(2026, 1, 2), "date(2026-01-02)"),
        (decimal.Decimal("1.10"), "Decimal(1.10)"),
    ],
)
def test_a_value_has_a_text(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, [print], {"a": object()}, {object(): 1}, TBDString(), [TBDString()]],
)
def test_an_object_or_undecided_value_has_none(value: object) -> None:
    assert plain(value) is None


def test_a_value_that_contains_itself_has_none() -> None:
    value: list[Any] = []
    value.append(value)
    assert plain(value) is None


def test_arrays_differ_by_type_shape_and_values() -> None:
    numpy = pytest.importorskip("numpy")
    one = numpy.array([[1, 2], [3, 4]])
    texts = {plain(one), plain(one.reshape(4)), plain(one.astype("float32")), plain(one + 1)}
    assert len(texts) == 4
    assert None not in texts
    assert plain(one) == plain(one.copy())
    large = numpy.arange(100_000)
    text = plain(large)
    assert text is not None
    assert len(text) < 200
    assert text != plain(large + 1)
    assert plain(numpy.array([object()])) is None


def test_tables_differ_by_values_and_names() -> None:
    pandas = pytest.importorskip("pandas")
    one = pandas.DataFrame({"a": [1, 2]})
    texts = {plain(one), plain(one + 1), plain(one.rename(columns={"a": "b"})), plain(one["a"])}
    assert len(texts) == 4
    assert None not in texts
    assert plain(one) == plain(one.copy())


def test_the_order_of_a_multiset_does_not_matter_but_how_often() -> None:
    assert multiset(["b", "a", "a"]) == multiset(["a", "b", "a"]) == "['a', 'a', 'b']"
    assert multiset(["a"]) != multiset(["a", "a"])


def test_paths_of_both_hosts_have_the_same_marks() -> None:
    here = workdir_places("/home/me/flow", 2)
    submit = Cleaner([*cache_places(["/home/me/.cache/runtime/t1"]), *here])
    worker = Cleaner(
        [*cache_places(["/job/cache/runtime/t2"]), *workdir_places("/job/tree", 1), *here]
    )
    for one, two in (
        ("/home/me/flow", "/job/tree"),
        ("cat /home/me/flow/a.txt -I/home/me/flow", "cat /job/tree/a.txt -I/job/tree"),
        (
            "/home/me/.cache/runtime/t1/file/home/me/flow/x.sh",
            "/job/cache/runtime/t2/file/job/tree/x.sh",
        ),
        ("/home/me/flow/a", "/home/me/flow/a"),  # as a Snakefile spells it out
        ("/home/me/other", "/home/me/other"),
        ("/job", "/job"),
    ):
        assert submit(one).replace("/job", "<grid_workdir>/..") == worker(two)
    assert submit("/home/me/flow/a") != worker("/job/tree/b")
    assert submit("/home/me/flow2") != worker("/job/tree")
    assert submit("/home/me/flow/tree") != worker("/job/tree")


def test_a_real_path_and_the_given_one_have_the_same_mark() -> None:
    clean = Cleaner([*workdir_places("/home/me/flow", 0), *workdir_places("/disk1/flow", 0)])
    assert clean("/disk1/flow/a") == clean("/home/me/flow/a") == "<grid_workdir>/a"


def test_a_secret_is_not_in_a_text() -> None:
    assert Cleaner([], {"s3cret!": "<value of TOKEN>"})("-H s3cret!") == "-H <value of TOKEN>"
